"""One row of a prompts file, whatever its format, before it becomes an example of a task."""

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, model_validator

from schemas.errors import SourceError
from teacher_cache.readers.json_text import read_json
from teacher_cache.readers.labels import RawLabel

_TOOL_ROLES = ("tool", "function")
_TOOL_KEYS = ("tool_calls", "tool_call_id", "function_call")


class Strict(BaseModel):
    """A piece of a row: no key that is not known, no type that is not the one wanted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class MediaItem(Strict):
    """A picture or sound: a path, URL or data URI, and the digest of its bytes, if that is known."""

    path: str
    sha256: str = ""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: object) -> object:
        if not isinstance(value, str | dict):
            raise ValueError('a path is wanted, or {"path": "...", "sha256": "..."}')  # noqa: TRY004
        return {"path": value} if isinstance(value, str) else value


class Turn(Strict):
    """One message; its content is a text, or parts that `teacher_cache.readers.conversation` reads."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, JsonValue]]

    @model_validator(mode="before")
    @classmethod
    def _no_tool_calls(cls, value: object) -> object:
        if isinstance(value, dict) and (value.get("role") in _TOOL_ROLES or any(map(value.get, _TOOL_KEYS))):
            raise ValueError("tool calls are not supported")
        return value


class PromptRow(Strict):
    """What a row may say. Only what is asked must be there: fields, a prompt or messages."""

    example_id: str | None = None
    task: str | None = None
    split: Literal["train", "validation", "test"] = "train"
    fields: dict[str, str] = {}
    label: RawLabel = None
    media: list[MediaItem] = []
    prompt: str | None = None
    messages: list[Turn] | None = None


_TYPES = ("str", "int", "float", "bool")
Model = TypeVar("Model", bound=BaseModel)


def parsed(where: str, model: type[Model], text: str) -> Model:
    """A line of JSON as the model has it.

    Raises:
        SourceError: it is no JSON, or not as the model has it.
    """
    try:
        return model.model_validate(read_json(text))
    except ValidationError as error:
        raise _refusal(where, error, "line") from None
    except ValueError as error:
        raise SourceError(f"{where}: {error}; mend the line") from None


def checked(where: str, model: type[Model], values: dict[str, Any]) -> Model:
    """Values as the model has them.

    Raises:
        SourceError: they are not.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _refusal(where, error, "row") from None


def _refusal(where: str, error: ValidationError, what: str) -> SourceError:
    fault = error.errors(include_url=False)[0]
    # Where a value may be one of several types, pydantic adds the name of each type to the path.
    keys = ".".join(str(key) for key in fault["loc"] if key not in _TYPES and "[" not in str(key))
    if fault["type"] == "model_type":  # in pydantic's words with the name of our class
        fault["msg"] = "Input should be an object"
    message = " ".join(fault["msg"].removeprefix("Value error, ").split())
    return SourceError(f"{where}: {keys + ': ' if keys else ''}{message[:300]}; mend the {what}")

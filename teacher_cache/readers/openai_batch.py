"""Lines of a batch file as OpenAI and vLLM's `run_batch` take them.

    {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [...]}}

Who is asked and what is kept is said on the command line: `model`, `logprobs` and `top_logprobs` give way
to it, with a notice. Any other parameter of the body must be what this run asks with, or the file is
refused: answers generated in another way than the file says would look like what was ordered.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from schemas.errors import SourceError
from teacher_cache.readers.prompt_row import PromptRow, Strict, checked, parsed

# Keys of a body and the option that says the same.
_OPTIONS = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "temperature": "sampling_temperature",
    "n": "num_samples",
    "seed": "generation_seed",
}
_GIVE_WAY = {"model": "--model", "logprobs": "--store", "top_logprobs": "--top-k"}
# What changes how an answer travels, never what it is.
_IDLE = ("user", "metadata", "store", "stream", "stream_options", "service_tier")
_QUESTIONS = ("messages", "prompt", "input")


class _BatchLine(Strict):
    custom_id: str
    method: Literal["POST"] = "POST"
    url: str = ""
    body: dict[str, JsonValue]


class BatchReader:
    """Reads the lines of one file.

    Args:
        settings: options of this run by name, None where not given.
    """

    def __init__(self, settings: Mapping[str, object]) -> None:
        self._settings = settings
        self._overruled: dict[str, str] = {}

    def row(self, where: str, text: str) -> PromptRow:
        """Read one line.

        Raises:
            SourceError: it is not as it should be, or asks in another way than this run.
        """
        line = parsed(where, _BatchLine, text)
        questions = [key for key in _QUESTIONS if key in line.body]
        if len(questions) != 1:
            found = " and ".join(questions) or "none of them"
            raise SourceError(f"{where}: the body has {found}; give one of messages, prompt, input")
        for key, value in line.body.items():
            if key not in questions:
                self._check(where, key, value)
        return _asked(where, line.custom_id, line.body[questions[0]])

    def notices(self) -> tuple[str, ...]:
        """What the command line decided although the lines say something of it."""
        return tuple(
            f"{key} {value} of the batch lines gives way to {_GIVE_WAY[key]}"
            for key, value in self._overruled.items()
        )

    def _check(self, where: str, key: str, value: JsonValue) -> None:
        if key in _IDLE or value is None:
            return
        if key in _GIVE_WAY:
            self._overruled.setdefault(key, str(value)[:80])
            return
        name = _OPTIONS.get(key)
        if name is None:
            raise SourceError(f"{where}: the body has {key}, which this run cannot ask for; take it out")
        ours, option = self._settings.get(name), f"--{name.replace('_', '-')}"
        if isinstance(value, bool) or ours != value:
            found = "is not given" if ours is None else f"is {ours}"
            raise SourceError(f"{where}: {key} {value}, {option} {found}; make them equal, or take it out")


def _asked(where: str, custom_id: str, question: JsonValue) -> PromptRow:
    if isinstance(question, list) and len(question) == 1 and isinstance(question[0], str):
        question = question[0]
    if isinstance(question, str):
        return PromptRow(example_id=custom_id, prompt=question)
    if not isinstance(question, list) or not all(isinstance(turn, dict) for turn in question):
        raise SourceError(f"{where}: neither a text nor messages; ask one text a line, not tokens or several")
    row = checked(where, PromptRow, {"example_id": custom_id, "messages": question})
    if row.messages and row.messages[-1].role == "assistant":
        raise SourceError(
            f"{where}: a message of the assistant stands last, to be continued, which no run can ask for; "
            "take it out"
        )
    return row

"""`messages` lines, as chat data is passed around.

    {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}

A last message of the assistant is the reference answer and never asked. The id is `example_id`, `custom_id`
or `id`; without one, a row is named by its position. `images` is another name for `media`.
"""

from pydantic import AliasChoices, Field

from teacher_cache.readers.prompt_row import MediaItem, PromptRow, Turn, parsed


class _MessagesLine(PromptRow):
    example_id: str | None = Field(None, validation_alias=AliasChoices("example_id", "custom_id", "id"))
    media: list[MediaItem] = Field([], validation_alias=AliasChoices("media", "images"))
    messages: list[Turn] | None = Field(...)


def messages_row(where: str, text: str) -> PromptRow:
    """Read one line.

    Raises:
        SourceError: it is not as it should be.
    """
    return parsed(where, _MessagesLine, text)

"""JSON lines in our own terms.

    {"example_id": "a1", "task": "movie-sentiment", "split": "train", "fields": {"text": "Fine."}, "label": 1}

`task` may be left out; `prompt` or `messages` override the task's template; `label` is a class name or a
number, a list of them, a number or a text, as the task has it; `media` is a list of paths, or of `{"path",
"sha256"}`.
"""

from schemas.errors import SourceError
from teacher_cache.readers.prompt_row import PromptRow, parsed


def own_row(where: str, text: str) -> PromptRow:
    """Read one line.

    Raises:
        SourceError: it is not as it should be.
    """
    row = parsed(where, PromptRow, text)
    if row.example_id is None:
        raise SourceError(f"{where}: example_id: Field required; mend the row")
    return row

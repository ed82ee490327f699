"""Questions that `make data` generated: JSON lines in our own terms."""

from pathlib import Path

from schemas.tasks import TaskSpec
from teacher_cache.readers.prompts import read_prompts
from teacher_cache.readers.reading import Reading

FILE_NAME = "questions.jsonl"


def read_questions(source: Path, task: TaskSpec) -> Reading:
    """Read them in the file's order.

    Args:
        source: the file, or the folder that holds it.
        task: that the questions are of.

    Raises:
        SourceError: the file is missing, or a line is not as it should be.
    """
    path = source / FILE_NAME if source.is_dir() else source
    return read_prompts(path, task.name, {})

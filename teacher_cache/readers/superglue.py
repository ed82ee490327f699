"""SuperGLUE as its publisher ships it: a folder a task, JSON lines; test files have no labels."""

from pathlib import Path

from schemas.errors import SourceError
from schemas.tasks import TaskSpec
from teacher_cache.readers.gathering import Gathering
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.prompt_row import PromptRow, checked
from teacher_cache.readers.reading import Reading, joined
from teacher_cache.readers.records import read_records, text_of
from teacher_cache.readers.split_files import SplitFile, files_in, label_of, own_folder

_FOLDERS = {"boolq": "BoolQ", "cb": "CB", "copa": "COPA", "wic": "WiC"}
_FILES = (
    SplitFile("train", ("train.jsonl",)),
    SplitFile("validation", ("val.jsonl",)),
    SplitFile("test", ("test.jsonl",)),
)


def read_superglue(source: Path, task: TaskSpec) -> Reading:
    """Read the files of one task.

    Args:
        source: SuperGLUE's folder, or the task's own in it.
        task: one of SuperGLUE.

    Raises:
        SourceError: there are none, or a line is not as it should be.
    """
    folder = own_folder(source, _FOLDERS[task.name.partition("/")[2]])
    return joined(task, [_read(path, file, task) for path, file in files_in(folder, _FILES, task)], folder)


def _read(path: Path, file: SplitFile, task: TaskSpec) -> Reading:
    gathering = Gathering(path=path, task_name=task.name, media=MediaReader(None))
    for place, record in read_records(path):
        where = f"{path}, {place}"
        # COPA's, which what is asked is worded by.
        if task.name == "superglue/copa" and record.get("question") not in ("cause", "effect"):
            raise SourceError(f"{where}: 'question' is not 'cause' or 'effect'; mend the line")
        row = {
            "example_id": file.row_id(gathering.num_rows + 1),
            "split": file.split,
            "fields": {name: text_of(where, record, name) for name in task.fields},
            "label": label_of(where, record, file),
        }
        gathering.add(place, checked(where, PromptRow, row))
    return gathering.done()

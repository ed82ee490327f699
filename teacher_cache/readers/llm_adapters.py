"""LLM-Adapters' reasoning sets as published: a JSON array a file of `instruction`, `output` and `answer`.

A mixture of tasks to learn from (`ft-training_set/commonsense_170k.json`, `commonsense_15k.json` or
`math_10k.json`) and a test set for each task (`dataset/hellaswag/test.json`). The answer that counts in a
test set is `answer`: its `output` was written by a model and may say another. `answer` is a text, a number,
or a list of one of these.
"""

from pathlib import Path

from schemas.errors import SourceError
from schemas.tasks import TaskSpec
from schemas.tasks.reasoning import MATH_SETS
from teacher_cache.readers.gathering import Gathering
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.prompt_row import PromptRow, checked
from teacher_cache.readers.reading import Reading, joined
from teacher_cache.readers.records import Record, read_records, text_of
from teacher_cache.readers.split_files import missing

_TRAINING_FOLDER, _TEST_FOLDER = "ft-training_set", "dataset"
_COMMONSENSE, _MATH = ("commonsense_170k.json", "commonsense_15k.json"), ("math_10k.json",)
_FOLDERS = {
    "hellaswag": "hellaswag",
    "winogrande": "winogrande",
    "arc-c": "ARC-Challenge",
    "arc-e": "ARC-Easy",
    "openbookqa": "openbookqa",
    "multiarith": "MultiArith",
    "singleeq": "SingleEq",
    "aqua": "AQuA",
}


def read_llm_adapters(source: Path, task: TaskSpec) -> Reading:
    """Read the set to learn from as `train`, and the task's test sets as `validation`.

    Args:
        source: the repository's folder; or the file to learn from, in or beside it.
        task: one of reasoning.

    Raises:
        SourceError: a file is missing or not as it should be, or two could be learnt from.
    """
    training = _training_file(source, task)
    root = training.parent.parent if training.parent.name == _TRAINING_FOLDER else training.parent
    own = task.name.partition("/")[2]
    parts = task.parts or (own,)
    tests = [_test_file(root, part, task) for part in parts]
    readings = [_read(training, f"{training.stem}/", task, learns=True)]
    readings += [_read(path, f"{part}/", task, learns=False) for part, path in zip(parts, tests, strict=True)]
    return joined(task, readings, root, f"{training.name} is learnt from")


def _training_file(source: Path, task: TaskSpec) -> Path:
    if source.is_file():
        return source
    maths = set(task.parts or (task.name.partition("/")[2],)) <= set(MATH_SETS)
    names = _MATH if maths else _COMMONSENSE
    folders = (source / _TRAINING_FOLDER, source)
    found = [folder / name for folder in folders for name in names if (folder / name).is_file()]
    if len(found) > 1:
        raise SourceError(
            f"{source} has {' and '.join(path.name for path in found)}, and one is learnt from; give it as "
            f"--source {found[0]}"
        )
    if not found:
        raise SourceError(missing(source, " or ".join(f"{_TRAINING_FOLDER}/{name}" for name in names), task))
    return found[0]


def _test_file(root: Path, part: str, task: TaskSpec) -> Path:
    paths = [root / _TEST_FOLDER / _FOLDERS[part] / "test.json", root / _FOLDERS[part] / "test.json"]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise SourceError(missing(root, f"{_TEST_FOLDER}/{_FOLDERS[part]}/test.json", task))
    return found


def _read(path: Path, prefix: str, task: TaskSpec, *, learns: bool) -> Reading:
    gathering = Gathering(path=path, task_name=task.name, media=MediaReader(None))
    for place, record in read_records(path):
        where = f"{path}, {place}"
        answer = text_of(where, record, "output") if learns else _answer(where, record, task)
        row = {
            "example_id": f"{prefix}{gathering.num_rows + 1:06d}",
            "split": "train" if learns else "validation",
            "fields": {
                "instruction": text_of(where, record, "instruction"),
                "input": text_of(where, record, "input") if "input" in record else "",
            },
            "label": answer,
        }
        gathering.add(place, checked(where, PromptRow, row))
    return gathering.done()


def _answer(where: str, record: Record, task: TaskSpec) -> str:
    value = record.get("answer")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    text = repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if isinstance(text, str) and task.extract_answer(text) is not None:
        return text
    raise SourceError(
        f"{where}: its 'answer' is {record.get('answer')!r:.60}, one that {task.name} can read is wanted, "
        "such as answer2, 12.5 or C; mend the record"
    )

"""Whatever stands in a publisher's files, they are read or refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from schemas.tasks import TASKS
from teacher_cache.readers import find_reader

ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["input", "output"]), inner),
    max_leaves=5,
)
ROW = {"instruction": "Do.", "input": "", "output": "answer1", "answer": "answer1"}
# Of each family: the file that is anything, the others that stand beside it, and keys that its objects have.
FILES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "glue/cola": ("train.tsv", {}, ()),
    "glue/qqp": ("train.tsv", {}, ()),
    "superglue/wic": ("val.jsonl", {}, ("word", "sentence1", "sentence2", "label")),
    "reasoning/hellaswag": (
        "hellaswag/test.json",
        {"commonsense_15k.json": [ROW]},
        ("instruction", "input", "output", "answer"),
    ),
    "reasoning/aqua": ("AQuA/test.json", {"math_10k.json": [ROW]}, ("instruction", "input", "answer")),
    "instructions/uni": (
        "uni/core_data.jsonl",
        {"dolly/train.jsonl": ROW, "dolly/test.jsonl": ROW},
        ("instruction", "instances"),
    ),
    "instructions/vicuna": (
        "vicuna/answer_a.jsonl",
        {"dolly/train.jsonl": ROW, "dolly/test.jsonl": ROW, "vicuna/question.jsonl": {"text": "?"}},
        ("question_id", "text"),
    ),
    "instructions/sni": (
        "sni/tasks/a.json",
        {"dolly/train.jsonl": ROW, "dolly/test.jsonl": ROW, "sni/splits/default/test_tasks.txt": "a"},
        ("Definition", "Instances"),
    ),
    "mm-imdb": (
        "dataset/1.json",
        {"split.json": {"train": ["1"], "dev": [], "test": []}},
        ("plot", "plot outline", "genres"),
    ),
    "hateful-memes": ("train.jsonl", {}, ("id", "img", "text", "label")),
}
TASK = st.sampled_from(list(FILES))
Read = Callable[[str, bytes], None]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def written(task: str, content: bytes) -> None:
        name, others, _ = FILES[task]
        root = tmp_path / task.replace("/", "-")
        for path, value in others.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(value if isinstance(value, str) else json.dumps(value))
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
        refusal = ""
        try:
            find_reader(TASKS[task])(root, TASKS[task])
        except SourceError as error:
            refusal = str(error)
        assert "\n" not in refusal
        assert len(refusal) < 2000

    return written


@ANY
@given(TASK, st.binary())
@example("glue/cola", b"a\t1\t\t\xff\n")
@example("reasoning/aqua", b"[" * 100_000)
@example("superglue/wic", b"[" * 100_000)
@example("mm-imdb", b'{"a":' * 100_000)
@example("reasoning/aqua", b'[{"answer": 1' + b"0" * 5000 + b"}]")
@example("hateful-memes", b'{"id": 1' + b"0" * 5000 + b', "text": "", "img": "a", "label": 0}')
@example("hateful-memes", '{"id": "²", "text": "", "img": "a", "label": 0}'.encode())
def test_bytes(read: Read, task: str, content: bytes) -> None:
    read(task, content)


@ANY
@given(TASK, st.data())
def test_objects(read: Read, task: str, data: st.DataObject) -> None:
    keys = FILES[task][2] or ("sentence", "label")
    row = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(keys, VALUES)))
    value = [row] if data.draw(st.booleans()) else row
    read(task, json.dumps(value).encode())


@ANY
@given(
    st.sampled_from(["glue/cola", "glue/qqp"]),
    st.lists(st.lists(st.text(st.characters(exclude_characters="\t\n", codec="utf-8"), max_size=9))),
)
def test_cells(read: Read, task: str, rows: list[list[str]]) -> None:
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n" if task == "glue/qqp" else ""
    read(task, (header + "\n".join("\t".join(cells) for cells in rows)).encode())

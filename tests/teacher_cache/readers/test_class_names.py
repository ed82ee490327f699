"""Classes of a dataset to those of a task."""

import json
from typing import Any

import pyarrow as pa
import pytest

from schemas.tasks import TASKS, LabelKind, TaskSpec
from teacher_cache.readers.class_names import ClassTable, class_names, class_table

MULTI = TaskSpec(
    name="topics", fields=("text",), label_kind=LabelKind.MULTI, metric="micro_f1", classes=("a", "b", "c")
)
LABELS = {"_type": "ClassLabel", "names": ["x", "y"]}


def schema(metadata: bytes | None) -> pa.Schema:
    return pa.schema({"label": pa.int64()}, metadata=None if metadata is None else {"huggingface": metadata})


@pytest.mark.parametrize(
    ("feature", "names"),
    [
        (LABELS, ("x", "y")),
        ({"_type": "List", "feature": LABELS}, ("x", "y")),
        ({"_type": "Sequence", "feature": LABELS, "length": -1}, ("x", "y")),
        ([LABELS], ("x", "y")),
        ({"_type": "Value", "dtype": "int64"}, ()),
        ({"names": ["x"]}, ()),
        ([], ()),
        (7, ()),
    ],
)
def test_the_names_that_a_schema_gives(feature: Any, names: tuple[str, ...]) -> None:
    metadata = json.dumps({"info": {"features": {"label": feature}}}).encode()

    assert class_names(schema(metadata), "label") == names
    assert class_names(schema(metadata), "other") == ()


@pytest.mark.parametrize("metadata", [None, b"{", b"[]", b"{}", b'{"info": null}', b"\xff"])
def test_a_schema_without_them(metadata: bytes | None) -> None:
    assert class_names(schema(metadata), "label") == ()


def test_several_classes_a_row() -> None:
    table = class_table("here", ("C", "a"), MULTI)

    assert table == ClassTable((2, 0))
    assert table.label([0, 1]) == [2, 0]
    assert table.label([]) == []


@pytest.mark.parametrize(
    ("label", "wanted"),
    [(0, 0), (1, 1), (-1, None), (2, 2), ("x", "x"), (True, True), (1.0, 1.0), (None, None)],
)
def test_what_is_no_class_is_left_for_the_task_to_judge(label: Any, wanted: Any) -> None:
    found = class_table("here", ("negative", "positive"), TASKS["movie-sentiment"]).label(label)

    assert found == wanted
    assert type(found) is type(wanted)

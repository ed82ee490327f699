"""Parquet: columns of every type that a row may have, and those that it may not."""

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from schemas.example import Label, Media, Message
from teacher_cache.readers.reading import Reading

Read = Callable[..., Reading]
NAME = "p.parquet"


def parquet(columns: dict[str, Any] | pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), sink, **options)
    return sink.getvalue()


def test_the_columns_with_a_meaning_and_those_that_are_fields(read: Read) -> None:
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    columns = {
        "example_id": ["a", "b"],
        "split": ["test", None],
        "media": [None, ["x.png", "y.png"]],
        "messages": [turns, None],
        "text": ["Fine.", "Poor."],
        "count": [1, None],
        "share": [0.5, 2.0],
        "kind": pa.array(["x", "y"]).dictionary_encode(),
    }
    one, two = read(NAME, parquet(columns)).examples

    assert (one.id, one.split, two.id, two.split) == ("a", "test", "b", "train")
    assert (one.media, two.media) == ((), (Media("x.png", ""), Media("y.png", "")))
    assert one.messages == (Message("system", "S"), Message("user", "U"))
    assert one.fields == {"text": "Fine.", "count": "1", "share": "0.5", "kind": "x"}
    assert two.fields == {"text": "Poor.", "share": "2.0", "kind": "y"}


def test_media_columns_of_any_shape(read: Read) -> None:
    prompts = {"prompt": ["?"]}
    digest = {"path": "x.png", "sha256": "ab"}

    for column, wanted in (
        (["x.png"], (Media("x.png", ""),)),
        ([digest], (Media("x.png", "ab"),)),
        ([[digest, {"path": "y.png", "sha256": None}]], (Media("x.png", "ab"), Media("y.png", ""))),
    ):
        (example,) = read(NAME, parquet(prompts | {"media": column})).examples
        assert example.media == wanted


def test_numbers_name_rows_too(read: Read) -> None:
    one, two = read(NAME, parquet({"example_id": [7, 8], "text": ["x", "y"]})).examples

    assert (one.id, two.id) == ("7", "8")


def test_parts_of_messages_have_no_keys_that_were_null(read: Read) -> None:
    content = [
        {"type": "text", "text": "?", "image_url": None},
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    (example,) = read(NAME, parquet({"messages": [[{"role": "user", "content": content}]]})).examples

    assert (example.prompt, example.media) == ("?", (Media("x", ""),))


@pytest.mark.parametrize(("label", "wanted"), [(1, (1,)), ("negative", (0,)), (None, ())])
def test_labels(read: Read, label: object, wanted: tuple[int, ...]) -> None:
    (example,) = read(NAME, parquet({"text": ["x"], "label": [label]}), task="movie-sentiment").examples

    assert example.label == Label(class_ids=wanted)


def test_classes_of_a_parquet_file_that_the_datasets_library_wrote(read: Read) -> None:
    import datasets

    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_dict({"text": ["x", "y", "z"], "label": [1, 0, -1]})
    sink = io.BytesIO()
    rows.cast_column("label", datasets.ClassLabel(names=["pos", "neg"])).to_parquet(sink)
    reading = read(NAME, sink.getvalue(), task="movie-sentiment")

    assert [example.label.class_ids for example in reading.examples] == [(1,), (0,), ()]
    (notice,) = reading.notices
    assert notice.endswith("its classes are taken by their numbers: pos as negative, neg as positive")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=20),
    st.integers(1, 7),
)
def test_any_text_in_any_row_group_comes_back(read: Read, texts: list[str], group: int) -> None:
    examples = read(NAME, parquet({"text": texts}, row_group_size=group)).examples

    assert [example.fields["text"] for example in examples] == texts
    assert [example.id for example in examples] == [f"row-{i:06d}" for i in range(1, len(texts) + 1)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"text": [["a"]]},
            r"the column text is list<.*string>, a field is a text or a number; leave it out",
        ),
        ({"text": [b"a"]}, r"the column text is binary, a field is a text or a number"),
        ({"text": ["a"], "split": ["dev"]}, r"row 1: split: Input should be 'train'"),
        ({"text": ["a"], "split": [1]}, r"row 1: split: Input should be 'train'"),
        ({"text": ["a"], "label": [1]}, r"row 1: label 1: task free has none"),
        ({"text": ["a"], "messages": ["["]}, r"row 1: messages: Invalid JSON: "),
        (
            {"text": ["a"], "messages": ['[{"a": 1, "a": 2}]']},
            r"row 1: messages: .* the key 'a' stands twice",
        ),
        ({"text": ["a\0"]}, r"row 1: a NUL character, which no text has"),
        ({"example_id": ["a\nb"], "text": ["a"]}, r"row 1: the example_id 'a\\nb' has a control character"),
        ({"text": ["a"], "messages": [1]}, r"row 1: messages: Input should be a valid list"),
        ({"prompt": ["a", None]}, r"row 2: neither fields nor prompt nor messages"),
        ({"prompt": [1]}, r"row 1: prompt: Input should be a valid string"),
        ({"example_id": ["a", "a"], "text": ["a", "b"]}, r"row 2: example_id a stands in row 1 too"),
        ({"example_id": [1.5], "text": ["a"]}, r"row 1: example_id: Input should be a valid string"),
        ({"text": pa.array([], pa.string())}, r"is empty, at least one example is wanted"),
        (pa.table([["a"], ["b"]], names=["text", "text"]), r"the column text stands twice"),
        (
            {"text": pa.array([b"a", b"\xef"]).view(pa.string())},
            r"the column text is damaged among the rows from 1: Invalid UTF8",
        ),
    ],
)
def test_a_wrong_table_is_named(read: Read, columns: Any, message: str) -> None:
    with pytest.raises(SourceError, match=r"p.parquet[:,]? " + message) as raised:
        read(NAME, parquet(columns))
    assert "\n" not in str(raised.value)


def test_a_file_cut_short_is_named(read: Read) -> None:
    whole = parquet({"text": ["Fine."] * 1000})

    for end in (8, 100, len(whole) - 1):
        with pytest.raises(
            SourceError, match=r"p.parquet is no Parquet file that can be read: .*write it again"
        ):
            read(NAME, whole[:end])


def test_a_file_with_damage_inside_is_named(read: Read) -> None:
    whole = bytearray(parquet({"text": [f"Fine {i}." for i in range(1000)]}, write_page_checksum=True))
    whole[20:200] = bytes(180)

    with pytest.raises(SourceError, match=r"p.parquet is no Parquet file that can be read"):
        read(NAME, bytes(whole))

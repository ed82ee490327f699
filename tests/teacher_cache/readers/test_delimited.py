"""CSV and TSV: cells, quotes, and the line of each complaint."""

import csv
import io
import json
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from schemas.example import Label, Media, Message
from teacher_cache.readers.reading import Reading

Read = Callable[..., Reading]
# What a CSV cannot keep: line ends come back as \n, and a NUL is refused.
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1)


def test_the_columns_with_a_meaning_and_those_that_are_fields(read: Read) -> None:
    header = "example_id,task,split,label,media,text\r\n"
    reading = read("p.csv", header, 'a,movie-sentiment,test,positive,x.png,"Fine, ""very"" fine."\r\n')

    (example,) = reading.examples
    assert (example.id, example.task, example.split) == ("a", "movie-sentiment", "test")
    assert example.fields == {"text": 'Fine, "very" fine.'}
    assert (example.label, example.media) == (Label(class_ids=(1,)), (Media("x.png", ""),))


def test_empty_cells_of_columns_with_a_meaning_were_not_given(read: Read) -> None:
    (example,) = read("p.csv", "example_id,split,label,prompt,media,text\n", ",,,,,Fine.\n").examples

    assert (example.id, example.split, example.prompt) == ("row-000001", "train", None)
    assert (example.label, example.media) == (Label(), ())


@pytest.mark.parametrize(
    ("task", "cell", "label"),
    [
        ("movie-sentiment", "negative", Label(class_ids=(0,))),
        ("movie-sentiment", "1", Label(class_ids=(1,))),
        ("movie-rating", "-2.5", Label(value=-2.5)),
        ("movie-rating", "3", Label(value=3.0)),
    ],
)
def test_a_label_has_the_form_of_its_task(read: Read, task: str, cell: str, label: Label) -> None:
    (example,) = read("p.csv", "text,label\n", f"Fine.,{cell}\n", task=task).examples

    assert example.label == label


def test_lists_are_json_in_a_cell(read: Read) -> None:
    turns = json.dumps([{"role": "system", "content": "S"}, {"role": "user", "content": "U"}])
    rows = io.StringIO()
    csv.writer(rows).writerows([["messages", "x"], [turns, "y"]])
    (one,) = read("p.csv", rows.getvalue()).examples
    (two,) = read("p.csv", "prompt,media\n", '?,"[""a.png"", ""b.png""]"\n').examples

    assert one.messages == (Message("system", "S"), Message("user", "U"))
    assert two.media == (Media("a.png", ""), Media("b.png", ""))


def test_a_mark_blank_lines_and_lines_inside_quotes(read: Read) -> None:
    lines = [b"\xef\xbb\xbftext\n", "\n", '"one\r\ntwo"\n', "\n", "three\n"]

    assert [e.fields["text"] for e in read("p.csv", *lines).examples] == ["one\ntwo", "three"]


def test_a_cell_may_be_longer_than_the_library_allows_by_itself(read: Read) -> None:
    (example,) = read("p.tsv", "text\tmore\n", f"{'long ' * 100_000}\tx\n").examples

    assert len(example.fields["text"]) == 500_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_what_polars_writes_is_read_back(read: Read, rows: list[tuple[str, str]]) -> None:
    frame = pl.DataFrame(rows, schema=["one", "two"], orient="row")
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if rows:
        for name, separator in (("p.csv", ","), ("p.tsv", "\t")):
            examples = read(name, frame.write_csv(separator=separator)).examples
            assert [(e.fields["one"], e.fields["two"]) for e in examples] == rows


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("text,\nFine.,x\n", r"line 1: column 2 has no name"),
        ("text,text\nFine.,x\n", r"line 1: the column text stands twice"),
        ("id;text\n1;Fine.\n", r"line 1: columns are separated by ';'; write .csv with commas"),
        ("text,x\n\nFine.\n", r"line 3: 1 columns, the header has 2; mend the row"),
        ("text,x\nFine.,very,fine\n", r"line 2: 3 columns, the header has 2"),
        ('text,x\n"one\ntwo",y\nz\n', r"line 4: 1 columns, the header has 2"),
        ('text,x\na,b\n"Fine" he said,x\n', r"line 3: ',' expected after '\"'; close each quote"),
        ('text,x\na,b\n"Fine,x\nb,c\n', r"line 3: unexpected end of data; close each quote"),
        (b"text,x\nNa\xefve,x\n", r"line 2: byte 0xef is not UTF-8"),
        (b"text,x\na\0b,x\n", r"line 2: a NUL byte, which no text has"),
        ("text,x\na,b\rc\n", r"line 2: new-line character seen in unquoted field"),
        ("text,split\nFine.,dev\n", r"line 2: split: Input should be 'train'"),
        ("text,label\nFine.,1\n", r"line 2: label 1: task free has none; leave it out, or give --task"),
        ("text,messages\nFine.,[\n", r"line 2: messages: Invalid JSON: .*; mend the row"),
        ("text,messages\nFine.,7\n", r"line 2: messages: Input should be a valid list"),
        ("text,media\nFine.,[1]\n", r'line 2: media.0: a path is wanted, or {"path"'),
        ("example_id,text\na,x\na,y\n", r"line 3: example_id a stands in line 2 too"),
        ("prompt\n \n\n", r"is empty, at least one example is wanted"),
        ("text\n", r"is empty, at least one example is wanted"),
        ("", r"is empty, at least one example is wanted"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(read: Read, lines: str | bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message) as raised:
        read("p.csv", lines)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("cell", ["sad", "2", "[0", "1.0", "nan", "9" * 5000])
def test_a_label_that_is_none_of_the_task_is_named(read: Read, cell: str) -> None:
    with pytest.raises(SourceError, match=r"line 2: label .* is not one of task movie-sentiment"):
        read("p.csv", "text,label\n", f"Fine.,{cell}\n", task="movie-sentiment")

"""Rated sentences of films and products: what is read, and what is said about a wrong file."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SourceError
from schemas.tasks import TASKS
from teacher_cache.readers.rated_sentences import MOVIE_REVIEWS, PRODUCT_REVIEWS, normalised, split_of

TASK = TASKS["movie-sentiment"]


def write(folder: Path, data: bytes) -> Path:
    path = folder / "movieReviewSnippets_GroundTruth.txt"
    path.write_bytes(data)
    return path


def test_clear_ratings_become_classes_and_the_rest_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, b"7\t2.5\tFine.\r\n8\t0.4\tSo so.\r\n9\t-0.5\tPoor, caf\xc3\xa9 film.\r\n")

    examples = MOVIE_REVIEWS.read(tmp_path, TASK).examples
    assert examples == MOVIE_REVIEWS.read(path, TASK).examples
    assert [(e.id, e.fields["text"], e.label.class_ids) for e in examples] == [
        ("movie-00007", "Fine.", (1,)),
        ("movie-00009", "Poor, café film.", (0,)),
    ]


def test_the_first_of_sentences_that_differ_in_case_and_space_is_kept(tmp_path: Path) -> None:
    write(tmp_path, b"1\t1.0\tA  Fine film\r\n2\t-2.0\ta fine FILM \r\n3\t1.0\tA fine film!\r\n")

    assert [e.id for e in MOVIE_REVIEWS.read(tmp_path, TASK).examples] == ["movie-00001", "movie-00003"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"GroundTruth.txt is empty"),
        (b"1\t2.0\tFine.\n2\t1.0\n", r"line 2: 2 columns, 3 are wanted"),
        (b"1\t2.0\tFine.\tindeed\n", r"line 1: 4 columns, 3 are wanted"),
        (b"1\t2.0\tFine.\n2\tgood\tNice.\n", r"line 2: the rating 'good' is no number"),
        (b"1\t4.5\tFine.\n", r"line 1: the rating 4.5 is not between -4 and 4"),
        (b"1\tnan\tFine.\n", r"line 1: the rating nan is not between -4 and 4"),
        (b"x\t2.0\tFine.\n", r"line 1: the id 'x' is no whole number"),
        (b"1\t2.0\tFine.\n2\t1.0\tNa\xefve.\n", r"line 2: byte 0xef is not UTF-8"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_named_with_its_line(
    tmp_path: Path, data: bytes, message: str
) -> None:
    write(tmp_path, data)

    with pytest.raises(SourceError, match=message) as raised:
        MOVIE_REVIEWS.read(tmp_path, TASK)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"9" * 5000 + b"\t1.0\tFine.\n", r"line 2: the id '9+' is no whole number of 18 digits or less"),
        (b"8\t1.0\t \n", r"line 2: the sentence is blank; write one, or leave the line out"),
    ],
)
def test_a_line_that_cannot_be_a_row_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    write(tmp_path, b"7\t2.5\tGood.\n" + line)

    with pytest.raises(SourceError, match=message):
        MOVIE_REVIEWS.read(tmp_path, TASK)


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is not there; .*make data"):
        MOVIE_REVIEWS.read(tmp_path, TASK)


@given(st.text())
def test_a_sentence_has_one_split_whatever_its_case_and_space(text: str) -> None:
    assert split_of(normalised(text)) == split_of(normalised(f" {text.swapcase().swapcase()}\t"))


def test_the_real_sentences(fetched: Path) -> None:
    examples = MOVIE_REVIEWS.read(fetched / "tasks" / "movie-reviews", TASK).examples

    assert (
        len(examples)
        == len({e.id for e in examples})
        == len({normalised(e.fields["text"]) for e in examples})
    )
    assert 10_000 < len(examples) <= 10_072
    shares = {split: count / len(examples) for split, count in Counter(e.split for e in examples).items()}
    assert shares == pytest.approx({"train": 0.7, "validation": 0.2, "test": 0.1}, abs=0.01)
    positive = sum(e.label.class_ids == (1,) for e in examples) / len(examples)
    assert positive == pytest.approx(0.5, abs=0.02)


def products(folder: Path, *lines: str) -> Path:
    path = folder / "amazonReviewSnippets_GroundTruth.txt"
    path.write_text("".join(f"{line}\r\n" for line in lines))
    return path


def test_a_product_sentence_is_named_by_its_review(tmp_path: Path) -> None:
    products(tmp_path, "1_1\t-0.9\tno picture", "12_30\t0.5\tgood", "12_31\t0.4\tso so")

    examples = PRODUCT_REVIEWS.read(tmp_path, TASKS["product-reviews"]).examples
    assert [(e.id, e.task, e.label.class_ids) for e in examples] == [
        ("product-001-01", "product-reviews", (0,)),
        ("product-012-30", "product-reviews", (1,)),
    ]


@pytest.mark.parametrize("identifier", ["1", "1_", "_1", "1_1_1", "a_1", "1_1 ", "1_" + "9" * 10, "\u0661_1"])
def test_an_id_that_is_none_of_a_product_is_named(tmp_path: Path, identifier: str) -> None:
    products(tmp_path, "1_1\t1\tgood", f"{identifier}\t1\tgood")

    with pytest.raises(SourceError, match=r"line 2: the id .* is no number of a review and of a sentence"):
        PRODUCT_REVIEWS.read(tmp_path, TASKS["product-reviews"])


def test_the_real_product_sentences_of_a_review_are_in_one_split(fetched: Path) -> None:
    examples = PRODUCT_REVIEWS.read(fetched / "tasks" / "product-reviews", TASKS["product-reviews"]).examples

    assert 2_900 < len(examples) <= 2_985
    splits: dict[str, set[str]] = {}
    for example in examples:
        splits.setdefault(example.id.rpartition("-")[0], set()).add(example.split)
    assert {len(found) for found in splits.values()} == {1}
    shares = {split: count / len(examples) for split, count in Counter(e.split for e in examples).items()}
    assert shares == pytest.approx({"train": 0.7, "validation": 0.2, "test": 0.1}, abs=0.06)

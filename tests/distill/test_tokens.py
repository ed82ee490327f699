from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distill import tokens as tokens_module
from distill.pretrained import load_tokenizer
from distill.tokens import tokenised
from schemas.cache import TeacherCache
from schemas.errors import ShardError
from schemas.files import cache_folder


def test_rows_are_what_the_tokenizer_gives(cache: TeacherCache, tiny_student: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_student))
    tokens = tokenised(cache, "train", tokenizer, ("{text}",), 8)
    texts = [
        fields[0]["text"]
        for _, shard in cache.shards("train")
        for fields in shard.read(["fields"]).column(0).to_pylist()
    ]
    wanted = tokenizer(texts, truncation=True, max_length=8)["input_ids"]
    order = np.random.default_rng(0).permutation(len(texts))
    assert [row.tolist() for row in tokens.rows("input_ids", order)] == [wanted[row] for row in order]
    assert tokens.lengths.tolist() == [len(row) for row in wanted]
    assert tokens.names == ("input_ids",)
    assert len(set(tokens.id_hashes.tolist())) == len(texts)


def test_pairs_carry_their_segments(cache: TeacherCache, tiny_student: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_student))
    tokens = tokenised(cache, "train", tokenizer, ("{text}", "{text}"), 64)
    assert tokens.names == ("input_ids", "token_type_ids")
    assert set(tokens.rows("token_type_ids", np.array([0]))[0].tolist()) == {0, 1}


def test_are_made_once(cache: TeacherCache, tiny_student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load_tokenizer(str(tiny_student))
    tokenised(cache, "train", tokenizer, ("{text}",), 9)
    monkeypatch.setattr(tokens_module, "write_flat", lambda *_, **__: pytest.fail("tokenised twice"))
    assert tokenised(cache, "train", tokenizer, ("{text}",), 9).lengths.max() <= 9


def test_refuses_a_field_that_the_rows_lack(cache: TeacherCache, tiny_student: Path) -> None:
    with pytest.raises(ShardError, match="0 of 40 rows have the field 'premise'"):
        tokenised(cache, "train", load_tokenizer(str(tiny_student)), ("{premise}",), 8)


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("*.npy", lambda path: path.write_bytes(path.read_bytes()[:100])),
        ("*.entries.npy", lambda path: path.write_bytes(path.read_bytes()[:-1])),
        ("*.id_hash.npy", lambda path: path.write_bytes(b"")),
        ("*.ends.npy", Path.unlink),
        ("*.json", lambda path: path.write_bytes(b"{")),
    ],
)
def test_a_damaged_file_is_made_again(
    cache: TeacherCache,
    tiny_student: Path,
    capsys: pytest.CaptureFixture[str],
    pattern: str,
    damage: Callable[[Path], None],
) -> None:
    tokenizer = load_tokenizer(str(tiny_student))
    whole = tokenised(cache, "train", tokenizer, ("{text}",), 10).lengths.tolist()
    for path in (cache_folder() / "tokens").glob(pattern):
        damage(path)

    assert tokenised(cache, "train", tokenizer, ("{text}",), 10).lengths.tolist() == whole
    assert "is damaged" in capsys.readouterr().err

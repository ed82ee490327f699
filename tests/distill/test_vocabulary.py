from pathlib import Path

import pytest

from distill.vocabulary import check_vocabulary
from schemas.errors import MismatchError, StudentError
from schemas.manifest import TeacherIdentity


def teacher(vocab_size: int | None = 100, tokenizer: str | None = "abc") -> TeacherIdentity:
    return TeacherIdentity(
        backend="transformers",
        name="smol",
        revision="1",
        modality="text",
        vocab_size=vocab_size,
        hashes={} if tokenizer is None else {"tokenizer": tokenizer},
    )


@pytest.mark.parametrize("vocab_size", [97, 100, 128])
def test_either_may_be_padded_larger_than_the_tokenizer(vocab_size: int) -> None:
    assert check_vocabulary(teacher(), "tiny", "abc", vocab_size, num_tokens=97) == 100


@pytest.mark.parametrize(
    ("identity", "digest", "vocab_size", "said"),
    [
        (teacher(), "abd", 100, "student tiny has the tokenizer abd, teacher smol abc"),
        (teacher(), "abc", 96, "student tiny has 96 token ids, teacher smol 100, their tokenizer 97"),
        (teacher(vocab_size=None), "abc", 100, "teacher smol has no vocabulary size"),
        (teacher(tokenizer=None), "abc", 100, "teacher smol has no digest of the tokenizer"),
    ],
)
def test_anything_else_is_refused_by_name(
    identity: TeacherIdentity, digest: str, vocab_size: int, said: str
) -> None:
    with pytest.raises(MismatchError, match=said) as refusal:
        check_vocabulary(identity, "tiny", digest, vocab_size, num_tokens=97)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("backend", "advice"),
    [
        ("import", "import it again with teacher-shards import --tokenizer DIR"),
        ("openai", "make the cache again with --store logprobs --option tokenizer=DIR"),
        ("vllm", "make the cache again with --store logprobs$"),
    ],
)
def test_a_cache_that_names_no_tokenizer_says_who_can_name_it(backend: str, advice: str) -> None:
    nameless = teacher(tokenizer=None).model_copy(update={"backend": backend})
    with pytest.raises(MismatchError, match=advice):
        check_vocabulary(nameless, "tiny", "abc", 100, num_tokens=97)


def test_the_tokenizer_of_a_hub_student_is_that_of_its_local_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tokenizer.json` is read where the hub's library put it with the weights; nothing is fetched."""
    from huggingface_hub import constants

    from distill.writer import tokenizer_file
    from schemas.tokenizer import tokenizer_digest

    repository = tmp_path / "models--someone--tiny"
    snapshot = repository / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    (snapshot / "tokenizer.json").write_text('{"model": {"type": "BPE", "merges": ["a b"]}}')
    other = tmp_path / "tokenizer.json"
    other.write_text('{"version": "1.0", "model": {"type": "BPE", "merges": [["a", "b"]]}}')
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    assert tokenizer_digest(tokenizer_file("someone/tiny")) == tokenizer_digest(other)
    with pytest.raises(StudentError, match=r"--student someone/else: cannot be loaded \(") as refusal:
        tokenizer_file("someone/else")
    assert "\n" not in str(refusal.value)

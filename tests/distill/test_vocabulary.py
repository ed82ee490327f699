import pytest

from distill.vocabulary import check_vocabulary
from schemas.errors import MismatchError
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


@pytest.mark.parametrize("vocab_size", [100, 128])
def test_equal_and_padded_larger_pass(vocab_size: int) -> None:
    assert check_vocabulary(teacher(), "tiny", "abc", vocab_size) == 100


@pytest.mark.parametrize(
    ("identity", "digest", "vocab_size", "said"),
    [
        (teacher(), "abd", 100, "student tiny has the tokenizer abd, teacher smol abc"),
        (teacher(), "abc", 99, "student tiny has 99 token ids, teacher smol 100"),
        (teacher(vocab_size=None), "abc", 100, "teacher smol has no vocabulary size"),
        (teacher(tokenizer=None), "abc", 100, "teacher smol has no digest of the tokenizer"),
    ],
)
def test_anything_else_is_refused_by_name(
    identity: TeacherIdentity, digest: str, vocab_size: int, said: str
) -> None:
    with pytest.raises(MismatchError, match=said) as refusal:
        check_vocabulary(identity, "tiny", digest, vocab_size)
    assert "\n" not in str(refusal.value)

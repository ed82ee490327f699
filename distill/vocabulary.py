"""Whether a teacher's token ids mean to a student what they meant to the teacher."""

from typing import Any

from schemas.errors import MismatchError
from schemas.manifest import TeacherIdentity

_CHOOSE = "choose a student with the teacher's tokenizer, or --method seqkd, which reads texts"
_MAKE = "make the cache again with --store logprobs"
# What a backend does not know by itself.
_MAKE_AGAIN = {
    "import": "import it again with teacher-shards import --tokenizer DIR",
    "openai": f"{_MAKE} --option tokenizer=DIR",
}


def check_vocabulary(
    teacher: TeacherIdentity, student: str, tokenizer_digest: str, vocab_size: int, num_tokens: int
) -> int:
    """Refuse a student that would read the teacher's ids as other tokens, or cannot say them all.

    Either vocabulary may be padded larger than the tokenizer's: the ids that only one of them has are in no
    divergence.

    Args:
        teacher: from the manifest of the cache.
        student: its name, for the message.
        tokenizer_digest: of the student's tokenizer, made as the manifest's `hashes.tokenizer` is.
        vocab_size: ids of the student's head.
        num_tokens: ids of that tokenizer.

    Returns:
        Ids of the teacher.

    Raises:
        MismatchError: the tokenizers differ, cannot be compared, or the student has fewer ids than both.
    """
    known, wanted = teacher.vocab_size, teacher.hashes.get("tokenizer")
    if known is None or wanted is None:
        missing = "vocabulary size" if known is None else "digest of the tokenizer"
        raise MismatchError(
            f"the manifest of teacher {teacher.name} has no {missing}, which token losses need; "
            f"{_MAKE_AGAIN.get(teacher.backend, _MAKE)}"
        )
    if tokenizer_digest != wanted:
        raise MismatchError(
            f"student {student} has the tokenizer {tokenizer_digest[:16]}, teacher {teacher.name} "
            f"{wanted[:16]}; {_CHOOSE}"
        )
    if vocab_size < min(known, num_tokens):
        raise MismatchError(
            f"student {student} has {vocab_size} token ids, teacher {teacher.name} {known}, their tokenizer "
            f"{num_tokens}; {_CHOOSE}"
        )
    return known


def num_ids(tokenizer: Any) -> int:
    """One more than a tokenizer's highest id."""
    return max(tokenizer.get_vocab().values()) + 1

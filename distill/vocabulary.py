"""Whether a teacher's token ids mean to a student what they meant to the teacher."""

from schemas.errors import MismatchError
from schemas.manifest import TeacherIdentity

_CHOOSE = "choose a student with the teacher's tokenizer, or --method seqkd, which reads texts"


def check_vocabulary(teacher: TeacherIdentity, student: str, tokenizer_digest: str, vocab_size: int) -> int:
    """Refuse a student that would read the teacher's ids as other tokens, or cannot say them all.

    A student's vocabulary may be padded larger: the ids beyond the teacher's have no mass in any divergence.

    Args:
        teacher: from the manifest of the cache.
        student: its name, for the message.
        tokenizer_digest: of the student's tokenizer, made as the manifest's `hashes.tokenizer` is.
        vocab_size: ids of the student's head.

    Returns:
        Ids of the teacher.

    Raises:
        MismatchError: the tokenizers differ, cannot be compared, or the student has fewer ids.
    """
    known, wanted = teacher.vocab_size, teacher.hashes.get("tokenizer")
    if known is None or wanted is None:
        missing = "vocabulary size" if known is None else "digest of the tokenizer"
        raise MismatchError(
            f"the manifest of teacher {teacher.name} has no {missing}, which token losses need; make the "
            "cache with --store logprobs and, of a service, --option tokenizer=DIR"
        )
    if tokenizer_digest != wanted:
        raise MismatchError(
            f"student {student} has the tokenizer {tokenizer_digest[:16]}, teacher {teacher.name} "
            f"{wanted[:16]}; {_CHOOSE}"
        )
    if vocab_size < known:
        raise MismatchError(
            f"student {student} has {vocab_size} token ids, teacher {teacher.name} {known}; {_CHOOSE}"
        )
    return known

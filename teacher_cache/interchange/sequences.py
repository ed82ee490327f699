"""Prompt and answer as one run of tokens, for formats whose rows are what a student reads.

Letters: P tokens of the prompt, T of the answer.
"""

from dataclasses import dataclass, replace
from typing import Any

from schemas.errors import MismatchError
from schemas.example import turns_of
from schemas.manifest import CacheManifest
from schemas.rows import Row
from schemas.topk import TopK
from teacher_cache.interchange.source import ExportSource, LeftOut, check_answered
from teacher_cache.interchange.vocabulary import load_tokenizer, num_ids, tokenizer_hashes
from teacher_cache.teachers.local.prompts import PromptError, PromptReader


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """What one row is to a student.

    Attributes:
        ids: prompt and answer, P + T.
        num_prompt: P, at least 1.
        top: entries of each of the T tokens.
    """

    ids: list[int]
    num_prompt: int
    top: TopK

    @property
    def num_answer(self) -> int:
        """T."""
        return len(self.ids) - self.num_prompt


class SequenceReader:
    """Makes sequences of a cache's rows with the tokenizer of its teacher.

    Prompt and answer are made into tokens apart and joined, as the teacher read them.

    Args:
        source: with a tokenizer.

    Raises:
        ConfigError: the tokenizer cannot be loaded.
        MismatchError: it is not the teacher's.
    """

    def __init__(self, source: ExportSource) -> None:
        assert source.tokenizer is not None, "checked before"
        self._source = source
        self.tokenizer = load_tokenizer(source.tokenizer)
        manifest = source.cache.manifest
        _check_same(source, self.tokenizer)
        self._prompts = PromptReader(
            tokenizer=self.tokenizer, chat=_chat(manifest, self.tokenizer), system=system_of(manifest)
        )

    def read(self, row: Row) -> TokenSequence:
        """The tokens of a row.

        Raises:
            LeftOut: it has none, or its prompt cannot be read.
        """
        check_answered(row, ("logprobs",))
        assert row.answer is not None
        assert row.answer.token_ids is not None
        example = replace(row.example, prompt=row.prompt, messages=turns_of(row.prompt))
        try:
            prompt = self._prompts.read(example).ids
        except PromptError as error:
            raise LeftOut(f"have a prompt that cannot be read ({error})") from None
        return TokenSequence([*prompt, *row.answer.token_ids.tolist()], len(prompt), self._source.top_of(row))


def system_of(manifest: CacheManifest) -> str | None:
    """What stood before each conversation."""
    found = manifest.request.parameters.get("system")
    return None if found is None else str(found)


def _chat(manifest: CacheManifest, tokenizer: Any) -> bool:
    told = manifest.teacher.options.get("chat")
    return bool(tokenizer.chat_template) if told is None else bool(told)


def _check_same(source: ExportSource, tokenizer: Any) -> None:
    teacher = source.cache.manifest.teacher
    vocab_size = teacher.vocab_size or 0
    if num_ids(tokenizer) > vocab_size:
        raise MismatchError(
            f"--tokenizer {source.tokenizer} has {num_ids(tokenizer)} ids, the teacher {teacher.name} has "
            f"{vocab_size}; give the teacher's own"
        )
    theirs = teacher.hashes.get("tokenizer")
    ours = tokenizer_hashes(source.tokenizer or source.cache.folder).get("tokenizer")
    if teacher.backend == "transformers" and theirs != ours:
        raise MismatchError(
            f"--tokenizer {source.tokenizer} has the digest {str(ours)[:16]}, that of the teacher "
            f"{teacher.name} has {str(theirs)[:16]}; give the teacher's own"
        )

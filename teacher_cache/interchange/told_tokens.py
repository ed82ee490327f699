"""What a completion says of its tokens, in either endpoint's words, to ids and log-probabilities."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from schemas.errors import SourceError
from teacher_cache.interchange.vocabulary import Vocabulary
from teacher_cache.teachers.openai_service.options import OpenAIOptions
from teacher_cache.teachers.openai_service.vocabulary import AS_ID
from teacher_cache.teachers.openai_service.vocabulary import Vocabulary as TokenTexts

_BYTE = re.compile(r"\\x([0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True)
class Told:
    """Tokens of one answer; entries one token after another."""

    token_ids: list[int] = field(default_factory=list[int])
    token_logprobs: list[float] = field(default_factory=list[float])
    ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    counts: list[int] = field(default_factory=list[int])

    def add(self, token: tuple[int, float], entries: Sequence[tuple[int, float]]) -> None:
        """Take one token."""
        self.token_ids.append(token[0])
        self.token_logprobs.append(token[1])
        self.ids.extend(i for i, _ in entries)
        self.logprobs.extend(value for _, value in entries)
        self.counts.append(len(entries))


class TokenIds:
    """Ids of tokens that are told as texts, or as `token_id:ID`.

    Args:
        vocabulary: of the options; None where none was given.
    """

    def __init__(self, vocabulary: Vocabulary | None) -> None:
        self._vocabulary = vocabulary

    @property
    def size(self) -> int:
        """Of the vocabulary."""
        assert self._vocabulary is not None, "asked after an id was found"
        return self._vocabulary.size

    @cached_property
    def _by_bytes(self) -> Mapping[bytes, int]:
        assert self._vocabulary is not None
        folder = self._vocabulary.folder
        return {} if folder is None else _ids_by_bytes(folder)

    def id_of(self, place: str, token: str, told_bytes: list[int] | None) -> int:
        """The id of a token.

        Raises:
            SourceError: nothing tells it.
        """
        if self._vocabulary is None:
            raise SourceError(
                f"{place}: it has log-probabilities, whose tokens need a vocabulary; give --tokenizer DIR, "
                "or --vocab-size N where tokens are token_id:ID"
            )
        if token.startswith(AS_ID):
            return int(token.removeprefix(AS_ID))
        found = self._by_bytes.get(bytes(told_bytes) if told_bytes else _bytes_of(token))
        if found is None:
            raise SourceError(
                f"{place}: the token {token!r} is not in the tokenizer; give that of the model that "
                "answered with --tokenizer DIR"
            )
        return found


def told_tokens(place: str, logprobs: Mapping[str, Any] | None, token_ids: TokenIds) -> Told | None:
    """What `logprobs` of a choice says; None where there are none.

    Raises:
        SourceError: a token is in no vocabulary, or one has no entries.
    """
    if not logprobs:
        return None
    told = Told()
    if logprobs.get("content") is not None:
        for token in logprobs["content"]:
            told.add(
                _chat_entry(place, token, token_ids),
                [_chat_entry(place, one, token_ids) for one in token["top_logprobs"]],
            )
    elif logprobs.get("tokens") is not None:
        _add_older(place, logprobs, token_ids, told)
    if not told.counts:
        return None
    if 0 in told.counts:
        raise SourceError(
            f"{place}: token {told.counts.index(0)} has no top_logprobs; ask with top_logprobs of 1 or more"
        )
    return told


def _chat_entry(place: str, entry: Mapping[str, Any], token_ids: TokenIds) -> tuple[int, float]:
    return token_ids.id_of(place, entry["token"], entry.get("bytes")), entry["logprob"]


def _add_older(place: str, logprobs: Mapping[str, Any], token_ids: TokenIds, told: Told) -> None:
    columns = [logprobs[name] for name in ("tokens", "token_logprobs", "top_logprobs")]
    if len({len(column) for column in columns}) > 1:
        raise SourceError(
            f"{place}: {len(columns[0])} tokens, {len(columns[1])} token_logprobs and {len(columns[2])} "
            "top_logprobs; give one of each"
        )
    for token, logprob, top in zip(*columns, strict=True):
        entries = [(token_ids.id_of(place, text, None), value) for text, value in (top or {}).items()]
        told.add((token_ids.id_of(place, token, None), logprob), entries)


def _bytes_of(token: str) -> bytes:
    # The older endpoint writes a part of a character as bytes:\xe2\x80.
    if token.startswith("bytes:"):
        return bytes(int(pair, 16) for pair in _BYTE.findall(token))
    return token.encode("utf-8", "replace")


def _ids_by_bytes(folder: Path) -> Mapping[bytes, int]:
    found = TokenTexts.read(OpenAIOptions.model_validate({"tokenizer": folder}))
    assert found is not None, "a tokenizer is given"
    return found.ids

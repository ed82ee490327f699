"""A vocabulary: how many tokens there are, and which id a token has whose text alone a service tells."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from schemas.errors import ConfigError
from schemas.tokenizer import TOKENIZER_NAME, tokenizer_digest
from teacher_cache.teachers.openai_service.faults import RowError
from teacher_cache.teachers.openai_service.options import OpenAIOptions

AS_ID = "token_id:"
_AS_BYTES = "bytes:"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What is known of a model's tokens.

    Attributes:
        size: number of ids.
        digest: of the tokenizer's file, as stage two computes it; None without one.
        ids: of tokens, by their bytes; empty without a tokenizer.
    """

    size: int
    digest: str | None = None
    ids: Mapping[bytes, int] = field(default_factory=dict[bytes, int], repr=False)

    @classmethod
    def read(cls, options: OpenAIOptions) -> Self | None:
        """As the options say; None where they say nothing.

        Raises:
            ConfigError: the tokenizer cannot be read, or its tokens have no bytes.
        """
        if options.tokenizer is None:
            return None if options.vocab_size is None else cls(options.vocab_size)
        path = options.tokenizer / TOKENIZER_NAME if options.tokenizer.is_dir() else options.tokenizer
        ids, size = _read_file(path)
        return cls(options.vocab_size or size, tokenizer_digest(path), ids)

    def id_of(self, token: str, told_bytes: list[int] | None = None) -> int:
        """The id of a token.

        Args:
            token: `token_id:ID` as vLLM says it, or a text.
            told_bytes: bytes of the text, since a part of a character has no text.

        Raises:
            RowError: the vocabulary has no such token.
        """
        if token.startswith(AS_ID):
            return self._checked(int(token.removeprefix(AS_ID)))
        data = bytes(told_bytes) if told_bytes else _bytes_of(token)
        found = self.ids.get(data)
        if found is None:
            where = (
                "the tokenizer of --option tokenizer"
                if self.ids
                else "--option tokenizer=DIR, which is not given"
            )
            raise RowError(f"the token {token!r} is not in {where}; give the one of the service's model")
        return self._checked(found)

    def _checked(self, found: int) -> int:
        if not 0 <= found < self.size:
            raise RowError(
                f"token id {found} is outside the vocabulary of {self.size}; mend --option vocab-size"
            )
        return found


def _read_file(path: Path) -> tuple[dict[bytes, int], int]:
    from tokenizers import Tokenizer

    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        tokens: dict[str, int] = Tokenizer.from_file(str(path)).get_vocab(with_added_tokens=True)
        added = {token["content"] for token in written.get("added_tokens", [])}
    except Exception as error:  # noqa: BLE001 - the library raises plain Exceptions
        raise ConfigError(
            f"--option tokenizer: {path} cannot be read ({error}); give a tokenizer.json"
        ) from None
    return _ids_by_bytes(tokens, added, _speller(path, written)), max(tokens.values(), default=-1) + 1


def _ids_by_bytes(tokens: Mapping[str, int], added: set[str], spell: Any) -> dict[bytes, int]:
    # The first of equal bytes wins: words before the tokens of single bytes, and those before added tokens.
    order = sorted(
        tokens, key=lambda token: (token in added, _BYTE_TOKEN.fullmatch(token) is not None, tokens[token])
    )
    ids: dict[bytes, int] = {}
    for token in order:
        ids.setdefault(token.encode() if token in added else spell(token), tokens[token])
    return ids


def _speller(path: Path, written: Mapping[str, Any]) -> Any:
    decoder = json.dumps(written.get("decoder"), ensure_ascii=False)
    if '"ByteLevel"' in decoder:
        bytes_of = _byte_alphabet()
        return lambda token: b"".join(bytes_of.get(letter) or letter.encode() for letter in token)
    if "\u2581" in decoder:
        return _spell_pieces
    raise ConfigError(
        f"--option tokenizer: {path} is neither byte-level nor of pieces, so the texts of its tokens tell no "
        "ids; ask a vLLM server, which tells ids"
    )


def _spell_pieces(token: str) -> bytes:
    if match := _BYTE_TOKEN.fullmatch(token):
        return bytes([int(match.group(1), 16)])
    return token.replace("\u2581", " ").encode()


def _byte_alphabet() -> dict[str, bytes]:
    """The characters that byte-level tokenizers write bytes with: printable ones as they are."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): bytes([byte]) for byte in printable}
    return alphabet | {chr(256 + place): bytes([byte]) for place, byte in enumerate(others)}


def _bytes_of(token: str) -> bytes:
    if token.startswith(_AS_BYTES):
        # As the older endpoint writes a part of a character: bytes:\xe2\x80
        return bytes(int(pair, 16) for pair in re.findall(r"\\x([0-9a-fA-F]{2})", token))
    return token.encode("utf-8", "replace")

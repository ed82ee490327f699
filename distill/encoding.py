"""Texts to token ids, the same for training and for new texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Encoded:
    """Some texts as tokens.

    Attributes:
        columns: `input_ids`, and `token_type_ids` for pairs that the tokenizer keeps apart.
        cut: which texts were longer than allowed.
    """

    columns: dict[str, list[list[int]]]
    cut: list[bool]


def filled(templates: Sequence[str], columns: Mapping[str, list[str]]) -> list[list[str]]:
    """Write the fields of each row into some templates.

    Args:
        templates: with the names of columns in braces.
        columns: the fields of the rows, by name.

    Returns:
        For each template the text of each row.
    """
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [[template.format_map(row) for row in rows] for template in templates]


def encode(tokenizer: Any, fields: Sequence[list[str]], max_length: int) -> Encoded:
    """Tokenise texts or pairs.

    Args:
        tokenizer: a fast tokenizer of transformers, with a padding token.
        fields: one list of texts, or two that are pairs. A tokenizer that puts nothing between the two, as
            that of a causal model may, gets them as one text of two lines.
        max_length: tokens kept of a text or pair.

    Returns:
        The tokens. A text that has none, which only an empty one can be, gets one padding token.
    """
    if len(fields) == 2 and not separates(tokenizer):
        fields = [[f"{first}\n{second}" for first, second in zip(*fields, strict=True)]]
    pair = len(fields) == 2
    encoded = tokenizer(
        *fields,
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
        return_token_type_ids=pair,
    )
    columns = {name: encoded[name] for name in ("input_ids", "token_type_ids")[: 2 if pair else 1]}
    columns["input_ids"] = [ids or [tokenizer.pad_token_id] for ids in columns["input_ids"]]
    return Encoded(columns, [bool(one.overflowing) for one in encoded.encodings])


def separates(tokenizer: Any) -> bool:
    """Whether a tokenizer puts a special token between the two texts of a pair."""
    return tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False)

"""Which columns of an Arrow table are read, and as what.

Columns mean what they mean in our JSON lines (`KNOWN_COLUMNS`); a column of embedded files (`struct<bytes,
path>`, as Hugging Face's Image has them) is media; numbers and truth values become text; every other column
is a field.
"""

from dataclasses import dataclass

import pyarrow as pa
from pyarrow import types

from schemas.errors import SourceError
from teacher_cache.readers.delimited import KNOWN_COLUMNS

_TEXTS = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
_BYTES = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_null)
_SCALARS = (*_TEXTS, types.is_integer, types.is_floating, types.is_boolean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a table are read, and as what.

    Attributes:
        known: names of those that mean what they mean in JSON lines.
        fields: names of those that are fields.
        embedded: names of those that hold files.
        others: names of those that cannot be a field.
    """

    known: tuple[str, ...]
    fields: tuple[str, ...]
    embedded: tuple[str, ...]
    others: tuple[str, ...]


def names_of(where: str, schema: pa.Schema) -> list[str]:
    """The names of a schema's columns.

    Raises:
        SourceError: one is no text.
    """
    try:
        # Those within a column are read as well: a damaged file may have any of them wrong.
        for kind in schema.types:
            _is_embedded(kind)
        return list(schema.names)
    except UnicodeDecodeError:
        raise SourceError(f"{where}: the name of a column is not UTF-8; write the file again") from None


def sort_columns(where: str, schema: pa.Schema) -> Columns:
    """Say what each column of a schema is.

    Raises:
        SourceError: a name stands twice, or is no text.
    """
    names = names_of(where, schema)
    embedded = [name for name, kind in zip(names, schema.types, strict=True) if _is_embedded(kind)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SourceError(f"{where}: the column {twice[0]} stands twice; give each its own name")
    rest = [name for name in names if name not in embedded]
    fields = [name for name in rest if name not in KNOWN_COLUMNS and _is_scalar(schema.field(name).type)]
    return Columns(
        known=tuple(name for name in rest if name in KNOWN_COLUMNS),
        fields=tuple(fields),
        embedded=tuple(embedded),
        others=tuple(name for name in rest if name not in (*KNOWN_COLUMNS, *fields)),
    )


def _is_embedded(kind: pa.DataType) -> bool:
    if is_list(kind):
        return _is_embedded(kind.value_type)
    if not types.is_struct(kind):
        return False
    parts = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
    if set(parts) != {"bytes", "path"}:
        return False
    return any(is_kind(parts["bytes"]) for is_kind in _BYTES) and any(
        is_kind(parts["path"]) for is_kind in _TEXTS
    )


def is_list(kind: pa.DataType) -> bool:
    """Whether values are lists of values, however they are laid out."""
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _is_scalar(kind: pa.DataType) -> bool:
    if types.is_dictionary(kind):
        return _is_scalar(kind.value_type)
    return any(is_kind(kind) for is_kind in _SCALARS)

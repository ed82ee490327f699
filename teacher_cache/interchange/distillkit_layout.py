"""DistillKit's bytes: entries of a token to two lists of bytes, and back.

Ids are packed to the fewest whole bits for `d`, most significant bit first, each token ending on a whole
byte. Log-probabilities, most probable first, are `exact_k` plain numbers; for the rest the coefficients of
a polynomial in the rank, and bins of quantised residuals. A capture is written with one configuration,
which `compression_config.yaml` holds. Rows are written here with every entry exact (float32); all of it is
read.

Source: github.com/arcee-ai/DistillKit, 1.0.0:
compression/{config,bitpack,monotonic_logprobs,compressor}.py, README.md; written anew after them.

Letters: T tokens, K entries a token, B bytes a token.
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import SourceError
from schemas.manifest_file import first_fault

CONFIG_NAME = "compression_config.yaml"
Dtype = Literal["float16", "bfloat16", "float32", "float64"]
_WIDTHS = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
_SPECIAL = {"sqrt": np.sqrt, "exp": np.exp}


class ResidualBin(BaseModel):
    """Residuals of some ranks: a scale, and `element_bits` for each."""

    scale_dtype: Dtype
    element_bits: int = Field(ge=1, le=32)
    num_elements: int = Field(ge=1)


class Compression(BaseModel):
    """How a capture was written, by DistillKit's own names."""

    model_config = ConfigDict(frozen=True)

    d: int = Field(ge=2, le=1 << 24)
    k: int = Field(ge=1)
    exact_k: int = Field(ge=0)
    exact_dtype: Dtype = "float32"
    polynomial_terms: list[int | float | Literal["sqrt", "exp"]] | None = None
    term_dtype: Dtype = "float32"
    residual_bins: list[ResidualBin] = []
    delta_encoding: bool = True
    error_diffusion: bool = False
    normalize_t: bool = False

    @property
    def id_bits(self) -> int:
        """Bits of an id."""
        return int(np.ceil(np.log2(np.float32(self.d))))

    @property
    def is_exact(self) -> bool:
        """Whether every entry is a plain number of at least 32 bits."""
        return self.exact_k >= self.k and _WIDTHS[self.exact_dtype] >= 4


def exact_compression(vocab_size: int, k: int) -> Compression:
    """The configuration that loses nothing."""
    return Compression(d=vocab_size, k=k, exact_k=k, delta_encoding=False)


def read_compression(path: Path) -> Compression:
    """The configuration beside a file of a capture.

    Raises:
        SourceError: it is missing, or not DistillKit's.
    """
    import yaml

    config = path.parent / CONFIG_NAME
    try:
        return Compression.model_validate(yaml.safe_load(config.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise SourceError(
            f"{config} is not there, and without it nobody can read {path.name}; copy it from the capture"
        ) from None
    except ValidationError as error:
        raise SourceError(f"{config}: {first_fault(error)}; copy it from the capture") from None
    except (yaml.YAMLError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{config} cannot be read ({reason}); copy it from the capture") from None


def compression_text(config: Compression) -> str:
    """As a file; JSON is YAML."""
    return json.dumps(config.model_dump(), indent=1) + "\n"


def pack_ids(ids_TK: NDArray[np.int32], bits: int) -> NDArray[np.uint8]:
    """Ids to bytes, (T, B)."""
    places = np.arange(bits)[::-1]
    flags = (ids_TK[:, :, None] >> places & 1).astype(np.uint8)
    return np.packbits(flags.reshape(len(ids_TK), -1), axis=1)


def unpack_ids(bytes_TB: NDArray[np.uint8], bits: int, num: int) -> NDArray[np.int64]:
    """Bytes to ids, (T, num)."""
    flags = np.unpackbits(bytes_TB, axis=1)[:, : bits * num].reshape(len(bytes_TB), num, bits)
    return flags.astype(np.int64) @ (1 << np.arange(bits, dtype=np.int64)[::-1])


def id_bytes(config: Compression) -> int:
    """Bytes of a token's ids."""
    return -(-config.k * config.id_bits // 8)


def logprob_bytes(config: Compression) -> int:
    """Bytes of a token's log-probabilities."""
    bins = [
        _WIDTHS[one.scale_dtype] + -(-one.element_bits * one.num_elements // 8)
        for one in config.residual_bins
    ]
    terms = len(config.polynomial_terms or []) * _WIDTHS[config.term_dtype]
    return config.exact_k * _WIDTHS[config.exact_dtype] + terms + sum(bins)


def pack_exact(logprobs_TK: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Log-probabilities to bytes where every entry is exact, (T, B)."""
    return np.ascontiguousarray(logprobs_TK, "<f4").view(np.uint8)


def unpack_logprobs(bytes_TB: NDArray[np.uint8], config: Compression) -> NDArray[np.float32]:
    """Bytes to log-probabilities, (T, K)."""
    exact_TK, at = _numbers(bytes_TB, 0, config.exact_k, config.exact_dtype)
    coefficients_TP, at = _numbers(bytes_TB, at, len(config.polynomial_terms or []), config.term_dtype)
    rest_TK = coefficients_TP @ _terms(config).T
    rank = 0
    for one in config.residual_bins:
        values, at = _residuals(bytes_TB, at, one)
        rest_TK[:, rank : rank + one.num_elements] += values
        rank += one.num_elements
    whole_TK = np.hstack([exact_TK, rest_TK])
    return np.cumsum(whole_TK, axis=1, dtype=np.float32) if config.delta_encoding else whole_TK


def _terms(config: Compression) -> NDArray[np.float32]:
    num = config.k - config.exact_k
    ranks = (
        np.linspace(0, 1, num, dtype=np.float32) if config.normalize_t else np.arange(num, dtype=np.float32)
    )
    columns = [
        _SPECIAL[term](ranks) if isinstance(term, str) else ranks**term
        for term in config.polynomial_terms or []
    ]
    return np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((num, 0), np.float32)


def _numbers(
    bytes_TB: NDArray[np.uint8], start: int, num: int, dtype: str
) -> tuple[NDArray[np.float32], int]:
    stop = start + num * _WIDTHS[dtype]
    part = np.ascontiguousarray(bytes_TB[:, start:stop])
    if dtype == "bfloat16":
        return (part.view("<u2").astype(np.uint32) << 16).view(np.float32), stop
    return part.view(f"<f{_WIDTHS[dtype]}").astype(np.float32), stop


def _residuals(bytes_TB: NDArray[np.uint8], start: int, one: ResidualBin) -> tuple[Any, int]:
    scale_T1, start = _numbers(bytes_TB, start, 1, one.scale_dtype)
    stop = start + -(-one.element_bits * one.num_elements // 8)
    steps = unpack_ids(np.ascontiguousarray(bytes_TB[:, start:stop]), one.element_bits, one.num_elements)
    if one.element_bits == 1:
        return (steps * 2.0 - 1.0).astype(np.float32) * scale_T1, stop
    return (steps - (1 << one.element_bits - 1)).astype(np.float32) * scale_T1, stop

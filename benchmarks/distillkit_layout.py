"""The peer of the codecs: DistillKit's published layout, written and read as its capture does.

A row is two lists of lists of bytes. The ids of a token are packed to the fewest whole bits; of its k
log-probabilities the first are kept as bfloat16 and a polynomial stands for the rest, with float32
coefficients. The configurations are those that its README recommends: the "budget pick" (made for k = 50,
here used for every k below 128) and the one "used for new captures" (k = 128). The file is written with
pyarrow's defaults, as its writer does.

Source: github.com/arcee-ai/DistillKit: README.md, sample_common.py, compression/; written anew after them.

Letters: T tokens, K entries a token, P polynomial terms.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

_BYTES = pa.list_(pa.list_(pa.uint8()))


def configuration(k: int) -> tuple[int, tuple[float, ...]]:
    """How many log-probabilities are kept, and the powers that stand for the rest."""
    return (16, (0, 1, 2, 3, 4, 0.5)) if k >= 128 else (1, (0, 1, 0.5))


def encode(
    ids_TK: NDArray[np.int32], logprobs_TK: NDArray[np.float32], vocab_size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """Bytes of the log-probabilities and of the ids, (T, bytes), and the log-probabilities as read back."""
    num_kept, powers = configuration(ids_TK.shape[1])
    kept = torch.from_numpy(logprobs_TK[:, :num_kept].copy()).to(torch.bfloat16)
    terms_KP = np.arange(ids_TK.shape[1] - num_kept)[:, None] ** np.array(powers)
    solution_PT, *_ = np.linalg.lstsq(terms_KP, logprobs_TK[:, num_kept:].T.astype(np.float64))
    coefficients_TP = np.ascontiguousarray(solution_PT.T, np.float32)
    as_bytes = np.hstack([kept.view(torch.uint8).numpy(), coefficients_TP.view(np.uint8)])
    read_TK = np.hstack([kept.float().numpy(), coefficients_TP @ terms_KP.T.astype(np.float32)])
    bits = np.arange((vocab_size - 1).bit_length())[::-1]
    id_bytes = np.packbits((ids_TK[:, :, None] >> bits & 1).astype(np.uint8).reshape(len(ids_TK), -1), axis=1)
    return as_bytes, id_bytes, read_TK


def write(
    path: Path, logprobs: NDArray[np.uint8], ids: NDArray[np.uint8], rows: Sequence[slice]
) -> pq.FileMetaData:
    """Write one list of tokens a row."""
    columns = {"compressed_logprobs": logprobs, "bytepacked_indices": ids}
    arrays = {
        name: pa.array([values[row].tolist() for row in rows], _BYTES) for name, values in columns.items()
    }
    pq.write_table(pa.table(arrays), path)
    return pq.read_metadata(path)


def read(path: Path) -> list[NDArray[np.uint8]]:
    """Both columns as flat bytes: less than a reader needs, and all that this layout's cost is about."""
    table = pq.read_table(path, use_threads=False)
    return [column.combine_chunks().flatten().flatten().to_numpy() for column in table.columns]

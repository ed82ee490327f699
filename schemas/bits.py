"""Integers in fewer bits than bytes have, laid out so that numpy unpacks them a whole array at a time.

Letters: N numbers.
"""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_NUM_LANES = 8


def _planes(bits: int) -> Iterator[tuple[int, int]]:
    """The powers of two that sum to `bits`, largest first, and the bit each starts at: 18 is 16 + 2."""
    shift = 0
    for width in (32, 16, 8, 4, 2, 1):
        if bits & width:
            yield shift, width
            shift += width


def _plane_bytes(num: int, width: int) -> int:
    return -(-num * width // 8)


def packed_bytes(num: int, bits: int) -> int:
    """Bytes that `num` numbers of `bits` bits take: each plane is rounded up to a whole byte."""
    return sum(_plane_bytes(num, width) for _, width in _planes(bits))


def pack_ids(ids_N: NDArray[np.int32], bits: int) -> bytes:
    """Write the lowest `bits` bits of each id, plane after plane.

    A plane of 8, 16 or 32 bits is an array of little-endian integers; in a narrower one several numbers
    share a byte, the first in its lowest bits.

    Args:
        ids_N: 0 <= id < 2**bits.
        bits: 0 to 32.
    """
    return b"".join(_pack_plane(ids_N >> shift, width) for shift, width in _planes(bits))


def _pack_plane(values_N: NDArray[np.int32], width: int) -> bytes:
    if width >= 8:
        return values_N.astype(f"<u{width // 8}").tobytes()
    share = 8 // width
    padded_N = np.zeros(-(-len(values_N) // share) * share, np.uint8)
    padded_N[: len(values_N)] = values_N & ((1 << width) - 1)
    shifts = np.arange(share, dtype=np.uint8) * np.uint8(width)
    return np.bitwise_or.reduce(padded_N.reshape(-1, share) << shifts, axis=1).astype(np.uint8).tobytes()


def unpack_ids(data: bytes | memoryview, num: int, bits: int) -> NDArray[np.int32]:
    """Read what `pack_ids` wrote; `data` has at least `packed_bytes(num, bits)` bytes."""
    ids_N, start = None, 0
    for shift, width in _planes(bits):
        plane_N = _unpack_plane(data, start, num, shift, width)
        ids_N = plane_N if ids_N is None else np.bitwise_or(ids_N, plane_N, out=ids_N)
        start += _plane_bytes(num, width)
    return np.zeros(num, np.int32) if ids_N is None else ids_N


def _unpack_plane(
    data: bytes | memoryview, start: int, num: int, shift: int, width: int
) -> NDArray[np.int32]:
    if width < 8:
        packed = np.frombuffer(data, np.uint8, _plane_bytes(num, width), start)
        return _table(shift, width).take(packed, axis=0).reshape(-1)[:num]
    plane_N = np.frombuffer(data, f"<u{width // 8}", num, start).astype(np.int32)
    return np.left_shift(plane_N, shift, out=plane_N) if shift else plane_N


@functools.cache
def _table(shift: int, width: int) -> NDArray[np.int32]:
    """For each byte the numbers that share it, already at their place in the id."""
    bytes_256 = np.arange(256, dtype=np.int32)[:, None]
    return (bytes_256 >> np.arange(0, 8, width, dtype=np.int32) & ((1 << width) - 1)) << shift


def lanes_bytes(num: int) -> int:
    """Bytes that `num` small numbers take in lanes: a whole number of eights."""
    return -(-num // _NUM_LANES) * _NUM_LANES


def pack_lanes(values_N: NDArray[np.uint8]) -> bytes:
    """Write bytes as differences, which compress well where neighbours are close, yet are summed fast.

    The N bytes, zero-padded to 8 M, are cut into eight lanes of M. Word j, 64 bits, has byte j of every lane,
    lane 0 lowest. Written is each word's difference from the word before (the first's from zero), modulo
    2**64, little-endian. So one running sum over words undoes eight lanes at once.
    """
    padded = np.zeros(lanes_bytes(len(values_N)), np.uint8)
    padded[: len(values_N)] = values_N
    words_M = np.ascontiguousarray(padded.reshape(_NUM_LANES, -1).T).view("<u8").reshape(-1)
    return np.diff(words_M, prepend=np.uint64(0)).astype("<u8").tobytes()


def unpack_lanes(data: bytes | memoryview, num: int, scale: float) -> NDArray[np.float32]:
    """Read what `pack_lanes` wrote, times `scale`, as float32, (N,)."""
    words_M = np.cumsum(np.frombuffer(data, "<u8"), dtype=np.uint64).astype("<u8", copy=False)
    lanes = np.ascontiguousarray(words_M.view(np.uint8).reshape(-1, _NUM_LANES).T)
    return np.multiply(lanes, np.float32(scale), dtype=np.float32).reshape(-1)[:num]

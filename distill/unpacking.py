"""Small integers out of the shard format's planes and lanes, in torch, on whichever device holds the bytes.

`schemas.bits` wrote them; docs/shard-format.md has the layout. The bytes of many rows lie one after the other
and are unpacked at once. Where a number stands follows from how many each row has, never from what the bytes
say, so that damaged bytes give wrong numbers, not reads outside them.

Letters: R rows, M numbers of all rows together.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

NUM_LANES = 8
_WHOLE = {8: torch.uint8, 16: torch.uint16, 32: torch.int32}


def planes_of(bits: int) -> list[tuple[int, int]]:
    """The planes of an id: the bit that each starts at, and its width: 18 bits are 16 and 2."""
    widths = [width for width in (32, 16, 8, 4, 2, 1) if bits & width]
    return [(sum(widths[:index]), width) for index, width in enumerate(widths)]


def plane_bytes(num: int, width: int) -> int:
    """Bytes of one row's plane: its numbers' bits, rounded up to a whole byte."""
    return -(-num * width // 8)


def lane_bytes(num: int) -> int:
    """Bytes of one row's lanes: its numbers rounded up to eights."""
    return -(-num // NUM_LANES) * NUM_LANES


def unpack_plane(data: Tensor, num_R: Sequence[int], shift: int, width: int) -> Tensor:
    """One plane of all rows, at its place in the id.

    Args:
        data: bytes of the rows, uint8, (sum over R of `plane_bytes`,); from 8 bits on aligned to them.
        num_R: numbers of each row.
        shift: bit of the id at which the plane starts.
        width: bits of the plane.

    Returns:
        int32, (M,), to be joined with the other planes by `or`.
    """
    if width < 8:
        values = _table(shift, width, data.device).index_select(0, data.int()).view(-1)
        return _without_fill(values, num_R, [plane_bytes(num, width) * (8 // width) for num in num_R])
    plane_M = data.view(_WHOLE[width]).int()
    return plane_M << shift if shift else plane_M


def _table(shift: int, width: int, device: torch.device) -> Tensor:
    """For each byte the numbers that share it, already at their place in the id, int32, (256, 8 / width)."""
    bytes_256 = torch.arange(256, dtype=torch.int32, device=device)[:, None]
    shifts = torch.arange(0, 8, width, dtype=torch.int32, device=device)
    return (bytes_256 >> shifts & ((1 << width) - 1)) << shift


def unpack_lanes(data: Tensor, num_R: Sequence[int]) -> Tensor:
    """The lanes of all rows: one running sum over all words, less what it was where each row began.

    Args:
        data: bytes of the rows, uint8, (sum over R of `lane_bytes`,), aligned to eight.
        num_R: numbers of each row.

    Returns:
        uint8, (M,).
    """
    # int64 wraps around, in the sum and in the difference, as the format's modulo 2^64 does.
    words = data.view(torch.int64).cumsum(0)
    room_R = [lane_bytes(num) for num in num_R]
    words_R = [room // NUM_LANES for room in room_R]
    parts = words.split(words_R)
    ends = [part[-1:] for part in parts if len(part)]
    if len(ends) > 1:
        before = [words.new_zeros(1), *ends[:-1]]
        filled = [num for num in words_R if num]
        # Joined of parts, since their sizes are known here, and a tensor of sizes would have to be sent.
        words = words - torch.cat([one.expand(num) for one, num in zip(before, filled, strict=True)])
    # Four times as fast on a CPU as making the transpose contiguous.
    lanes = torch.stack(words.view(torch.uint8).view(-1, NUM_LANES).unbind(1)).view(-1)
    return _without_fill(_by_row(lanes, words_R), num_R, room_R)


def _by_row(lanes: Tensor, words_R: Sequence[int]) -> Tensor:
    """From lane after lane, each of all rows, to row after row, each of all lanes."""
    if len(words_R) < 2:
        return lanes
    parts = lanes.split([*words_R] * NUM_LANES)
    return torch.cat([part for row in range(len(words_R)) for part in parts[row :: len(words_R)]])


def _without_fill(values: Tensor, num_R: Sequence[int], room_R: Sequence[int]) -> Tensor:
    """Leave out the zeros that fill each row's last byte or word."""
    if all(num == room for num, room in zip(num_R[:-1], room_R[:-1], strict=True)):
        return values[: sum(num_R)]
    sizes = [size for num, room in zip(num_R, room_R, strict=True) for size in (num, room - num)]
    return torch.cat(values.split(sizes)[::2])

"""What is sent to a device is there, whole, even where its memory on the host is used again at once."""

import torch

from distill.sending import sent
from tests.devices import on_each_device


@on_each_device
def test_it_arrives_whole(device: str) -> None:
    rows = torch.arange(12, dtype=torch.int16).view(3, 4)
    for one in (rows, rows.T, rows[:0]):
        there = sent(one, torch.device(device))
        assert there.device.type == device
        assert there.dtype == torch.int16
        assert there.cpu().equal(one)


def test_on_the_host_nothing_is_copied() -> None:
    rows = torch.zeros(3)
    assert sent(rows, torch.device("cpu")) is rows

from pathlib import Path

import numpy as np
import pytest
import torch

from distill.config import resolve
from distill.material import Material, gather
from distill.pretrained import load_tokenizer
from distill.processes import ALONE, Processes
from schemas.cache import TeacherCache
from schemas.tasks import find_task


@pytest.fixture
def materials(cache: TeacherCache, tiny_student: Path, monkeypatch: pytest.MonkeyPatch) -> list[Material]:
    """What one process reads, then what each of three does; noise is on what they read."""
    monkeypatch.setattr("distill.material._EVALUATION_BATCH", 10)
    options = {"batch_size": 5, "max_length": 32, "limit_train": 21, "control": "noise:0.5"}
    run = resolve({"task": "movie-sentiment", "student": str(tiny_student), **options}, "audio")
    tokenizer, task = load_tokenizer(str(tiny_student)), find_task("movie-sentiment")
    groups = [ALONE, *(Processes(rank, 3) for rank in range(3))]
    return [gather(run, cache, task, tokenizer, torch.device("cpu"), processes=one) for one in groups]


def test_slices_of_a_batch_make_the_batch(materials: list[Material]) -> None:
    empty = 0
    for whole, *shares in zip(*(one.train.batches(0, 1) for one in materials), strict=True):
        assert all(np.array_equal(share.rows_B, whole.rows_B) for share in shares)
        own = [share for share in shares if share.means.num_own]
        # Who has no row has one that stands in.
        empty += sum(len(share.labels) == 1 for share in shares if not share.means.num_own)
        assert sum(share.means.num_own for share in shares) == len(whole.rows_B)
        for name in ("labels", "teacher_repr_BD"):
            assert torch.equal(torch.cat([getattr(share, name) for share in own]), getattr(whole, name))
        widths = [share.tokens["attention_mask"].sum(dim=1) for share in own]
        assert torch.equal(torch.cat(widths), whole.tokens["attention_mask"].sum(dim=1))
    assert empty == 2


def test_batches_to_measure_are_taken_in_turn(materials: list[Material]) -> None:
    taken = [[batch.rows_B.tolist() for batch in one.report.batches(0, 9)] for one in materials]
    whole, *shares = taken
    assert sorted(map(tuple, whole)) == sorted(tuple(rows) for share in shares for rows in share)
    assert [len(whole), *map(len, shares)] == [4, 2, 1, 1]

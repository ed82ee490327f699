import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill import representations as representations_module
from distill import split as split_module
from distill.ahead import in_order
from distill.config import DistillationConfig, resolve
from distill.material import gather
from distill.order import Kept, Order
from distill.pretrained import load_tokenizer
from distill.representations import representations_of, standardiser
from distill.shards import Stream
from distill.split import Split
from distill.tokens import tokenised
from schemas.cache import TeacherCache
from schemas.errors import CacheError, ShardError
from schemas.files import cache_folder
from schemas.manifest import digest_of
from schemas.tasks import find_task

TASK = find_task("movie-sentiment")
RAW = DistillationConfig(standardise=False)


def stored(cache: TeacherCache, split: str = "train") -> np.ndarray:
    rows = [
        row for _, shard in cache.shards(split) for row in shard.read(["teacher_repr"]).column(0).to_pylist()
    ]
    return np.array(rows, np.float32)


def stream(
    cache: TeacherCache, student: Path, how: DistillationConfig | None = RAW, max_length: int = 16
) -> Stream:
    split = Split(cache, "train", TASK)
    tokens = tokenised(cache, "train", load_tokenizer(str(student)), ("{text}",), max_length)
    order = Order(
        seed=0,
        batch_size=7,
        group_starts=split.group_starts,
        kept=Kept.of(np.ones(split.num_rows, bool), split.group_starts),
        lengths_R=tokens.lengths,
    )
    return Stream(
        split=split,
        tokens=tokens,
        labels=split.labels()[0],
        order=order,
        pad_id=0,
        max_length=max_length,
        device=torch.device("cpu"),
        representations=representations_of(split, split.taught(), how, 0) if how else None,
    )


def test_a_batch_holds_what_belongs_together(cache: TeacherCache, tiny_student: Path) -> None:
    one, values, labels = stream(cache, tiny_student), stored(cache), Split(cache, "train", TASK).labels()[0]
    for batch in one.batches(0, 0):
        assert batch.teacher_repr_BD is not None
        assert np.allclose(batch.teacher_repr_BD.numpy(), values[batch.rows_B])
        assert batch.labels.tolist() == labels[batch.rows_B].tolist()
        lengths = batch.tokens["attention_mask"].sum(1)
        assert lengths.tolist() == one.tokens.lengths[batch.rows_B].tolist()
        for row, ids, length in zip(batch.rows_B, batch.tokens["input_ids"], lengths, strict=True):
            assert ids[:length].tolist() == one.tokens.rows("input_ids", np.array([row]))[0].tolist()
            assert (ids[length:] == 0).all()


def test_goes_on_from_any_batch(cache: TeacherCache, tiny_student: Path) -> None:
    one = stream(cache, tiny_student, replace(RAW, control="noise:1"))
    whole = list(one.batches(2, 1))
    for start in (0, 1, len(whole) - 1):
        again = next(one.batches(2, 1, start))
        assert torch.equal(again.tokens["input_ids"], whole[start].tokens["input_ids"])
        assert torch.equal(again.teacher_repr_BD, whole[start].teacher_repr_BD)


def test_width_is_a_multiple_of_eight_but_never_beyond_the_limit(
    cache: TeacherCache, tiny_student: Path
) -> None:
    widths = {batch.tokens["input_ids"].shape[1] for batch in stream(cache, tiny_student).batches(0, 0)}
    assert widths <= {8, 16}
    narrow = stream(cache, tiny_student, max_length=14)
    assert 14 in {batch.tokens["input_ids"].shape[1] for batch in narrow.batches(0, 0)}


def test_standardised_values_have_mean_zero_and_variance_one(cache: TeacherCache, tiny_student: Path) -> None:
    one = stream(cache, tiny_student, replace(RAW, standardise=True))
    values = torch.cat([batch.teacher_repr_BD for batch in one.batches(0, 0)])
    assert values.mean(0).abs().max() < 1e-2
    assert (values.std(0, correction=0) - 1).abs().max() < 1e-2


def test_a_value_that_never_varies_stays_finite() -> None:
    from distill.representations import Standardiser

    values = Standardiser(np.ones(2, np.float32), np.ones(2, np.float32))(np.ones((3, 2), np.float32))
    assert np.isfinite(values).all()


def test_no_statistics_is_one_line(make_cache: Callable[..., TeacherCache], tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"has no stats\.safetensors, --standardise needs it; give --raw"):
        standardiser(make_cache(tmp_path, with_stats=False))


def test_shuffled_rows_get_one_others_representation_for_the_whole_run(
    cache: TeacherCache, tiny_student: Path
) -> None:
    one, values = stream(cache, tiny_student, replace(RAW, control="shuffle")), stored(cache)
    got = [np.empty_like(values), np.empty_like(values)]
    for epoch in (0, 1):
        for batch in one.batches(epoch, 0):
            got[epoch][batch.rows_B] = batch.teacher_repr_BD
    assert np.array_equal(*got)
    assert (got[0] != values).any(axis=1).mean() > 0.9
    assert np.array_equal(np.sort(got[0], axis=0), np.sort(values, axis=0))


def test_noise_blurs_what_is_trained_on_and_what_is_measured(cache: TeacherCache, tiny_student: Path) -> None:
    options = {"task": TASK.name, "student": str(tiny_student), "control": "noise:2", "max_length": 32}
    run = resolve({**options, "standardise": False}, "audio")
    material = gather(run, cache, TASK, load_tokenizer(run.student), torch.device("cpu"))
    for stream_, split in ((material.train, "train"), (material.report, "validation")):
        values = stored(cache, split)
        added = [
            np.concatenate([b.teacher_repr_BD.numpy() - values[b.rows_B] for b in stream_.batches(epoch, 0)])
            for epoch in (0, 1)
        ]
        assert added[0].std() == pytest.approx(2, rel=0.1)
        assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.15


def test_undistilled_never_reads_a_representation(
    cache: TeacherCache, tiny_student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Split, "representations", lambda *_: pytest.fail("read"))
    assert next(stream(cache, tiny_student, None).batches(0, 0)).teacher_repr_BD is None


def test_one_window_is_read_once(
    cache: TeacherCache, tiny_student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, read = stream(cache, tiny_student), []
    whole = Split.representations
    monkeypatch.setattr(
        Split, "representations", lambda self, groups: read.extend(groups) or whole(self, groups)
    )
    list(one.batches(0, 0))
    assert sorted(read) == list(range(one.split.num_groups))


@pytest.mark.parametrize("shape", [(3, 12), (12, 96), (96 * 12 - 1,)], ids=["rows", "axes", "values"])
def test_a_kept_array_that_is_not_the_splits_is_made_again(
    cache: TeacherCache, tiny_student: Path, shape: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    shuffled = stream(cache, tiny_student, replace(RAW, control="shuffle"))
    first = [batch.teacher_repr_BD for batch in shuffled.batches(0, 0)]
    key = digest_of([representations_module._LAYOUT, cache.manifest.digest, "train"])
    path = cache_folder() / "representations" / f"{key[:32]}.npy"
    np.save(path, np.zeros(shape, np.load(path).dtype))

    again = [batch.teacher_repr_BD for batch in shuffled.batches(0, 0)]
    for one, other in zip(first, again, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)
    assert f"{path} is damaged (float16 of shape {shape}, wanted " in capsys.readouterr().err


def test_a_file_that_takes_a_shards_place_is_not_seen(
    make_cache: Callable[..., TeacherCache], tmp_path: Path
) -> None:
    cache = make_cache(tmp_path)
    split, values = Split(cache, "train", TASK), stored(cache)
    split.representations([0])
    for path in cache.folder.glob("train-*.parquet"):
        other = path.with_suffix(".other")
        other.write_bytes(bytes(path.stat().st_size))
        other.rename(path)
    assert np.array_equal(split.representations([0]), values[: split.group_starts[1]])


def test_a_damaged_page_is_one_line_that_names_its_shard(
    make_cache: Callable[..., TeacherCache], tmp_path: Path
) -> None:
    cache = make_cache(tmp_path)
    path = next(cache.folder.glob("train-*.parquet"))
    with pq.ParquetFile(path) as file:
        chunk = next(
            column
            for column in map(file.metadata.row_group(0).column, range(file.metadata.num_columns))
            if column.path_in_schema.startswith("teacher_repr")
        )
        end = chunk.data_page_offset + chunk.total_compressed_size
    data = bytearray(path.read_bytes())
    data[end - 1] ^= 1
    split = Split(cache, "train", TASK)
    path.write_bytes(data)
    with pytest.raises(ShardError, match=f"{path.name} is not a readable Parquet file.*restore it") as raised:
        split.representations(range(split.num_groups))
    assert "\n" not in str(raised.value)


def test_of_many_shards_few_are_open(
    make_cache: Callable[..., TeacherCache], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_module, "_MOST_OPEN", 4)
    split = Split(make_cache(tmp_path, rows_per_shard=3), "train", TASK)
    assert (split.num_groups, len(split._open)) == (32, 0)
    opened: list[int] = []
    whole = split_module.reader_of
    monkeypatch.setattr(split_module, "reader_of", lambda file: opened.append(1) or whole(file))
    values, before = stored(split.cache), psutil.Process().num_fds()
    for group in [*np.random.default_rng(0).permutation(32), 5, 6, 5, 6, 5]:
        assert np.array_equal(split.representations([int(group)]), values[3 * group : 3 * group + 3])
        assert len(split._open) <= 4
    # What was read last stays open; 5 and 6 are opened again at most.
    assert 32 <= len(opened) <= 34
    assert psutil.Process().num_fds() <= before + 4


def test_ids_of_some_rows_are_read_from_their_groups(cache: TeacherCache) -> None:
    split = Split(cache, "train", TASK)
    assert split.example_ids(np.array([95, 0, 41, 40, 0])) == [
        f"train-{row:04d}" for row in (95, 0, 41, 40, 0)
    ]
    assert split.example_ids(np.empty(0, np.int64)) == []


def test_a_split_that_is_not_there_is_named(cache: TeacherCache) -> None:
    with pytest.raises(CacheError, match="has no rows of the split 'test', only train, validation"):
        Split(cache, "test", TASK)


@given(workers=st.integers(1, 4), batch_size=st.integers(1, 40), share=st.floats(0, 1))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_workers_change_nothing(
    cache: TeacherCache, tiny_student: Path, workers: int, batch_size: int, share: float
) -> None:
    one = stream(cache, tiny_student, replace(RAW, control="noise:1"))
    one = replace(one, order=replace(one.order, batch_size=batch_size))
    start = int(share * (one.order.num_batches(1, 0) - 1))
    alone, together = (list(replace(one, workers=count).batches(1, 0, start)) for count in (0, workers))
    assert len(alone) == len(together) > 0
    for left, right in zip(alone, together, strict=True):
        assert left.rows_B.tolist() == right.rows_B.tolist()
        assert torch.equal(left.tokens["input_ids"], right.tokens["input_ids"])
        assert torch.equal(left.labels, right.labels)
        assert torch.equal(left.teacher_repr_BD, right.teacher_repr_BD)


def test_a_worker_that_fails_says_why_and_leaves_no_thread() -> None:
    def fail() -> int:
        raise ValueError("wrong")

    threads = threading.active_count()
    with pytest.raises(ValueError, match="wrong"):
        list(in_order(iter([lambda: 1, fail, lambda: 2]), 2))
    results = in_order((partial(int, number) for number in range(100)), 2)
    assert [next(results), next(results)] == [0, 1]
    results.close()
    assert threading.active_count() == threads

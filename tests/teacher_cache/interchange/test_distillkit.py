"""DistillKit's layout: bytes by hand, alignment, and what its collator and its loss would meet."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from teacher_cache.interchange import distillkit_layout as layout
from teacher_cache.interchange.keys import key_of

_BYTES = pa.list_(pa.list_(pa.uint8()))
# As DistillKit's `compressed_logit_schema` has them, and what its trainer takes beside.
PUBLISHED = pa.schema(
    [("input_ids", pa.list_(pa.uint64())), ("compressed_logprobs", _BYTES), ("bytepacked_indices", _BYTES)]
)


def test_ids_are_packed_most_significant_bit_first() -> None:
    packed = layout.pack_ids(np.array([[1, 2, 3]], np.int32), 3)

    # 001 010 011, and zeros to the next byte
    assert packed.tolist() == [[0b00101001, 0b10000000]]
    assert layout.unpack_ids(packed, 3, 3).tolist() == [[1, 2, 3]]


def test_a_budget_capture_by_hand() -> None:
    config = layout.Compression(
        d=8, k=4, exact_k=1, exact_dtype="bfloat16", polynomial_terms=[0, 1], delta_encoding=False
    )
    # -0.5 as bfloat16 is 0xBF00; then -1 and -2 as float32: rank r of the rest is -1 - 2 r.
    data = [0x00, 0xBF, *np.array([-1, -2], "<f4").view(np.uint8)]

    found = layout.unpack_logprobs(np.array([data], np.uint8), config)
    assert found.tolist() == [[-0.5, -1.0, -3.0, -5.0]]
    assert (layout.logprob_bytes(config), layout.id_bytes(config)) == (10, 2)


def test_residuals_and_deltas_by_hand() -> None:
    config = layout.Compression(
        d=8,
        k=3,
        exact_k=1,
        polynomial_terms=[0],
        residual_bins=[layout.ResidualBin(scale_dtype="float32", element_bits=4, num_elements=2)],
    )
    # Steps are written 8 too high: 0x9 is +1, 0x6 is -2; the scale is 0.25; deltas add up.
    data = [*np.array([-1, -2, 0.25], "<f4").view(np.uint8), 0x96]

    found = layout.unpack_logprobs(np.array([data], np.uint8), config)
    assert found.tolist() == [[-1.0, -1.0 - 1.75, -1.0 - 1.75 - 2.5]]


def test_rows_have_one_length_and_every_column_is_a_tensor(
    ask: Callable[..., Path], exported: Callable[..., Path]
) -> None:
    import torch

    folder = exported(ask(top_k=9, top_p=0.9), "distillkit")
    rows = pq.read_table(folder / "train.parquet").to_pylist()

    # What its collator of packed rows does.
    batch = {key: torch.tensor([row[key] for row in rows]) for key in rows[0]}
    config = json.loads((folder / layout.CONFIG_NAME).read_text())
    length = batch["input_ids"].shape[1]
    assert config["k"] == config["exact_k"] == 9
    assert batch["compressed_logprobs"].shape == (6, length, 4 * 9)
    assert batch["bytepacked_indices"].shape == (6, length, -(-9 * 9 // 8))
    schema = pq.read_schema(folder / "train.parquet")
    assert [schema.field(name).type for name in PUBLISHED.names[1:]] == [_BYTES, _BYTES]


def test_positions_that_count_hold_what_the_teacher_thought_before_the_next_token(
    ask: Callable[..., Path], exported: Callable[..., Path], model: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = exported(ask(codec="exact", top_k=9, top_p=0.9), "distillkit")
    config = layout.read_compression(folder / "train.parquet")
    teacher = AutoModelForCausalLM.from_pretrained(model)
    for row in pq.read_table(folder / "train.parquet").to_pylist():
        ids = torch.tensor([row["input_ids"]])
        with torch.inference_mode():
            whole = (
                teacher(ids, attention_mask=torch.tensor([row["attention_mask"]])).logits[0].log_softmax(-1)
            )
        logprobs = layout.unpack_logprobs(np.array(row["compressed_logprobs"], np.uint8), config)
        entries = layout.unpack_ids(np.array(row["bytepacked_indices"], np.uint8), config.id_bits, config.k)
        counted = np.array(row["labels"]) >= 0
        real = counted[:, None] & (logprobs > -99)
        wanted = np.take_along_axis(whole.numpy(), entries, axis=1)
        assert np.isfinite(logprobs).all()
        assert real.any(axis=1).tolist() == counted.tolist()
        np.testing.assert_allclose(logprobs[real], wanted[real], atol=1e-3)
        # Fillers stand on ids of their own, so that scattering them overwrites nothing.
        assert all(len(set(of_token)) == config.k for of_token in entries.tolist())


def test_longer_rows_are_left_out(
    ask: Callable[..., Path], say: Callable[..., Any], model: Path, tmp_path: Path
) -> None:
    cache = ask()
    given = ("export", cache, "--format", "distillkit", "--tokenizer", model, "--json")
    whole = json.loads(say(*given, "--out", tmp_path / "a")[1])
    longest = len(pq.read_table(tmp_path / "a" / "train.parquet")["input_ids"][0])

    short = json.loads(say(*given, "--out", tmp_path / "b", "--length", longest - 1)[1])
    left = short["left_out"][f"are longer than --length {longest - 1}"]
    assert 0 < left < 10
    assert sum(short["rows"].values()) == sum(whole["rows"].values()) - left


def test_a_capture_without_labels_is_one_answer_behind_its_first_token(
    say: Callable[..., Any],
    model: Path,
    cached: Callable[[Path], Any],
    entries: Callable[..., Any],
    tmp_path: Path,
) -> None:
    config = layout.exact_compression(259, 2)
    ids = np.array([[40, 41], [50, 51], [60, 61]], np.int32)
    logprobs = np.log(np.array([[0.5, 0.25], [0.75, 0.125], [0.5, 0.5]], np.float32))
    row = {
        "input_ids": [10, 40, 51, 60],
        "compressed_logprobs": layout.pack_exact(logprobs).tolist(),
        "bytepacked_indices": layout.pack_ids(ids, config.id_bits).tolist(),
    }
    folder = tmp_path / "capture"
    folder.mkdir()
    (folder / layout.CONFIG_NAME).write_text(layout.compression_text(config))
    pq.write_table(pa.Table.from_pylist([row], schema=PUBLISHED), folder / "data_0.parquet")

    code, _, err = say(
        "import", folder, "--format", "distillkit", "--out", tmp_path / "c", "--tokenizer", model,
        "--number-rows", "--codec", "exact",
    )  # fmt: skip
    assert code == 0, err
    manifest, rows = cached(tmp_path / "c")
    answer = rows["row-000001"].answer
    assert answer.token_ids.tolist() == [40, 51, 60]
    np.testing.assert_allclose(np.exp(answer.token_logprobs), [0.5, 0.125, 0.5], rtol=1e-6)
    np.testing.assert_allclose(np.exp(answer.tail_logprob), [0.25, 0.125, 0.0], atol=1e-6)
    assert entries(manifest, rows["row-000001"])[1, 50] == pytest.approx(np.log(0.75))


def test_a_key_is_a_digest_of_the_id() -> None:
    assert key_of("row-0") != key_of("row-1")
    assert 0 <= key_of("row-0") < 1 << 63

"""axolotl's columns: alignment with the teacher, and its own collator where it is installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

TENSORS = ("input_ids", "attention_mask", "labels", "target_token_ids", "target_logprobs", "target_mask")


def test_entries_of_a_position_are_of_the_next_token_and_sum_to_one(
    ask: Callable[..., Path], exported: Callable[..., Path], model: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    teacher = AutoModelForCausalLM.from_pretrained(model)
    folder = exported(ask(codec="exact", top_k=9, top_p=0.9), "axolotl")
    for row in pq.read_table(folder / "train.parquet").to_pylist():
        with torch.inference_mode():
            whole = teacher(torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1).numpy()
        counted = [position for position, mask in enumerate(row["target_mask"]) if mask]
        # From the prompt's last token to the answer's last but one.
        learnt = [position for position, label in enumerate(row["labels"]) if label != -100]
        assert counted == [position - 1 for position in learnt]
        for position in counted:
            ids, logprobs = row["target_token_ids"][position], row["target_logprobs"][position]
            wanted = whole[position, ids]
            assert np.exp(logprobs).sum() == pytest.approx(1, abs=1e-5)
            np.testing.assert_allclose(logprobs, wanted - np.log(np.exp(wanted).sum()), atol=1e-3)


def test_axolotls_own_collator_takes_the_rows(
    ask: Callable[..., Path], exported: Callable[..., Path], model: Path
) -> None:
    collator = pytest.importorskip(
        "axolotl.integrations.kd.collator", reason="axolotl pins older libraries than ours"
    )
    from transformers import AutoTokenizer

    rows: list[dict[str, Any]] = pq.read_table(
        exported(ask(top_k=9, top_p=0.9), "axolotl") / "train.parquet", columns=list(TENSORS)
    ).to_pylist()
    batch = collator.DataCollatorForKD(AutoTokenizer.from_pretrained(model))(rows)

    length = max(len(row["input_ids"]) for row in rows)
    assert batch["target_logprobs"].shape == batch["target_mask"].shape == (6, length, 9)
    assert int((batch["target_mask"].sum(-1) > 0).sum()) == int((batch["labels"] != -100).sum())


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("target_mask", [[1]], "1 positions of target_mask for 3 input_ids"),
        (
            "target_logprobs",
            [[-0.1], [-0.2], []],
            "position 1 has 2 ids, 1 log-probabilities and a mask of 2",
        ),
        ("target_logprobs", [[-0.1], [float("nan"), -1.0], []], "a log-probability of nan"),
        ("target_logprobs", [[-0.1], [0.5, -1.0], []], "a log-probability of 0.5"),
        ("target_logprobs", [[-0.1], [-0.1, -0.1], []], "the entries of token 1 sum to 1.81"),
        ("target_token_ids", [[9], [7, 7], []], "two entries of one token are both id 7"),
        ("target_token_ids", [[9], [7, 300], []], "token id 300 is outside the vocabulary of 259"),
        ("input_ids", [5, 9, 300], "token id 300 is outside the vocabulary of 259"),
        ("target_mask", [[0], [0, 0], []], "no token has entries that count"),
        ("target_mask", [[1], [1, 1], [1]], "position 2 has 0 ids"),
        ("input_ids", None, "input_ids is null"),
    ],
)
def test_a_row_that_cannot_be_is_refused_by_its_number(
    *, column: str, value: Any, told: str, refused: Callable[..., str], model: Path, tmp_path: Path
) -> None:
    import pyarrow as pa

    from teacher_cache.interchange.axolotl import SCHEMA

    good: dict[str, Any] = {
        "example_id": "a",
        "prompt": "x",
        "input_ids": [5, 9, 7],
        "attention_mask": [1, 1, 1],
        "labels": [-100, 9, 7],
        "target_token_ids": [[9], [7, 8], []],
        "target_logprobs": [[-0.1], [-0.7, -0.8], []],
        "target_mask": [[1], [1, 1], []],
    }
    table = pa.Table.from_pylist([good, good | {"example_id": "b", column: value}], schema=SCHEMA)
    pq.write_table(table, tmp_path / "f.parquet")

    line = refused(
        "import", tmp_path / "f.parquet", "--format", "axolotl", "--out", tmp_path / "c", "--tokenizer", model
    )
    assert f"{tmp_path / 'f.parquet'}, row 2: {told}" in line
    assert not (tmp_path / "c").exists()


def test_entries_without_a_vocabulary_are_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "f.parquet").touch()

    line = refused("import", tmp_path / "f.parquet", "--format", "axolotl", "--out", tmp_path / "c", status=2)
    assert line.endswith("give --tokenizer DIR, or --vocab-size N")

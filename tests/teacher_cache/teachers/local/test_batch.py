"""Tensors of prompts side by side, by hand."""

import numpy as np
import pytest
import torch

from teacher_cache.teachers.local.batch import alike, collate, distributions, with_answers
from teacher_cache.teachers.local.prompts import Prompt

PROMPTS = [Prompt("a", "", [7, 8, 9], [], [5]), Prompt("b", "", [4], [], [6, 6])]


@pytest.mark.parametrize(
    ("left", "ids", "mask"),
    [
        (True, [[7, 8, 9], [0, 0, 4]], [[1, 1, 1], [0, 0, 1]]),
        (False, [[7, 8, 9], [4, 0, 0]], [[1, 1, 1], [1, 0, 0]]),
    ],
)
def test_shorter_prompts_are_padded_on_the_side_that_is_asked_for(
    left: bool, ids: list[list[int]], mask: list[list[int]]
) -> None:
    inputs = collate(PROMPTS, 0, None, left=left, special=False)
    assert inputs["input_ids"].tolist() == ids
    assert inputs["attention_mask"].tolist() == mask


def test_answers_follow_their_prompts_and_are_text_to_a_model_that_marks_pictures() -> None:
    inputs = collate(PROMPTS, 0, None, left=True, special=False)
    inputs |= {"mm_token_type_ids": torch.tensor([[1, 1, 0], [0, 0, 1]]), "pixel_values": torch.ones(2, 5)}
    whole = with_answers(inputs, PROMPTS, 0)

    assert whole["input_ids"].tolist() == [[7, 8, 9, 5, 0], [0, 0, 4, 6, 6]]
    assert whole["attention_mask"].tolist() == [[1, 1, 1, 1, 0], [0, 0, 1, 1, 1]]
    assert whole["mm_token_type_ids"].tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 0, 0]]
    assert whole["pixel_values"].shape == (2, 5)


def test_answers_go_to_the_device_that_the_prompts_are_on() -> None:
    """torch's device without memory stands for a GPU, with which a CPU's tensors cannot be joined either."""
    inputs = collate(PROMPTS, 0, None, left=True, special=False)
    inputs |= {"mm_token_type_ids": torch.zeros(2, 3, dtype=torch.long)}
    there = {name: value.to("meta") for name, value in inputs.items()}
    assert {value.device.type for value in with_answers(there, PROMPTS, 0).values()} == {"meta"}


def test_rows_with_equally_many_pictures_are_put_together_in_their_order() -> None:
    from PIL import Image

    picture = Image.new("RGB", (2, 2))
    rows = [
        Prompt(name, "", [1], [picture] * count, [])
        for name, count in zip("abcde", (1, 0, 2, 1, 0), strict=True)
    ]
    assert [[row.example_id for row in group] for group in alike(rows)] == [["b", "e"], ["a", "d"], ["c"]]


def test_distributions_are_exact_over_a_large_vocabulary() -> None:
    """float32 alone is off by more than 5e-6 here, and always to one side."""
    logits = torch.randn(4, 150_000, generator=torch.Generator().manual_seed(0)) * 2 + 15
    wide = logits.numpy().astype(np.float64)
    wanted = wide - np.log(np.exp(wide - 30).sum(axis=1, keepdims=True)) - 30

    assert np.abs(distributions(logits) - wanted).max() < 1.1e-6
    assert np.abs(logits.log_softmax(-1).numpy() - wanted).max() > 2e-6

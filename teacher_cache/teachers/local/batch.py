"""The tensors that a local model reads, prompts side by side, and what is made of those that it gives.

Letters: B prompts, P tokens of the longest prompt, A of the longest answer, T tokens, V vocabulary.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from teacher_cache.teachers.local.prompts import Prompt

Inputs = dict[str, Tensor]


def alike(prompts: Iterable[Prompt]) -> Iterable[list[Prompt]]:
    """Put together prompts with equally many pictures: a processor makes one tensor of them."""
    ordered = sorted(prompts, key=lambda prompt: len(prompt.images))
    return (list(group) for _, group in groupby(ordered, key=lambda prompt: len(prompt.images)))


def collate(prompts: Sequence[Prompt], pad: int, processor: Any, *, left: bool, special: bool) -> Inputs:
    """Pad prompts to one length.

    Args:
        prompts: with equally many pictures.
        pad: id of the padding.
        processor: makes tensors of pictures; asked only where there are some.
        left: whether the padding stands before the text, so that all texts go on at the same place.
        special: whether special tokens are put around a text.

    Returns:
        `input_ids` and `attention_mask`, (B, P), and whatever the processor adds.
    """
    if prompts[0].images:
        return dict(
            processor(
                text=[prompt.text for prompt in prompts],
                images=[prompt.images for prompt in prompts],
                padding=True,
                padding_side="left" if left else "right",
                add_special_tokens=special,
                return_tensors="pt",
            )
        )
    ids_BP, mask_BP = _padded([prompt.ids for prompt in prompts], pad, left=left)
    return {"input_ids": ids_BP, "attention_mask": mask_BP}


def with_answers(inputs: Inputs, prompts: Sequence[Prompt], pad: int) -> Inputs:
    """Let the answers to score follow their prompts, which end at the same place.

    Returns:
        The same inputs, where they were, with (B, P + A) tokens; shorter answers are padded on the right.
    """
    ids_BP = inputs["input_ids"]
    padded = _padded([prompt.answer_ids for prompt in prompts], pad, left=False)
    answers_BA, mask_BA = (part.to(ids_BP.device) for part in padded)
    shape_BP = ids_BP.shape
    added = {"input_ids": answers_BA, "attention_mask": mask_BA}
    # Models that see mark their tokens' kinds; zero is text.
    return {
        name: torch.cat([value, added.get(name, torch.zeros_like(answers_BA))], dim=1)
        if value.shape == shape_BP
        else value
        for name, value in inputs.items()
    }


def distributions(logits_TV: Tensor) -> NDArray[np.float32]:
    """Log-softmax of logits, nats, float32, (T, V).

    In float64 on the way: a sum over a large vocabulary in float32 is off by 1e-5, always to one side.
    """
    return logits_TV.double().log_softmax(dim=-1).float().cpu().numpy()


def _padded(rows: Sequence[Sequence[int]], pad: int, *, left: bool) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        place = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[index, place] = torch.tensor(row)
        mask[index, place] = 1
    return ids, mask

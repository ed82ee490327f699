"""What a local model says of texts that are there already: pooled hidden states, scores of given answers.

Letters: B rows, P tokens of the longest prompt, A of the longest answer, V vocabulary, D width.
"""

import inspect
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

import torch
from torch import Tensor

from teacher_cache.teachers.local.batch import Inputs, distributions
from teacher_cache.teachers.local.options import Pooling
from teacher_cache.teachers.local.prompts import Prompt
from teacher_cache.teachers.scored_tokens import Recorder

# Logits of given answers that are held at once, and of the part of one that a thread makes float64.
_MOST_LOGITS = 1 << 27
_MOST_FLOATS = 1 << 22


def pool(model: Any, inputs: Inputs, layer: int, pooling: Pooling) -> Tensor:
    """Pool the hidden states of prompts; padding takes no part.

    Args:
        model: any of the three kinds.
        inputs: padded prompts.
        layer: whose states; -1 is the last.
        pooling: `mean` over the tokens, the `first` or the `last`.

    Returns:
        float32, (B, D).
    """
    outputs = model(**_placed(model, inputs), output_hidden_states=True, **_keep(model, 1))
    states_BPD = outputs.hidden_states[layer].float()
    mask_BP = inputs["attention_mask"].to(states_BPD.device)
    if pooling == "mean":
        weights_BP = mask_BP / mask_BP.sum(dim=1, keepdim=True)
        return torch.einsum("bp,bpd->bd", weights_BP, states_BPD)
    places_P = torch.arange(mask_BP.shape[1], device=mask_BP.device)
    places_BP = mask_BP * (places_P + 1 if pooling == "last" else mask_BP.shape[1] - places_P)
    return states_BPD[torch.arange(len(mask_BP), device=mask_BP.device), places_BP.argmax(dim=1)]


def parts_to_score(prompts: Sequence[Prompt], vocab_size: int) -> Iterator[Sequence[Prompt]]:
    """Cut a batch so that the logits of its answers stay below about half a gigabyte, or are one row's."""
    longest = max(len(prompt.answer_ids) for prompt in prompts)
    rows = max(1, _MOST_LOGITS // (longest * vocab_size))
    return (prompts[start : start + rows] for start in range(0, len(prompts), rows))


def score(
    model: Any, inputs: Inputs, prompts: Sequence[Prompt], recorders: Sequence[Recorder], threads: Executor
) -> list[bool]:
    """Tell the recorders the distributions of given answers: of the answer's tokens, none of the prompt's.

    Args:
        model: with a causal language-model head.
        inputs: prompts padded on the left, followed by their answers.
        prompts: the rows.
        recorders: one a row.
        threads: which record, each a row.

    Returns:
        Whether all of a row's logits are numbers; a recorder of a row without is told nothing.
    """
    longest = max(len(prompt.answer_ids) for prompt in prompts)
    # The token at one place is predicted at the place before it, so the last place is not kept.
    logits_BAV = model(**_placed(model, inputs), **_keep(model, longest + 1)).logits[:, -longest - 1 : -1]

    def record(row: int) -> bool:
        ids_A = prompts[row].answer_ids
        return _record(logits_BAV[row, : len(ids_A)], ids_A, recorders[row])

    return list(threads.map(record, range(len(prompts))))


def _record(logits_AV: Tensor, ids_A: list[int], recorder: Recorder) -> bool:
    if not logits_AV.amax(dim=-1).isfinite().all():
        return False
    step = max(1, _MOST_FLOATS // logits_AV.shape[1])
    for start in range(0, len(ids_A), step):
        some = slice(start, start + step)
        recorder.add(ids_A[some], distributions(logits_AV[some]))
    return True


def _keep(model: Any, places: int) -> dict[str, int]:
    """Ask for the logits of the last places alone, where the model can."""
    return {"logits_to_keep": places} if "logits_to_keep" in _parameters(model) else {}


def _placed(model: Any, inputs: Inputs) -> dict[str, Any]:
    """Count positions from the first token that is no padding; models that see count their own."""
    known = _parameters(model)
    placed: dict[str, Any] = dict(inputs)
    padded_left = not inputs["attention_mask"][:, 0].all()
    if padded_left and "position_ids" in known and set(inputs) == {"input_ids", "attention_mask"}:
        placed["position_ids"] = (inputs["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
    return placed | ({"use_cache": False} if "use_cache" in known else {})


def _parameters(model: Any) -> set[str]:
    return set(inspect.signature(model.forward).parameters)

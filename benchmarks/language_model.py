"""What SmolLM2-135M-Instruct says of the tokens that it generates: the whole distributions.

Letters: T tokens, V vocabulary.
"""

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import ROOT

MODEL = ROOT / "data" / "models" / "smollm2-135m-instruct"
SENTENCES = ROOT / "data" / "tasks" / "movie-reviews" / "movieReviewSnippets_GroundTruth.txt"
NUM_ROWS, MAX_TOKENS = 48, 48


@cache
def teacher_outputs() -> tuple[NDArray[np.float32], tuple[slice, ...]]:
    """Log-probabilities of sampled tokens at temperature 1, (T, V), and which tokens each answer has."""
    import torch

    torch.manual_seed(0)
    answers, logits = _answers()
    lengths = [int(row.sum()) for row in answers]
    logprobs = torch.stack(logits, dim=1).log_softmax(-1).numpy()
    rows = tuple(slice(a, b) for a, b in pairwise(np.cumsum([0, *lengths]).tolist()))
    return np.concatenate([row[:length] for row, length in zip(logprobs, lengths, strict=True)]), rows


def _answers() -> tuple[Any, Any]:
    """Which generated tokens are said, and the logits of each step."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(MODEL, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    lines = SENTENCES.read_text(encoding="utf-8").splitlines()[:NUM_ROWS]
    asked = [f"Say it in other words: {line.split(chr(9))[2]}" for line in lines]
    batch = tokenizer.apply_chat_template(
        [[{"role": "user", "content": text}] for text in asked],
        add_generation_prompt=True,
        padding=True,
        return_tensors="pt",
        return_dict=True,
    )
    said = model.generate(
        **batch,
        max_new_tokens=MAX_TOKENS,
        do_sample=True,
        top_k=0,
        return_dict_in_generate=True,
        output_logits=True,
    )
    return said.sequences[:, batch["input_ids"].shape[1] :] != tokenizer.pad_token_id, said.logits

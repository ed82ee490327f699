"""One whole run of stage two, in a process of its own: `python -m benchmarks.whole_run WAY HOW FOLDER`.

WAY is `cached`, which is `--method kd`, or `live`: the same trainer and rows, but the teacher is asked in
each step, in bfloat16, and the divergence is over the whole vocabulary. HOW is `adapter` or `whole`.
FOLDER has `cache` and `student`. It prints CPU seconds from before the set-up to the end of each epoch,
the choice of a checkpoint included, and to the end of the run; importing the libraries is not counted.
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

EPOCHS, BATCH = 4, 4
TEACHER = "data/models/smollm2-135m-instruct"


def main(way: str, how: str, folder: Path) -> None:
    """Make the run and print what it took."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import peft  # noqa: F401 - imported now, so that it is not counted

    from distill import disciplines, writing
    from distill.config import resolve
    from distill.trainer import fit
    from schemas.cache import open_cache
    from schemas.tasks import LabelKind

    began, ends = time.process_time(), list[float]()

    def measure(run: Any, tokenizer: Any, stream: Any, student: Any) -> dict[str, float]:
        found = writing.measure_student(run, tokenizer, stream, student)
        ends.append(time.process_time() - began)
        return found

    row = replace(disciplines.WRITING, measure=measure)
    disciplines.DISCIPLINES[LabelKind.GENERATIVE] = replace(row, learners=_live) if way == "live" else row
    rows = {"max_length": 128, "max_new_tokens": 8, "batch_size": BATCH, "epochs": EPOCHS}
    adapter = {"lora_rank": 8} if how == "adapter" else {}
    method = {"method": "kd" if way == "cached" else "undistilled", "precision": "bf16"}
    given = {"task": "chain-sum", "student": str(folder / "student"), **rows, **adapter, **method}
    with tempfile.TemporaryDirectory() as run:
        fit(resolve(given, "text"), open_cache(folder / "cache"), Path(run), quiet=True)
    print(json.dumps({"epochs": ends, "whole": time.process_time() - began}))


def _live(run: Any, task: Any, backbone: Any, width: int | None) -> Any:
    """A student's learners with the teacher beside them, who hears every batch before the student does."""
    import torch
    from torch.nn.functional import cross_entropy, kl_div
    from transformers import AutoModelForCausalLM

    from distill import writing
    from distill.losses.objective import Losses, weighted
    from distill.schedules import STUDENT
    from distill.writer import Writer

    loader: Any = AutoModelForCausalLM
    teacher = Writer(loader.from_pretrained(TEACHER, dtype=torch.bfloat16)).eval()
    told: list[Any] = []

    @torch.no_grad()
    def ask(module: Any, _: Any, tokens: dict[str, Any]) -> None:
        if module.training:
            view = teacher(**tokens).tokens
            told[:] = [(view.hidden_ND @ view.head_VD.T).float().log_softmax(-1)]

    def losses(view: Any, *_: Any, **__: Any) -> Losses:
        logits_NV = (view.hidden_ND @ view.head_VD.to(view.hidden_ND.dtype).T).float()
        kd = kl_div(logits_NV.log_softmax(-1), told[0], log_target=True, reduction="batchmean")
        task_loss = cross_entropy(logits_NV, view.targets_N)
        return Losses(task_loss + kd, {"task": task_loss.detach(), "kd": kd.detach()})

    module, _, rate = writing.learners(run, task, backbone, width)[STUDENT]
    module.register_forward_pre_hook(ask, with_kwargs=True)
    return {STUDENT: (module, weighted(on_tokens=losses), rate)}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))

"""One way of training an adapter, in a process of its own: `python -m benchmarks.peer_steps WAY FOLDER`.

FOLDER has `cache`, the teacher's scores of chain-sum's answers, and `student`, a plain model. Every way
trains an adapter of rank 8 on the cache's training rows by AdamW, its gradient clipped, in bfloat16
autocast, on one thread. What is counted lies between two optimiser steps, so data, losses and logging are
in it; it prints CPU seconds a step and the highest memory as one JSON object.
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BATCH, RATE, WARM_UP, STEPS = 4, 3e-4, 2, 6
TEACHER = "data/models/smollm2-135m-instruct"


class EnoughError(Exception):
    """All steps are measured."""


@dataclass(slots=True)
class Meter:
    """CPU seconds and peak memory of some optimiser steps, told after each by torch's own hook.

    Attributes:
        steps: done so far.
        began: CPU seconds of the process when counting began.
        found: CPU seconds a step, and the highest memory in MB.
    """

    steps: int = 0
    began: float = 0.0
    found: dict[str, float] | None = None

    def after_step(self, *_: Any) -> None:
        """Start counting after the first steps, and leave after the last."""
        self.steps += 1
        if self.steps == WARM_UP:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            self.began = time.process_time()
        if self.steps == WARM_UP + STEPS:
            seconds = (time.process_time() - self.began) / STEPS
            lines = Path("/proc/self/status").read_text().splitlines()
            peak = next(line for line in lines if line.startswith("VmHWM"))
            self.found = {"seconds": seconds, "megabytes": int(peak.split()[1]) / 1024}
            raise EnoughError


def ours(folder: Path, method: str) -> None:
    """What `distill` does."""
    from distill.config import resolve
    from distill.trainer import fit
    from schemas.cache import open_cache

    options = {"method": method, "precision": "bf16", "batch_size": BATCH, "lr": RATE, "epochs": 9}
    # This protocol holds no training rows back, so all ways learn from the same.
    rows = {"protocol": "paper-dev", "max_length": 128, "max_new_tokens": 8}
    adapter = {"lora_rank": 8, "lora_alpha": 16.0, "lora_dropout": 0.1, "lora_targets": "q_proj,v_proj"}
    given = {"task": "chain-sum", "student": str(folder / "student"), **options, **rows, **adapter}
    with tempfile.TemporaryDirectory() as run:
        fit(resolve(given, "text"), open_cache(folder / "cache"), Path(run), quiet=True)


def trl_cross_entropy(folder: Path) -> None:
    """TRL's SFTTrainer: cross-entropy on the answers."""
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportMissingImports]

    _train(SFTTrainer, folder, SFTConfig(**_settings(folder)), ("prompt", "completion"))


def trl_distillation(folder: Path) -> None:
    """TRL's GKDTrainer: forward KL to a live teacher on the given answers, none of the student's own."""
    import torch
    from transformers import AutoModelForCausalLM
    from trl.experimental import gkd  # pyright: ignore[reportMissingImports]

    settings = gkd.GKDConfig(**_settings(folder), lmbda=0.0, beta=0.0, disable_dropout=False)
    loader: Any = AutoModelForCausalLM
    teacher = loader.from_pretrained(TEACHER, dtype=torch.float32)
    _train(gkd.GKDTrainer, folder, settings, ("messages",), teacher_model=teacher)


def _settings(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "trl"),
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": 9,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "max_length": 128,
        "bf16": True,
        "use_cpu": True,
        # TRL's default is True, which takes less memory and a third more time; ours is an option, too.
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _train(kind: Any, folder: Path, settings: Any, layout: tuple[str, ...], **more: Any) -> None:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loader: Any = AutoModelForCausalLM
    adapter: Any = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}
    trainer = kind(
        model=loader.from_pretrained(folder / "student", dtype=torch.float32),
        args=settings,
        train_dataset=Dataset.from_list([_row(*pair, layout) for pair in _pairs(folder)]),
        processing_class=AutoTokenizer.from_pretrained(folder / "student"),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **adapter),
        **more,
    )
    trainer.train()


def _pairs(folder: Path) -> list[tuple[str, str]]:
    import polars as pl

    table = pl.read_parquet(folder / "cache" / "train-*.parquet", columns=["prompt", "target_text"])
    return list(zip(table["prompt"], table["target_text"], strict=True))


def _row(prompt: str, answer: str, layout: tuple[str, ...]) -> dict[str, list[dict[str, str]]]:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {layout[0]: turns} if len(layout) == 1 else {layout[0]: turns[:1], layout[1]: turns[1:]}


WAYS = {
    "cross-entropy/ours": lambda folder: ours(folder, "undistilled"),
    "cross-entropy/trl": trl_cross_entropy,
    "kd/ours": lambda folder: ours(folder, "kd"),
    "kd/trl": trl_distillation,
}


def main(way: str, folder: Path) -> None:
    """Train until enough is measured, and print it."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from torch.optim.optimizer import register_optimizer_step_post_hook

    meter = Meter()
    register_optimizer_step_post_hook(meter.after_step)
    try:
        WAYS[way](folder)
    except EnoughError:
        print(json.dumps(meter.found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

"""README.md of an export: what it is, and the lines that make its library read it.

The head tells `datasets` which files are rows, as `prompts.jsonl` stands beside them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def _head(splits: Sequence[str], suffix: str) -> str:
    files = "".join(f"      - split: {split}\n        path: {split}{suffix}\n" for split in splits)
    return f"---\nconfigs:\n  - config_name: default\n    data_files:\n{files}---\n\n"


def distillkit_card(splits: Sequence[str], compression: Mapping[str, Any], length: int) -> str:
    """For DistillKit."""
    return _head(splits, ".parquet") + (
        f"Made by `teacher-shards export --format distillkit`, for DistillKit 1.0.0. Rows of {length} "
        "tokens; `example_key` is a digest\nof the id in `prompts.jsonl`. In DistillKit's configuration:\n\n"
        "```yaml\n"
        f"sequence_length: {length}\n"
        "dataset:\n  train_dataset:\n    repo_id: PATH  # this folder\n    split: train\n  prepacked: true\n"
        "teacher:\n  kind: dataset\n"
        f"  logprob_compressor: {json.dumps(dict(compression))}\n"
        "training_args:\n  remove_unused_columns: false\n"
        "```\n"
    )


def axolotl_card(splits: Sequence[str]) -> str:
    """For axolotl."""
    return _head(splits, ".parquet") + (
        "Made by `teacher-shards export --format axolotl`, for axolotl 0.19.0: tokens already, and the "
        "teacher's entries of\nposition p belong to token p + 1. In axolotl's configuration:\n\n"
        "```yaml\n"
        "plugins:\n  - axolotl.integrations.kd.KDPlugin\nkd_trainer: true\nkd_ce_alpha: 0.1\nkd_alpha: 0.9\n"
        "kd_temperature: 1.0\n"
        "datasets:\n  - path: PATH  # this folder\n    split: train\n    type:  # empty: tokens already\n"
        "```\n"
    )


def trl_card(splits: Sequence[str]) -> str:
    """For TRL."""
    return _head(splits, ".parquet") + (
        "Made by `teacher-shards export --format trl`, for trl 1.16.0: the teacher's texts as "
        "completions.\n\n"
        "```python\n"
        'SFTTrainer(model, train_dataset=load_dataset("PATH", split="train"))  # this folder\n'
        "```\n"
    )

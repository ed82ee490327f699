"""Generate the questions of `chain-sum`: `generate_chain_sum.py WHEEL` writes `questions.jsonl` beside it.

Run by fetch.py with the wheel of reasoning-gym, out of which it imports the one generator: the package as a
whole wants eleven others, one of them compiled on the spot, for generators that are not used here.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

SEED = 20260311
NUM_QUESTIONS = 10_000
SPLITS = ("train",) * 7 + ("validation",) * 2 + ("test",)


def load_generator(wheel: Path) -> ModuleType:
    """Import `chain_sum` from the wheel, under packages whose own `__init__` is not run."""
    for name in ("reasoning_gym", "reasoning_gym.arithmetic"):
        package = ModuleType(name)
        package.__path__ = [f"{wheel}/{name.replace('.', '/')}"]
        sys.modules[name] = package
    return importlib.import_module("reasoning_gym.arithmetic.chain_sum")


def questions(generator: Any) -> Iterator[tuple[str, str]]:
    """Questions and answers without end; one that came before is left out, so none is in two splits."""
    items = generator.ChainSumDataset(generator.ChainSumConfig(seed=SEED, size=sys.maxsize))
    seen: set[str] = set()
    for item in items:
        if item["question"] not in seen:
            seen.add(item["question"])
            yield item["question"], item["answer"]


def write(wheel: Path) -> None:
    """Write the file; of each ten questions 7 are for training, 2 for validation, 1 for the test."""
    with wheel.with_name("questions.jsonl").open("w", encoding="utf-8") as file:
        for index, (question, answer) in enumerate(islice(questions(load_generator(wheel)), NUM_QUESTIONS)):
            row = {
                "example_id": f"sum-{index:05d}",
                "task": "chain-sum",
                "split": SPLITS[index % len(SPLITS)],
                "fields": {"question": question},
                "label": answer,
            }
            file.write(json.dumps(row) + "\n")


def main() -> int:
    """Generate from the named wheel; 1 with one line on stderr where that fails."""
    try:
        write(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001  another package fails in ways of its own
        print(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

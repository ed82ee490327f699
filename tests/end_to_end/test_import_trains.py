"""Answers bought elsewhere: a batch's output becomes a cache, and the cache trains a student."""

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SPLITS = ("train", "train", "train", "validation", "test")


def _run(folder: Path, module: str, *arguments: object) -> None:
    subprocess.run(
        [sys.executable, "-c", f"from {module} import main; main()", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "ARMADA_CACHE_DIR": str(folder / "tokens")},
        check=True,
        timeout=240,
    )


def _write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_an_imported_batch_trains_a_student(fetched: Path, tmp_path: Path) -> None:
    asked: list[dict[str, object]] = []
    answered: list[dict[str, object]] = []
    for index in range(40):
        text = f"Film {index} is {('dull', 'a delight')[index % 2]}."
        fields = {"text": text}
        asked.append(
            {"example_id": f"f{index}", "task": "movie-sentiment", "fields": fields, "label": index % 2}
            | {"split": SPLITS[index % 5]}
        )
        message = {"role": "assistant", "content": ("negative", "positive")[index % 2]}
        body = {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        answered.append({"custom_id": f"f{index}", "response": {"status_code": 200, "body": body}})
    prompts = _write(tmp_path / "prompts.jsonl", asked)
    output = _write(tmp_path / "output.jsonl", answered)

    cache, result = tmp_path / "cache", tmp_path / "result"
    _run(
        *(tmp_path, "teacher_cache.shards_cli", "import", output, "--format", "openai-batch"),
        *("--prompts", prompts, "--out", cache),
    )
    _run(
        *(tmp_path, "distill.cli", "--shards", cache, "--student", fetched / "models/minilm"),
        *("--method", "undistilled", "--epochs", 1, "--batch-size", 8, "--out", result, "--quiet"),
    )

    run = json.loads((result / "run.json").read_text())
    manifest = json.loads((cache / "manifest.json").read_text())
    assert manifest["teacher"]["backend"] == "import"
    assert 0 <= run["metrics"]["student"]["accuracy"] <= 1

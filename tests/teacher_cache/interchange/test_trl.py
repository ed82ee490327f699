"""TRL's data: its own preparation where trl is installed, and the shapes that people write."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_sft_trainer_learns_the_completion_alone(
    ask: Callable[..., Path],
    exported: Callable[..., Path],
    model: Path,
    cached: Callable[[Path], Any],
    tmp_path: Path,
) -> None:
    trl = pytest.importorskip("trl", reason="trl is no dependency; docs/interchange.md has the run by hand")
    import datasets
    from transformers import AutoModelForCausalLM, AutoTokenizer

    cache = ask()
    rows = datasets.load_dataset(str(exported(cache, "trl")), split="train")
    tokenizer = AutoTokenizer.from_pretrained(model)
    trainer = trl.SFTTrainer(
        AutoModelForCausalLM.from_pretrained(model),
        args=trl.SFTConfig(output_dir=str(tmp_path / "o"), report_to=[], use_cpu=True, bf16=False),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    _, before = cached(cache)
    for row, prepared in zip(rows, trainer.train_dataset, strict=True):
        learnt = [i for i in prepared["labels"] if i != -100]
        assert tokenizer.decode(learnt) == before[row["example_id"]].answer.texts[0]


@pytest.mark.parametrize(
    ("line", "prompt", "text"),
    [
        ({"id": "a", "prompt": "2 + 2?", "completion": " 4"}, "2 + 2?", " 4"),
        (
            {
                "id": "a",
                "messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}],
            },
            "2 + 2?",
            "4",
        ),
        (
            {
                "id": "a",
                "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
                "completion": [{"role": "assistant", "content": "4"}],
            },
            '[{"role":"system","content":"s"},{"role":"user","content":"u"}]',
            "4",
        ),
    ],
)
def test_the_shapes_that_people_write(
    *,
    line: dict[str, Any],
    prompt: str,
    text: str,
    say: Callable[..., Any],
    cached: Callable[[Path], Any],
    tmp_path: Path,
) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps(line) + "\n")

    code, _, err = say("import", path, "--format", "trl", "--out", tmp_path / "c")
    assert code == 0, err
    manifest, rows = cached(tmp_path / "c")
    assert (rows["a"].prompt, rows["a"].answer.texts) == (prompt, (text,))
    assert (manifest.request.task, manifest.request.store, manifest.request.codec) == (
        "free",
        ("text",),
        None,
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"id": "a", "text": "x"}', "line 1: neither messages nor prompt and completion"),
        (
            '{"prompt": "a", "completion": "b"}',
            "line 1: it has no id; add a column example_id, or give --number-rows",
        ),
        ('{"id": "a", "prompt": "a", "compl', "line 1: no JSON"),
        (
            '{"id": "a", "messages": [{"role": "user", "content": "x"}]}',
            "line 1: no turn of the assistant stands last",
        ),
        ("[1]", "line 1: '[1]' is no JSON object"),
        (
            '{"id": "a", "prompt": "\\ud800", "completion": "b"}',
            "line 1: its prompt holds half of a surrogate",
        ),
        (
            '{"id": "a", "prompt": "a", "completion": "b\\ud800"}',
            "line 1: its answer holds half of a surrogate",
        ),
        (
            (
                '{"id": "a", "messages": [{"role": "user", "content": [{"type": "image", "path": "a.png"}]}, '
                '{"role": "assistant", "content": "a dog"}]}'
            ),
            "line 1: it shows a picture, and pictures are not imported",
        ),
    ],
)
def test_bad_lines(text: str, told: str, refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(text + "\n")

    assert told in refused("import", path, "--format", "trl", "--out", tmp_path / "c")

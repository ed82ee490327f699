"""Cache to foreign files and back: what each format keeps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Cached = Callable[[Path], tuple[Any, dict[str, Any]]]
# Half a step of `packed`, beside what shifting entries back to a sum of one adds.
TOLERANCES = {"exact": 1e-5, "half": 0.02, "packed": 0.13}


@pytest.fixture
def back(
    say: Callable[..., Any], exported: Callable[..., Path], model: Path, tmp_path: Path
) -> Callable[..., Path]:
    def there_and_back(cache: Path, name: str, *more: object) -> Path:
        foreign, out = exported(cache, name), tmp_path / f"back-{name}"
        tokens = () if name == "trl" else ("--tokenizer", model)
        prompts = ("--prompts", foreign / "prompts.jsonl")
        code, _, err = say("import", foreign, "--format", name, "--out", out, *prompts, *tokens, *more)
        assert code == 0, err
        return out

    return there_and_back


@pytest.mark.parametrize("name", ["distillkit", "axolotl", "openai-batch", "trl"])
def test_examples_and_texts_come_back(
    name: str, ask: Callable[..., Path], back: Callable[..., Path], cached: Cached, say: Callable[..., Any]
) -> None:
    cache = ask()
    folder = back(cache, name)

    _, before = cached(cache)
    manifest, after = cached(folder)
    assert list(after) == list(before)
    for identifier, row in before.items():
        assert after[identifier].example == row.example
        assert after[identifier].prompt == row.prompt
        assert after[identifier].answer.texts == row.answer.texts
    assert (manifest.teacher.backend, manifest.teacher.options["format"]) == ("import", name)
    assert say("verify", folder)[::2] == (0, f"{folder}: every checksum holds\n")


@pytest.mark.parametrize("codec", ["exact", "packed"])
@pytest.mark.parametrize("name", ["distillkit", "openai-batch"])
def test_log_probabilities_and_tails_come_back(
    *,
    name: str,
    codec: str,
    ask: Callable[..., Path],
    back: Callable[..., Path],
    cached: Cached,
    entries: Callable[..., Any],
) -> None:
    cache = ask(codec=codec, top_k=9, top_p=0.9)
    manifest, before = cached(cache)
    imported, after = cached(back(cache, name, "--codec", codec))

    assert imported.request.codec == codec
    for identifier, row in before.items():
        again = after[identifier].answer
        assert again.token_ids.tolist() == row.answer.token_ids.tolist()
        wanted, found = entries(manifest, row), entries(imported, after[identifier])
        assert found.keys() == wanted.keys()
        assert max(abs(found[key] - wanted[key]) for key in wanted) <= TOLERANCES[codec]
        np.testing.assert_allclose(np.exp(again.tail_logprob), np.exp(row.answer.tail_logprob), atol=1e-5)


def test_axolotl_keeps_the_shares_of_the_entries_and_no_tail(
    ask: Callable[..., Path], back: Callable[..., Path], cached: Cached, entries: Callable[..., Any]
) -> None:
    cache = ask(codec="exact", top_k=9, top_p=0.9)
    manifest, before = cached(cache)
    imported, after = cached(back(cache, "axolotl", "--codec", "exact"))

    for identifier, row in before.items():
        wanted, found = entries(manifest, row, whole=False), entries(imported, after[identifier])
        assert found.keys() == wanted.keys()
        assert max(abs(found[key] - wanted[key]) for key in wanted) < 1e-5
        assert np.isneginf(after[identifier].answer.tail_logprob).all()


def test_packed_entries_come_back_to_the_same_steps(
    ask: Callable[..., Path], back: Callable[..., Path], cached: Cached
) -> None:
    cache = ask(codec="packed", top_k=9)
    _, before = cached(cache)
    _, after = cached(back(cache, "openai-batch"))

    same = [after[i].answer.topk_logprobs == row.answer.topk_logprobs for i, row in before.items()]
    assert sum(same) >= len(same) / 2


def test_a_conversation_with_a_system_turn_comes_back_as_one(
    ask: Callable[..., Path],
    exported: Callable[..., Path],
    say: Callable[..., Any],
    cached: Cached,
    tmp_path: Path,
) -> None:
    cache = ask(system="Be brief.", codec="exact")
    foreign = exported(cache, "trl")
    assert say("import", foreign, "--format", "trl", "--out", tmp_path / "back")[0] == 0

    _, before = cached(cache)
    _, after = cached(tmp_path / "back")
    prompt = before["row-0"].prompt
    wanted = f'[{{"role":"system","content":"Be brief."}},{{"role":"user","content":"{prompt}"}}]'
    assert after["row-0"].prompt == wanted.replace("\n", "\\n")
    # A cache whose prompts are conversations writes them as turns again.
    again = exported(tmp_path / "back", "trl")
    for split in ("train", "validation", "test"):
        file = f"{split}.parquet"
        assert _table(again / file) == _table(foreign / file)
    assert replace(after["row-0"].example, fields={}).split == "train"


def _table(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()

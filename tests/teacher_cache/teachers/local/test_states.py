"""Pooled hidden states of local models: of the prompt's tokens, none of the padding's."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from schemas.answer import Answer, Usage
from schemas.errors import ConfigError
from schemas.example import Example
from teacher_cache.teachers.local.model import LocalModelTeacher
from teacher_cache.teachers.local.states import pool
from teacher_cache.teachers.teacher import Generation, TeacherSettings

PROMPTS = ("Hi", "A longer prompt, for the padding.", "?")
Ask = Callable[..., Sequence[Answer]]
Rows = Callable[..., list[Example]]
Load = Callable[[Path], tuple[Any, Any]]
POOLED: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "mean": lambda states: states.mean(axis=0),
    "first": lambda states: states[0],
    "last": lambda states: states[-1],
}


def test_each_pooling_by_hand() -> None:
    """Two prompts of three places, one padded on the left and one on the right; states count upward."""

    class Counting(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> Any:
            states = torch.arange(12.0).reshape(2, 3, 2)
            return type("Outputs", (), {"hidden_states": (states,)})

    inputs = {"input_ids": torch.zeros(2, 3), "attention_mask": torch.tensor([[0, 1, 1], [1, 1, 0]])}
    found = {name: pool(Counting(), inputs, 0, name).tolist() for name in ("mean", "first", "last")}

    assert found["mean"] == [[3, 4], [7, 8]]
    assert found["first"] == [[2, 3], [6, 7]]
    assert found["last"] == [[4, 5], [8, 9]]


@pytest.mark.parametrize("layer", ["-1", "3", "1", "0"])
@pytest.mark.parametrize("pooling", POOLED)
def test_a_causal_models_states_are_those_of_a_plain_pass(
    *, pooling: str, layer: str, causal: Path, ask: Ask, rows: Rows, load: Load
) -> None:
    model, tokenizer = load(causal)
    answers = ask(causal, rows(PROMPTS), "repr", options={"pooling": pooling, "layer": layer})
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        text = f"<s>[user]{prompt}[assistant]"
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            states = model(ids, output_hidden_states=True).hidden_states[int(layer)][0].numpy()
        assert answer.repr is not None
        assert answer.repr.dtype == (np.float16 if layer in {"-1", "3"} else np.float32)
        np.testing.assert_allclose(answer.repr, POOLED[pooling](states), rtol=2e-3, atol=2e-3)
        assert answer.usage == Usage(len(text) - 2, 0)


def test_the_last_token_is_what_a_causal_model_is_pooled_by(causal: Path, ask: Ask, rows: Rows) -> None:
    default = ask(causal, rows(PROMPTS), "repr")
    last = ask(causal, rows(PROMPTS), "repr", options={"pooling": "last"})
    assert [a.repr.tobytes() for a in default if a.repr is not None] == [
        a.repr.tobytes() for a in last if a.repr is not None
    ]


def test_equal_batches_give_equal_bytes(causal: Path, ask: Ask, rows: Rows) -> None:
    how = Generation(max_tokens=8)
    once, again = (ask(causal, rows(PROMPTS), "text,logprobs,repr", generation=how) for _ in range(2))
    for one, other in zip(once, again, strict=True):
        assert one.repr is not None
        assert other.repr is not None
        assert one.repr.tobytes() == other.repr.tobytes()
        assert (one.texts, one.topk_ids, one.topk_logprobs) == (
            other.texts,
            other.topk_ids,
            other.topk_logprobs,
        )


def test_a_state_that_float16_cannot_hold_is_an_error_that_says_so(
    causal: Path, ask: Ask, rows: Rows, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(causal, tmp_path / "large"))
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] *= 1e6
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (answer,) = ask(folder, rows(["Hi"]), "repr")

    assert answer.repr is None
    assert answer.error is not None
    assert answer.error.startswith("a hidden state of ")
    assert answer.error.endswith(" is more than float16 can hold")


def test_an_encoder_is_pooled_by_its_mean_and_knows_alike_from_unlike(
    fetched: Path, ask: Ask, rows: Rows
) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = fetched / "models" / "minilm"
    texts = ["A warm and funny film.", "A funny, heartwarming movie that I enjoyed.", "Tax law of 1954."]
    answers = ask(folder, rows(texts), "repr")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    for text, answer in zip(texts, answers, strict=True):
        tokens = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            wanted = model(**tokens).last_hidden_state[0].mean(dim=0).numpy()
        assert answer.repr is not None
        np.testing.assert_allclose(answer.repr, wanted, atol=2e-3)
        assert answer.usage == Usage(tokens["input_ids"].shape[1], 0)
    units = [a.repr / np.linalg.norm(a.repr.astype(float)) for a in answers if a.repr is not None]
    assert units[0] @ units[1] > 0.5
    assert units[0] @ units[2] < 0.2


def test_an_encoder_takes_no_more_than_it_has_positions(
    fetched: Path, ask: Ask, rows: Rows, capfd: pytest.CaptureFixture[str]
) -> None:
    fits, long = ask(fetched / "models" / "minilm", rows(["word " * 510, "word " * 511]), "repr")
    assert fits.error is None
    assert long.error == "the prompt has 513 tokens; the model's context is 512 in all"
    assert capfd.readouterr().err == ""


def test_an_encoder_writes_nothing(fetched: Path) -> None:
    settings = TeacherSettings(name=str(fetched / "models" / "minilm"), store=("repr", "text"))
    with pytest.raises(
        ConfigError, match=r"minilm is of type bert without .* gives no text; give --store repr"
    ):
        LocalModelTeacher(settings)


def test_an_encoders_identity_has_no_vocabulary(fetched: Path) -> None:
    settings = TeacherSettings(name=str(fetched / "models" / "minilm"), store=("repr",))
    identity = LocalModelTeacher(settings).identity

    assert (identity.repr_dim, identity.vocab_size, identity.modality) == (384, None, "text")
    assert identity.options == {"dtype": "float32", "pooling": "mean", "layer": -1, "chat": False}
    assert "chat_template" not in identity.hashes

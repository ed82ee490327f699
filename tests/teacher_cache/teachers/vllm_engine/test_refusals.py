"""What `vllm:` refuses in one line: most of it before vLLM is imported, so without it too."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ArmadaError, ConfigError, TeacherError
from teacher_cache.teachers import find_backend
from teacher_cache.teachers.teacher import Entries, Generation, TeacherSettings
from teacher_cache.teachers.vllm_engine.model import VllmTeacher

MakeCausal = Callable[..., Path]
needs_vllm = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]


def teacher_of(folder: Path, options: dict[str, Any] | None = None, **settings: Any) -> VllmTeacher:
    chosen = {"store": ("text",), **settings}
    given = {name: str(value) for name, value in (options or {}).items()}
    return VllmTeacher(TeacherSettings(name=str(folder), options=given, **chosen))


def refusal(make: Callable[[], Any], kind: type[ArmadaError]) -> str:
    with pytest.raises(kind) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def enter(teacher: VllmTeacher) -> None:
    async def entered() -> None:
        async with teacher:
            pass

    asyncio.run(entered())


@pytest.mark.parametrize(
    ("options", "settings", "words"),
    [
        ({"temprature": 1}, {}, "the backend vllm has no such option; it has: dtype, pooling"),
        ({"dtype": "int4"}, {}, "dtype"),
        ({"kv-cache-gb": 0}, {}, "kv"),
        ({"max-model-len": 512}, {}, "--option max-model-len=512: the context of tiny-llama is 256"),
        (
            {},
            {"generation": Generation(temperature=3.0)},
            "--sampling-temperature 3: vLLM takes 0, or 0.01 to 2",
        ),
        ({}, {"generation": Generation(temperature=0.001)}, "--sampling-temperature 0.001: vLLM takes 0"),
        ({}, {"generation": Generation(num_samples=2)}, "--num-samples 2 with --sampling-temperature 0"),
        (
            {"tensor-parallel-size": 2},
            {"store": ("logprobs",), "entries": Entries(codec="sampled")},
            "whole distributions .* are seen in one process alone",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(
    causal: Path, options: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    import re

    assert re.search(words, refusal(lambda: teacher_of(causal, options, **settings), ConfigError))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "--model vllm:" in refusal(lambda: teacher_of(tmp_path / "nothing"), TeacherError)


def test_without_vllm_the_line_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teacher_cache.teachers.find_spec", lambda _name: None)

    words = refusal(lambda: find_backend("vllm:smollm2-135m-instruct"), TeacherError)

    assert words.endswith('vllm is not installed; run: pip install "armada-distill[vllm]"')


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"base_model_name_or_path": "meta-llama/Llama-3.2-1B"}, "was trained on meta-llama/Llama-3.2-1B"),
        ({"base_model_name_or_path": None}, "was trained on a base without a name"),
        ({"peft_type": "IA3"}, "is of type IA3, vLLM takes LORA"),
    ],
)
def test_an_adapter_of_another_base_or_kind_is_refused(
    causal: Path, adapter: Path, changed: dict[str, Any], words: str
) -> None:
    file = adapter / "adapter_config.json"
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before) | changed))
    try:
        assert words in refusal(lambda: teacher_of(causal, {"adapter": adapter}), TeacherError)
    finally:
        file.write_text(before)


def test_an_adapter_with_weights_of_other_sizes_is_refused(
    adapter: Path, make_causal: MakeCausal, tmp_path: Path
) -> None:
    wider = make_causal(tmp_path / "tiny-llama", hidden_size=64)

    words = refusal(lambda: teacher_of(wider, {"adapter": adapter}), TeacherError)

    assert "q_proj.lora_A.weight is 32 wide, tiny-llama needs 64" in words


def test_an_adapter_that_is_none_is_refused(causal: Path, tmp_path: Path) -> None:
    words = refusal(lambda: teacher_of(causal, {"adapter": tmp_path}), TeacherError)

    assert "adapter_config.json cannot be read" in words


def test_adapter_and_options_that_change_answers_are_in_the_identity(
    causal: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teacher_cache.teachers.vllm_engine.model._vllm_version", lambda: "0.32.0")
    plain = teacher_of(causal).identity
    same = teacher_of(causal, {"kv-cache-gb": 2, "enforce-eager": "true", "prefix-caching": "false"}).identity
    adapted = teacher_of(causal, {"adapter": adapter}).identity
    shorter = teacher_of(causal, {"max-model-len": 100, "logprobs-mode": "processed_logprobs"}).identity

    assert plain == same
    assert plain.versions["vllm"] == "0.32.0"
    assert adapted.options["adapter"] == adapter.name
    assert adapted.hashes.keys() - plain.hashes.keys() == {"adapter"}
    assert shorter.options["max_model_len"] == 100
    assert shorter.options["logprobs_mode"] == "processed_logprobs"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"quantization": "awq"}, "vLLM cannot load it", marks=needs_vllm),
        pytest.param({"kv-cache-gb": 100_000}, "no memory for the model and its cache", marks=needs_vllm),
        pytest.param({"kv-cache-gb": 0.0001}, "no memory for the model and its cache", marks=needs_vllm),
    ],
)
def test_what_vllm_cannot_load_is_told_in_one_line(causal: Path, options: dict[str, Any], words: str) -> None:
    told = refusal(lambda: enter(teacher_of(causal, options)), TeacherError)

    assert str(causal) in told
    assert words in told

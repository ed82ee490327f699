import tomllib
from pathlib import Path
from typing import Any

import pytest

from distill.config import digest_of_run, options_of, resolve
from distill.rules import RULES
from distill.store import as_toml
from schemas.errors import ConfigError

GIVEN = {"task": "movie-sentiment", "student": "somewhere"}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("alpha", 2.0, "--alpha 2.0: wanted a number from 0 to 1"),
        ("alpha", float("nan"), "--alpha nan: wanted a number from 0 to 1"),
        ("epochs", 0, "--epochs 0: wanted a whole number of at least 1"),
        ("batch_size", -1, "--batch-size -1"),
        ("lr", 0.0, "--lr 0.0: wanted a number above 0"),
        ("temperature", float("inf"), "--temperature inf"),
        ("control", "noise:1e999", "--control noise:1e999: wanted none, shuffle or noise:SIGMA"),
        ("temperature", 1e-300, "--temperature 1e-300: wanted a number of at least 0.001"),
        ("student", " ", "--student  : wanted a folder or a hub name"),
        ("control", "noise:-1", "--control noise:-1: wanted none, shuffle or noise:SIGMA"),
        ("manifold", "hyperbolic", "--manifold hyperbolic: wanted one of cosine"),
        ("formulation", "own", "--formulation own: wanted one of reference, paper"),
        ("method", "magic", "--method magic: wanted one of undistilled, armada"),
        ("seed", -1, "--seed -1"),
        ("accumulate", 0, "--accumulate 0: wanted a whole number of at least 1"),
        ("warmup", 1.5, "--warmup 1.5: wanted a share of the steps, 0 to 1"),
        ("lr_schedule", "cosine", "--lr-schedule cosine: wanted one of constant, linear"),
        ("patience", 0, "--patience 0: wanted a whole number of at least 1"),
    ],
)
def test_a_wrong_value_is_named_with_its_flag_and_what_is_wanted(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(ConfigError) as error:
        resolve({**GIVEN, name: value}, "audio")
    assert str(error.value).startswith(wanted)
    assert error.value.exit_status == 2


def test_every_rule_is_about_an_option() -> None:
    optional = {"limit_train": 1, "manifold_dim": 1, "patience": 1, "lora_rank": 1, "lora_targets": "query"}
    labels, texts = (
        options_of(resolve({**GIVEN, **optional, **more}, "audio"))
        for more in ({}, {"task": "chain-sum", "method": "armada+kd"})
    )
    assert set(RULES) <= {*labels, *texts}
    assert "max_new_tokens" not in labels


def test_an_option_without_effect_is_refused() -> None:
    with pytest.raises(ConfigError, match="--alpha has no effect with --method undistilled"):
        resolve({**GIVEN, "method": "undistilled", "alpha": 0.5}, "audio")


@pytest.mark.parametrize(("modality", "standardise"), [("audio", True), ("image", False)])
def test_speech_is_standardised_and_latents_are_not(modality: str, standardise: bool) -> None:
    for given, wanted in ((None, standardise), (True, True), (False, False)):
        run = resolve({**GIVEN, "standardise": given}, modality)
        assert run.distillation is not None
        assert run.distillation.standardise is wanted


def test_a_task_without_a_recipe_takes_the_papers() -> None:
    run = resolve({**GIVEN, "task": "of-your-own"}, "image")
    assert (run.epochs, run.batch_size, run.lr, run.max_length) == (10, 32, 2e-5, 128)
    assert run.distillation is not None
    assert (run.distillation.alpha, run.distillation.temperature, run.distillation.aligner_lr) == (
        0.5,
        5,
        3e-3,
    )


def test_an_adapter_takes_the_papers_row_for_llama_where_no_flag_says_otherwise() -> None:
    run = resolve({**GIVEN, "lora_rank": 8}, "image")
    assert (run.epochs, run.batch_size, run.lr) == (3, 4, 3e-4)
    assert run.lora is not None
    assert (run.lora.lora_alpha, run.lora.lora_dropout) == (16, 0.1)
    assert resolve({**GIVEN, "lora_rank": 8, "lr": 1e-3, "batch_size": 2}, "image").lr == 1e-3
    saved = tomllib.loads(as_toml(run, "0" * 64))
    assert resolve({**saved, "task": run.task}, "image") == run


@pytest.mark.parametrize(("option", "value"), [("lora_alpha", 8), ("dora", True), ("lora_targets", "query")])
def test_what_is_about_an_adapter_wants_one(option: str, value: Any) -> None:
    flag = option.replace("_", "-")
    with pytest.raises(ConfigError, match=f"--{flag} has no effect without --lora-rank; give both"):
        resolve({**GIVEN, option: value}, "image")
    assert getattr(resolve({**GIVEN, option: value, "lora_rank": 2}, "image").lora, option) == value


@pytest.mark.parametrize("method", ["armada", "undistilled"])
def test_the_saved_file_gives_the_same_run(method: str) -> None:
    run = resolve({**GIVEN, "method": method, "seed": 3}, "audio")
    saved = tomllib.loads(as_toml(run, "0" * 64))
    assert resolve({**saved, "task": run.task}, "image") == run


def test_digest_changes_with_what_changes_results_only() -> None:
    def digest(**changes: Any) -> str:
        return digest_of_run(resolve({**GIVEN, **changes}, "audio"), "cache", "student")

    first = digest()
    assert first == digest(device="cpu") == digest(student="moved")
    others = [digest(seed=1), digest(beta=0.0), digest(control="shuffle"), digest(method="undistilled")]
    assert len({first, *others}) == 5
    assert first != digest_of_run(resolve(GIVEN, "audio"), "another", "student")


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "armada-euclid"),
        ({"control": "shuffle"}, "armada-euclid-shuffle"),
        ({"control": "noise:0.5", "manifold": "cosine"}, "armada-cosine-noise0.5"),
        ({"method": "undistilled"}, "undistilled-none"),
    ],
)
def test_label_tells_method_manifold_and_control(changes: dict[str, Any], label: str) -> None:
    assert resolve({**GIVEN, **changes}, "audio").label == label


def test_config_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = "{'torch', 'transformers', 'pyarrow', 'numpy', 'pydantic'}"
    code = f"import sys, distill.cli; print(sorted({heavy} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    assert subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True).strip() == "[]"


@pytest.mark.parametrize("option", ["manifold_dim", "gamma"])
def test_an_aligner_without_projection_takes_no_option_about_it(option: str) -> None:
    given = {**GIVEN, "aligner": "capacity-matched"}
    with pytest.raises(
        ConfigError, match=f"--{option.replace('_', '-')} has no effect with --aligner capacity"
    ):
        resolve({**given, option: 1}, "audio")
    run = resolve(given, "audio")
    assert run.distillation is not None
    assert run.distillation.gamma == 0
    assert resolve(options_of(run), "audio") == run


def test_a_reading_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="--aligner own: wanted one of reference, paper, capacity-matched"):
        resolve({**GIVEN, "aligner": "own"}, "audio")

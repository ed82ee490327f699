"""docs/training.md is true: its commands parse, its tables are the code's, its program loads a student."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from distill.cli import distill
from distill.config import DistillationConfig, LoraConfig, RunConfig, TokenConfig, options_of, resolve
from distill.methods import METHODS
from distill.recipes import LORA, RECIPES, Recipe, recipe_for
from distill.report import command as report
from distill.rules import ALIGNERS, MANIFOLDS, PROTOCOLS, SCHEDULES
from schemas.errors import ConfigError
from schemas.result import RunResult
from teacher_cache.cli import command as cache_teacher

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
COMMANDS: dict[str, click.Command] = {
    "cache-teacher": cache_teacher,
    "distill": distill,
    "python -m distill.report": report,
}
BLOCKS = re.findall(r"^    (\S.*)$", PAGE, re.MULTILINE)
LINES = [line for line in BLOCKS if re.match(r"cache-teacher --|distill --|python -m distill\.report ", line)]
TOML = re.findall(r"`([\w-]+ = [^`]+)`", PAGE)


def parsed(line: str) -> dict[str, Any]:
    """What click makes of a line, its required options and choices checked; nothing is run."""
    name = next(name for name in COMMANDS if line.startswith(f"{name} "))
    return COMMANDS[name].make_context(name, shlex.split(line.removeprefix(name))).params


def resolved(given: dict[str, Any], task: str) -> RunConfig:
    known = {
        *(one for part in (RunConfig, DistillationConfig, TokenConfig, LoraConfig) for one in part.__slots__)
    }
    return resolve({**{name: given[name] for name in given if name in known}, "task": task}, "audio")


@pytest.fixture(autouse=True)
def beside_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "RUN").mkdir()
    (tmp_path / "RUN" / "config.toml").write_text('method = "undistilled"\nstudent = "s"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_the_page_shows_every_command() -> None:
    assert {name for name in COMMANDS if any(line.startswith(f"{name} ") for line in LINES)} == set(COMMANDS)
    assert len(LINES) == 9


@pytest.mark.parametrize("line", LINES)
def test_every_line_parses(line: str) -> None:
    given = parsed(line)

    if line.startswith("distill "):
        writes = given["method"] in ("kd", "seqkd")
        assert resolved(given, "chain-sum" if writes else "movie-sentiment").method == given["method"]


def test_every_option_is_on_the_page_and_no_other() -> None:
    own = {name for one in distill.params for name in (*one.opts, *one.secondary_opts)}
    others = {name for one in cache_teacher.params for name in one.opts}
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))

    assert sorted(own - told) == []
    assert sorted(told - own) == ["--limit", "--model", "--score", "--store"]
    assert told - own <= others


def test_the_keys_of_a_file_are_read(tmp_path: Path) -> None:
    assert len(TOML) == 4
    (tmp_path / "run.toml").write_text("\n".join(TOML), encoding="utf-8")
    run = resolved(parsed("distill --config run.toml --seed 43"), "movie-sentiment")

    assert run.lora is not None
    assert run.distillation is not None
    assert (run.lora.lora_targets, run.lora.lora_rank, run.seed) == ("query,value", 8, 43)
    assert not run.distillation.standardise
    (tmp_path / "twice.toml").write_text("lora-rank = 8\nlora_rank = 8\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="twice"):
        parsed("distill --shards DIR --config twice.toml")


def rows_of(heading: str) -> list[list[str]]:
    """The cells of a table, its heading left out."""
    table = PAGE.partition(f"\n| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in table]


def test_the_table_of_methods_is_whole() -> None:
    rows = {row[0].partition("`")[2].partition("`")[0]: row[3] for row in rows_of("`--method`")}

    assert list(rows) == list(METHODS)
    assert {name for name, tasks in rows.items() if tasks == "with texts"} == {
        name for name, method in METHODS.items() if method.is_generative
    }


@pytest.mark.parametrize(
    ("option", "names"), [("aligner", ALIGNERS), ("schedule", SCHEDULES), ("protocol", PROTOCOLS)]
)
def test_every_name_of_an_option_is_there_the_default_first(option: str, names: tuple[str, ...]) -> None:
    (row,) = (row for row in rows_of("option") if row[0] == f"`--{option}`")

    assert re.findall(r"`([a-z-]+)`:", row[1]) == list(names)
    assert options_of(resolve({"task": "movie-sentiment", "student": "s"}, "image"))[option] == names[0]


def test_the_table_of_manifold_losses_is_whole() -> None:
    named = {row[0].partition("`")[2].partition("`")[0] for row in rows_of("`--manifold`")}

    assert named | {"none"} == set(MANIFOLDS)


def test_the_table_of_recipes_is_that_of_the_code() -> None:
    told: dict[str, tuple[str, ...]] = {}
    for names, *numbers, most in rows_of("recipe"):
        # Of two kinds of row in one line the last cell alone differs.
        for group, own in zip(names.split("; "), most.split("; "), strict=True):
            told |= dict.fromkeys(re.findall(r"`([^`]+)`", group), (*numbers, own))

    assert told == {name: shown(recipe) for name, recipe in RECIPES.items()}
    assert recipe_for("anything-else") == RECIPES["glue"]
    assert {(one.alpha, one.beta, one.gamma, one.temperature) for one in RECIPES.values()} == {(0.5, 1, 1, 5)}
    assert {one.manifold for one in RECIPES.values()} == {"euclid"}
    assert LORA == {"epochs": 3, "batch_size": 4, "lr": 3e-4}


def shown(recipe: Recipe) -> tuple[str, ...]:
    rates = (f"{rate:.0e}".replace("e-0", "e-") for rate in (recipe.lr, recipe.aligner_lr))
    most = recipe.max_new_tokens
    return (
        str(recipe.epochs),
        str(recipe.batch_size),
        *rates,
        str(recipe.max_length),
        "" if most is None else str(most),
    )


def test_every_key_of_a_result_is_named() -> None:
    (paragraph,) = re.findall(r"^`run\.json` \(.*?\n\n", PAGE, re.MULTILINE | re.DOTALL)

    assert [name for name in RunResult.model_fields if f"`{name}`" not in paragraph] == []


def test_the_program_loads_a_student() -> None:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        intermediate_size=8,
        num_attention_heads=1,
        num_hidden_layers=1,
    )
    BertForSequenceClassification(config).save_pretrained("RUN/student")
    BertTokenizerFast(vocab=words).save_pretrained("RUN/student")
    program = [line for line in BLOCKS if line.startswith(("from ", "tokenizer = ", "model = "))]
    names: dict[str, Any] = {}
    exec("\n".join(program), names)

    assert len(program) == 3
    assert names["model"](**names["tokenizer"]("a film", return_tensors="pt")).logits.shape == (1, 2)

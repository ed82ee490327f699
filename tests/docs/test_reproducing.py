"""docs/reproducing.md is true: its lines parse and name what exists, its counts are those of the plans."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from distill.analyses.__main__ import analyses
from distill.cli import distill
from distill.config import RunConfig, options_of, resolve
from distill.pretrained import load_backbone
from distill.studies import STUDIES
from distill.studies.estimating import least_bytes, paper_steps, rows_trained_on
from distill.studies.paper_profile import PAPER
from distill.studies.planning import Planner
from distill.studies.study import Cell
from distill.tables_cli import paper_tables
from schemas.tasks import TASKS, find_task
from teacher_cache.cli import command as cache_teacher
from teacher_cache.config import CacheConfig
from teacher_cache.plan import make_plan
from teacher_cache.shards_cli import group as teacher_shards
from teacher_cache.teachers.diffusion.options import DiffusionOptions
from teacher_cache.teachers.local.vision import VisionOptions
from teacher_cache.teachers.speech.pair import SpeechPairOptions
from teacher_cache.teachers.teacher import parse_options
from teacher_cache.teachers.vllm_engine.options import VllmOptions

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reproducing.md").read_text(encoding="utf-8")
(CONFIG,) = re.findall(r"^```toml paper.toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = dict(re.findall(r"^```python (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS: dict[str, click.Command] = {
    "cache-teacher": cache_teacher,
    "teacher-shards": teacher_shards,
    "distill": distill,
    "paper-tables": paper_tables,
    "python -m distill.analyses": analyses,
}
OF_BACKEND = {
    "diffusers": DiffusionOptions,
    "transformers": VisionOptions,
    "speech": SpeechPairOptions,
    "vllm": VllmOptions,
}
TRAININGS = dict(
    re.findall(r"^\| `paper-tables --config paper.toml --(\w+ \d+)` \| (\d+) \|$", PAGE, re.MULTILINE)
)
WITHOUT_BLOCKS = re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
LINES = [
    *re.findall(r"^    (\S.*?)(?:  +#.*)?$", WITHOUT_BLOCKS, re.MULTILINE),
    *(f"paper-tables --config paper.toml --{which}" for which in TRAININGS),
]
OF_STAGE_ONE = [line for line in LINES if line.startswith("cache-teacher ")]


def parsed(line: str) -> dict[str, Any]:
    """What click makes of a line, its required options and choices checked; nothing is run."""
    name = next(name for name in COMMANDS if line.startswith(f"{name} "))
    command, words = COMMANDS[name], shlex.split(line.removeprefix(name))
    if isinstance(command, click.Group):
        command, words = command.commands[words[0]], words[1:]
    return command.make_context(name, words).params


@pytest.fixture(autouse=True)
def beside_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paper.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_the_page_shows_every_command() -> None:
    assert {name for name in COMMANDS if any(line.startswith(f"{name} ") for line in LINES)} == set(COMMANDS)
    assert len(OF_STAGE_ONE) == 28


@pytest.mark.parametrize("line", LINES)
def test_every_line_parses(line: str) -> None:
    assert parsed(line)


@pytest.mark.parametrize("line", OF_STAGE_ONE)
def test_every_cache_is_of_a_task_and_a_teacher_with_such_options(line: str) -> None:
    given = parsed(line)
    config = CacheConfig(**{name: value for name, value in given.items() if name in CacheConfig.__slots__})
    backend = config.model.partition(":")[0]

    assert config.task in TASKS
    assert find_task(config.task).source is not None
    assert parse_options(OF_BACKEND[backend], backend, config.options)


def test_every_cache_that_is_made_is_read_and_every_task_and_teacher_of_the_paper_has_one() -> None:
    made = {str(parsed(line)["out"]): parsed(line)["task"] for line in OF_STAGE_ONE}
    given = parsed("paper-tables --config paper.toml --all")

    assert sorted(map(str, given["shards"])) == sorted(made)
    assert {task.name for task in PAPER.tasks.values()} == set(made.values())
    assert {entry.partition("=")[0] for entry in given["students"]} == set(PAPER.students)


def test_what_paper_tables_advises_are_the_lines_of_the_page(tmp_path: Path) -> None:
    planner = Planner(profile=PAPER, caches=[], store=tmp_path, seeds=(42,))
    advised = {advice for study in STUDIES.values() for advice in planner.plan(study).advice}

    assert advised == {f"give --shards DIR of one: {line}" for line in OF_STAGE_ONE}


def test_the_commonsense_line_is_read_beside_both_published_sets() -> None:
    (line,) = [line for line in OF_STAGE_ONE if "--task reasoning/commonsense " in line]
    given, root = parsed(line), Path("data/tasks/llm-adapters")
    record = {"instruction": "Which? Answer1: a Answer2: b", "input": "", "output": "answer1"}
    sets = [root / "ft-training_set" / f"commonsense_{size}.json" for size in ("15k", "170k")]
    folders = ("hellaswag", "winogrande", "ARC-Challenge", "ARC-Easy", "openbookqa")
    for path in (*sets, *(root / "dataset" / name / "test.json" for name in folders)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([record | {"answer": "answer1"}]), encoding="utf-8")
    asked = {name: given[name] for name in ("model", "task", "source", "splits")}

    assert make_plan(CacheConfig(**asked)).splits == {"train": 1, "validation": 5}


def test_single_runs_resolve() -> None:
    runs = [resolved(parsed(line)) for line in LINES if line.startswith("distill ")]

    assert len(runs) == 7
    assert {run.task for run in runs} == {"glue/cola", "reasoning/commonsense"}
    assert {run.distillation.schedule for run in runs if run.distillation} == {"alternating", "frozen"}


def resolved(given: dict[str, Any]) -> RunConfig:
    task = Path(given["shards"]).name.replace("-", "/", 1)
    known = options_of(resolve({"task": task, "student": "s", "lora_rank": 8}, "image"))
    options = {name: given[name] for name in given if name in known}
    return resolve({**options, "task": task}, "image")


def test_trainings_are_counted_right() -> None:
    counts = {name: 3 * len({training(cell) for cell in study.cells}) for name, study in STUDIES.items()}
    told = {which.replace(" ", ""): int(count) for which, count in TRAININGS.items()}

    assert told == {STUDIES[name].file_name: count for name, count in counts.items()}
    every = {training(cell) for study in STUDIES.values() for cell in study.cells}
    assert f"All together are {3 * len(every):,} trainings" in PAGE


def training(cell: Cell) -> tuple[Any, ...]:
    """All that tells one training from another, but the seed."""
    return (cell.key.teacher, *sorted(options_of(config_of(cell)).items()))


def config_of(cell: Cell) -> RunConfig:
    student, task = PAPER.students[cell.trained], PAPER.tasks[cell.key.task].name
    modality = "audio" if cell.key.teacher == "text-to-audio" else "image"
    given = {**student.options, **dict(cell.options), "task": task, "student": cell.trained}
    return resolve(given, modality)


def in_table(heading: str) -> list[list[str]]:
    """The rows of the table of that heading, its cells without spaces around."""
    rows = re.findall(r"^\|.*\|$", PAGE.partition(f"\n| {heading} |")[2].partition("\n\n")[0], re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[1:]]


def test_hours_are_those_of_a_dry_run_by_the_paper_s_steps() -> None:
    every = {
        training(cell): cell
        for study in STUDIES.values()
        for cell in study.cells
        if cell.trained == "bert-base"
    }
    configs = [config_of(cell) for cell in every.values()]
    told = {task.strip("`"): cells for task, *cells in in_table("BERT-base on")}
    total = told.pop("all of these")

    assert set(told) == {config.task for config in configs if paper_steps(config, 1)}
    all_hours, all_trainings = 0.0, 0
    for task, (rows, steps, undistilled, distilled, trainings, hours) in told.items():
        own = [config for config in configs if config.task == task]
        kept = rows_trained_on(int(rows.replace(",", "")), own[0])
        known = [paper_steps(config, kept) for config in own]
        seconds = [count * step for count, step in filter(None, known)]
        assert {count for count, _ in filter(None, known)} == {int(steps.replace(",", ""))}
        assert (f"{min(seconds) / 60:.0f}", f"{max(seconds) / 60:.0f}") == (undistilled, distilled)
        assert (3 * len(own), f"{3 * sum(seconds) / 3600:.0f}") == (int(trainings), hours)
        all_hours, all_trainings = all_hours + 3 * sum(seconds) / 3600, all_trainings + 3 * len(own)
    assert total == ["", "", "", "", str(all_trainings), f"{all_hours:.0f}"]
    num_trainings = 3 * len({training(cell) for study in STUDIES.values() for cell in study.cells})
    assert f"for the other {num_trainings - all_trainings} trainings" in PAGE


def test_memory_is_that_of_a_dry_run_by_the_weights() -> None:
    told = in_table("student")

    assert {name.strip("`") for name, *_ in told} == set(PAPER.students)
    for name, millions, _, gigabytes in told:
        adapted = "lora_rank" in PAPER.students[name.strip("`")].options
        needed = least_bytes(int(millions.replace(",", "")) * 10**6, adapted=adapted)
        assert gigabytes == f"{needed / 1e9:.1f}"


def write_tiny_bert(folder: Path) -> None:
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film"])}
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, "num_hidden_layers": 7}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    BertTokenizerFast(vocab=words).save_pretrained(folder)


def test_the_programs_make_students_that_can_be_trained() -> None:
    # A folder of that name stands before a hub's: the programs run as they are printed.
    for hub_name in set(
        re.findall(r'"((?:google-bert|microsoft|facebook)/[^"]+)"', "".join(PROGRAMS.values()))
    ):
        write_tiny_bert(Path(hub_name))
    for name, program in PROGRAMS.items():
        exec(compile(program, f"docs/reproducing.md {name}", "exec"), {})
    student = load_backbone("models/bert-6l", find_task("glue/cola"))

    assert student.config.num_hidden_layers == len(student.bert.encoder.layer) == 6
    assert Path("models/opt-1.3b/tokenizer.json").is_file()

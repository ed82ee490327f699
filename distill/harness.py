"""A finished run's student handed to lm-eval, the evaluation harness, for its tasks or one's own."""

import json
import logging
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from distill.config import RunConfig
from distill.wording import wording_of
from schemas.errors import ConfigError, ResultError
from schemas.files import write_text
from schemas.manifest import CacheManifest
from schemas.tasks import LabelKind, find_task

_NAME, _WANTED = "lm-eval", "lm-eval:TASK[,TASK]"
# What lm-eval's task files and the data sets behind them are known to raise.
_TASK_ERRORS = (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError, RuntimeError)
_MAX_REASON = 300


@dataclass(frozen=True, slots=True)
class HarnessRequest:
    """What lm-eval is asked for.

    Attributes:
        tasks: names of its tasks, groups or tags, or patterns of them.
        include: folder of more task files; None without.
    """

    tasks: tuple[str, ...]
    include: Path | None = None


def request_of(given: str | None, include: Path | None) -> HarnessRequest | None:
    """Read `--evaluate-with` and `--lm-eval-include`; None where neither was given.

    Raises:
        ConfigError: a value cannot be right, or lm-eval is not installed.
    """
    if given is None:
        if include is not None:
            raise ConfigError("--lm-eval-include has no effect without --evaluate-with; give both")
        return None
    name, _, rest = given.partition(":")
    tasks = tuple(task.strip() for task in rest.split(",") if task.strip())
    if name != _NAME or not tasks:
        raise ConfigError(f"--evaluate-with {given}: wanted {_WANTED}, such as lm-eval:hellaswag,arc_easy")
    if find_spec("lm_eval") is None:
        raise ConfigError(
            f"--evaluate-with {given}: the package lm_eval is not installed; "
            'run: pip install "armada-distill[eval]"'
        )
    if include is not None and not include.is_dir():
        raise ConfigError(f"--lm-eval-include {include}: no such folder; give one with task files (.yaml)")
    return HarnessRequest(tasks, include)


def measure_with_harness(
    run: RunConfig, manifest: CacheManifest, folder: Path, request: HarnessRequest
) -> tuple[Path, dict[str, dict[str, float]]]:
    """Have lm-eval measure a run's student, and keep all that it reports beside the run.

    The student is loaded here and handed over, in float32: left to itself lm-eval asks the hub about the
    folder's name, and cuts a padded vocabulary. Prompts go through the chat template, after the system text,
    where the student learnt them so.

    Args:
        run: that made the student.
        manifest: of the cache that it learnt from, which says how prompts are put.
        folder: of the finished run; the report goes there.
        request: what is asked.

    Returns:
        The file written, `lm-eval-TASKS.json`, and the metrics of each task.

    Raises:
        ConfigError: the student writes no texts, or there is no such task.
        ResultError: lm-eval cannot load a task, or refuses to run it.
    """
    kind = find_task(run.task).label_kind
    if kind is not LabelKind.GENERATIVE:
        raise ConfigError(
            f"--evaluate-with: lm-eval asks students that write, this one learnt {run.task}, of kind {kind}; "
            "measure it with --evaluate-only"
        )
    with _only_errors_logged():
        loaded, manager = _load_tasks(request)
        from distill.again import load_student
        from distill.export import STUDENT_FOLDER

        student, tokenizer, *_ = load_student(run, folder)
        wording = wording_of(manifest, tokenizer)
        asked = {"system_instruction": wording.system, "apply_chat_template": wording.chat}
        model = _language_model(student.backbone, tokenizer, run.batch_size)
        report = _evaluate(model, request, tasks=loaded, task_manager=manager, log_samples=False, **asked)
    # Which student this was, and how it was asked, lm-eval does not say of a model that is handed over.
    report["config"] |= {"model": str(folder / STUDENT_FOLDER), "batch_size": run.batch_size, **asked}
    path = folder / f"lm-eval-{_file_part('+'.join(request.tasks))}.json"
    write_text(path, _as_json(report))
    return path, {task: _metrics(values) for task, values in report["results"].items()}


@contextmanager
def _only_errors_logged() -> Generator[None]:
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _load_tasks(request: HarnessRequest) -> tuple[list[Any], Any]:
    """The tasks and groups asked for, with the index that they stand in."""
    manager, names = _find_tasks(request)
    loaded: list[Any] = []
    for name in names:
        with _task_errors(name, "its data set may need the hub, or another package"):
            one = manager.load([name])
        # A group brings its tasks; a tag, or a task, is a list of tasks.
        loaded += [one["groups"][name]] if name in one["groups"] else one["tasks"].values()
    return loaded, manager


def _find_tasks(request: HarnessRequest) -> tuple[Any, list[str]]:
    """The index, and the names in it that the request's patterns meet.

    lm-eval has thousands of task files: they are read only for a task that is not in one's own folder.
    """
    from lm_eval.tasks import TaskManager

    include = str(request.include) if request.include else None
    missing = ""
    for defaults in (False, True) if include else (True,):
        with _task_errors(str(include), "see its task files"):
            manager = TaskManager(include_path=include, include_defaults=defaults)
        found = {task: manager.match_tasks([task]) for task in request.tasks}
        if all(found.values()):
            return manager, list(dict.fromkeys(name for names in found.values() for name in names))
        missing = next(task for task, names in found.items() if not names)
    raise ConfigError(
        f"--evaluate-with lm-eval:{missing}: lm-eval has no such task; see `lm-eval ls tasks`, "
        "or give the folder of its file with --lm-eval-include"
    )


@contextmanager
def _task_errors(name: str, advice: str) -> Generator[None]:
    """Make one line of what a task raises."""
    try:
        yield
    except _TASK_ERRORS as error:
        reason = " ".join(str(error).split())[:_MAX_REASON] or type(error).__name__
        raise ResultError(f"lm-eval {name}: cannot be measured ({reason}); {advice}") from None


def _language_model(backbone: Any, tokenizer: Any, batch_size: int) -> Any:
    from lm_eval.models import huggingface

    kind: Any = huggingface.HFLM
    return kind(pretrained=backbone, tokenizer=tokenizer, backend="causal", batch_size=batch_size)


def _evaluate(model: Any, request: HarnessRequest, **options: Any) -> dict[str, Any]:
    import lm_eval

    evaluate: Any = lm_eval.simple_evaluate
    with _task_errors(",".join(request.tasks), "see its task file"):
        report: dict[str, Any] | None = evaluate(model, **options)
    assert report is not None, "one process alone measures"
    return report


def _as_json(report: dict[str, Any]) -> str:
    from lm_eval.utils import handle_non_serializable

    return json.dumps(report, indent=1, ensure_ascii=False, default=handle_non_serializable) + "\n"


def _file_part(text: str) -> str:
    return re.sub(r"[^\w.+-]", "_", text)[:100]


def _metrics(values: dict[str, Any]) -> dict[str, float]:
    """The numbers of a task by plain names: `exact_match,none` is exact_match, other filters keep theirs."""
    numbers = {key: value for key, value in values.items() if "," in key and isinstance(value, float | int)}
    return {key.removesuffix(",none"): float(value) for key, value in numbers.items()}


def lines_of(metrics: dict[str, dict[str, float]]) -> Sequence[str]:
    """One line a task, for people."""
    return [
        f"lm-eval {task}: {', '.join(f'{name} {value:.3f}' for name, value in values.items())}"
        for task, values in metrics.items()
    ]

"""A finished student measured by lm-eval itself, over a task file and a data set on this disk."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from distill import harness
from distill.config import RunConfig, resolve
from distill.harness import HarnessRequest, lines_of, measure_with_harness, request_of
from distill.trainer import fit
from schemas.cache import TeacherCache
from schemas.errors import ConfigError, ResultError

TASK = """
task: {name}
dataset_path: {path}
dataset_kwargs: {{data_files: {{test: {data}}}, cache_dir: {folder}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["!"], max_gen_toks: 4, do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
Made = tuple[RunConfig, Path]


@pytest.fixture(scope="module", params=[{}, {"lora_rank": 2}], ids=["whole", "adapter"])
def made(
    request: pytest.FixtureRequest,
    sums_cache: TeacherCache,
    writer_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    folder = tmp_path_factory.mktemp("run")
    small = {"batch_size": 8, "lr": 1e-2, "max_length": 32, "max_new_tokens": 4, "epochs": 1}
    options = {"student": str(writer_folder), "method": "undistilled", "device": "cpu", "precision": "fp32"}
    run = resolve({"task": "chain-sum", **options, **small, **request.param}, "text")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("ARMADA_CACHE_DIR", str(folder / "armada"))
        fit(run, sums_cache, folder, quiet=True)
    return run, folder


@pytest.fixture
def include(tmp_path: Path) -> Path:
    """A folder with one task over rows of this disk, whose rows a test writes, and one over a hub's."""
    for name, path in (("sums", "json"), ("remote-sums", "nobody/no-such-sums")):
        text = TASK.format(name=name, path=path, data=tmp_path / "sums.jsonl", folder=tmp_path / "hf")
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "sums.jsonl").write_text("{}\n")
    return tmp_path


def test_lm_eval_hears_the_student_that_was_reported(
    made: Made, sums_cache: TeacherCache, include: Path
) -> None:
    run, folder = made
    said = {row["example_id"]: row for row in pq.read_table(folder / "predictions.parquet").to_pylist()}
    asked = [row for _, shard in sums_cache.shards("validation") for row in shard.read().to_pylist()]
    # Three rows of four want just what the student wrote.
    rows = [
        {"question": row["prompt"], "answer": said[row["example_id"]]["predicted"] if index % 4 else "no"}
        for index, row in enumerate(asked)
    ]
    (include / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path, metrics = measure_with_harness(run, sums_cache.manifest, folder, HarnessRequest(("sums",), include))
    assert metrics["sums"]["exact_match"] == 0.75
    assert path == folder / "lm-eval-sums.json"
    report = json.loads(path.read_text())
    assert report["results"]["sums"]["exact_match,none"] == 0.75
    assert report["n-samples"]["sums"] == {"original": 12, "effective": 12}
    assert report["config"]["apply_chat_template"] is True
    assert report["config"]["model"] == str(folder / "student")
    assert any(line.startswith("lm-eval sums: exact_match 0.750") for line in lines_of(metrics))


def test_a_task_that_needs_the_hub_is_one_line_without_it(
    made: Made, sums_cache: TeacherCache, include: Path
) -> None:
    request = HarnessRequest(("remote-sums",), include)
    with pytest.raises(ResultError, match=r"lm-eval remote-sums: .*nobody/no-such-sums.*may need the hub"):
        measure_with_harness(made[0], sums_cache.manifest, made[1], request)


def test_a_task_that_is_none_is_one_line(
    made: Made, sums_cache: TeacherCache, include: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval.tasks

    def without_its_own(include_path: str, **options: bool) -> lm_eval.tasks.TaskManager:
        del options  # reading thousands of files would find no such task either
        return own(include_path=include_path, include_defaults=False)

    own = lm_eval.tasks.TaskManager
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", without_its_own)
    with pytest.raises(ConfigError, match=r"lm-eval:products: lm-eval has no such task; see `lm-eval ls"):
        measure_with_harness(
            made[0], sums_cache.manifest, made[1], HarnessRequest(("sums", "products"), include)
        )


def test_a_student_that_writes_nothing_is_refused(sums_cache: TeacherCache, tmp_path: Path) -> None:
    run = resolve({"task": "movie-sentiment", "student": "somewhere", "method": "undistilled"}, "text")
    with pytest.raises(ConfigError, match=r"this one learnt movie-sentiment, of kind single"):
        measure_with_harness(run, sums_cache.manifest, tmp_path, HarnessRequest(("sums",)))


@pytest.mark.parametrize(
    ("given", "folder", "message"),
    [
        (None, "tasks", "--lm-eval-include has no effect without --evaluate-with"),
        ("hellaswag", None, "--evaluate-with hellaswag: wanted lm-eval:TASK[,TASK]"),
        ("lm-eval: ,", None, "--evaluate-with lm-eval: ,: wanted lm-eval:TASK[,TASK]"),
        ("bleu:sums", None, "--evaluate-with bleu:sums: wanted lm-eval:TASK[,TASK]"),
        ("lm-eval:sums", "no-such-folder", "--lm-eval-include no-such-folder: no such folder"),
    ],
)
def test_wrong_use_is_one_line(given: str | None, folder: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        request_of(given, Path(folder) if folder else None)


def test_tasks_are_read_from_the_option(tmp_path: Path) -> None:
    assert request_of(None, None) is None
    assert request_of("lm-eval:sums, mmlu_*", tmp_path) == HarnessRequest(("sums", "mmlu_*"), tmp_path)


def test_without_lm_eval_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Callable[[str], None] = lambda name: None  # noqa: E731
    monkeypatch.setattr(harness, "find_spec", nothing)
    with pytest.raises(ConfigError, match=r'pip install "armada-distill\[eval\]"'):
        request_of("lm-eval:sums", None)

"""Stage one with a fast teacher: what is asked, what is kept, what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from schemas.cache import open_cache
from schemas.errors import CacheError, ConfigError, ManifestError, MismatchError, ShardError, TeacherError
from schemas.manifest_file import read_manifest, write_manifest
from schemas.row_groups import group_bounds
from schemas.rows import decode

Prompts = Callable[..., Path]
Run = Callable[..., dict[str, Any]]


def rows_of(folder: Path, split: str) -> list[Any]:
    return [row for _, shard in open_cache(folder).shards(split) for row in decode(shard.read())]


def test_every_row_is_sealed_in_the_order_of_the_file(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    summary = run(prompts(40))

    assert summary["complete"]
    assert (summary["rows"], summary["taught"], summary["errors"], summary["asked"]) == (40, 40, 0, 40)
    manifest = read_manifest(tmp_path / "cache")
    assert [file.name for file in manifest.files] == [
        "train-00000-of-00003.parquet",
        "train-00001-of-00003.parquet",
        "train-00002-of-00003.parquet",
        "validation-00000-of-00001.parquet",
        "test-00000-of-00001.parquet",
    ]
    train = rows_of(tmp_path / "cache", "train")
    assert [row.example.id for row in train] == [f"row-{i}" for i in range(40) if i % 10 < 7]
    assert all(row.prompt == row.example.fields["text"] for row in train)
    assert not list((tmp_path / "cache" / "journal").glob("*.journal"))


def test_a_whole_cache_is_not_asked_again(prompts: Prompts, run: Run, teachers: list[Any]) -> None:
    run(prompts(20))
    again = run(prompts(20))

    assert again["asked"] == 0
    assert teachers[-1].asked == []


def test_batch_size_and_workers_do_not_change_a_byte(
    prompts: Prompts, run: Run, tmp_path: Path, shard_bytes: Any
) -> None:
    file = prompts(40)
    run(file, out=tmp_path / "one", batch_size=1, workers=1)
    run(file, out=tmp_path / "many", batch_size=7, workers=4)

    assert shard_bytes(tmp_path / "one") == shard_bytes(tmp_path / "many")


def test_a_failing_row_is_kept_with_its_reason_and_asked_again_on_demand(
    prompts: Prompts, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_bytes: Any
) -> None:
    file = prompts(40)
    run(file, out=tmp_path / "good")
    monkeypatch.setenv("FAST_FAIL", "row-3,row-8")
    assert run(file)["errors"] == 2
    failed = [row for row in rows_of(tmp_path / "cache", "train") if row.answer.error]
    assert [(row.example.id, row.answer.error) for row in failed] == [
        ("row-3", "the fast teacher was told to fail")
    ]
    monkeypatch.delenv("FAST_FAIL")

    assert run(file)["errors"] == 2
    mended = run(file, retry_errors=True)

    assert (mended["errors"], mended["asked"]) == (0, 2)
    assert shard_bytes(tmp_path / "cache") == shard_bytes(tmp_path / "good")


def test_a_dead_teacher_stops_the_run_and_its_rows_can_be_asked_again(
    prompts: Prompts, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_bytes: Any
) -> None:
    file = prompts(40)
    run(file, out=tmp_path / "good")
    monkeypatch.setenv("FAST_FAIL", ",".join(f"row-{i}" for i in range(40)))
    with pytest.raises(TeacherError, match=r"^5 rows in a row failed, the last is row-\d+: the fast teacher"):
        run(file, max_consecutive_errors=5)
    monkeypatch.delenv("FAST_FAIL")

    assert run(file, retry_errors=True)["errors"] == 0
    assert shard_bytes(tmp_path / "cache") == shard_bytes(tmp_path / "good")


def test_teach_train_seals_the_other_splits_without_signals(
    prompts: Prompts, run: Run, teachers: list[Any], tmp_path: Path
) -> None:
    summary = run(prompts(40), teach="train")

    assert summary["taught"] == summary["asked"] == 28
    assert all(row.answer is None for row in rows_of(tmp_path / "cache", "validation"))
    assert all(row.answer is not None for row in rows_of(tmp_path / "cache", "train"))


def test_nobody_is_asked_by_the_backend_none(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    summary = run(prompts(20), model="none")

    assert (summary["rows"], summary["taught"], summary["complete"]) == (20, 0, True)
    assert not (tmp_path / "cache" / "stats.safetensors").exists()


def test_text_is_stored_where_it_is_asked_for(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    run(prompts(10), store=("text", "repr"), template="Say: {text}")

    row = rows_of(tmp_path / "cache", "test")[0]
    assert row.prompt.startswith("Say: Sentence number 9")
    assert row.answer.texts == (f"heard: {row.prompt}",)


def test_answers_to_the_same_question_are_copied(
    prompts: Prompts, run: Run, teachers: list[Any], tmp_path: Path, shard_bytes: Any
) -> None:
    file = prompts(40)
    run(file, out=tmp_path / "small", limit=12)
    run(file, out=tmp_path / "plain")

    summary = run(file, reuse=tmp_path / "small")

    assert (summary["reused"], summary["asked"]) == (12, 28)
    assert shard_bytes(tmp_path / "cache") == shard_bytes(tmp_path / "plain")


def test_pictures_of_two_addresses_are_two_questions(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    one, other = ({"path": f"https://example.org/{name}.png", "sha256": ""} for name in "ab")
    run(prompts(10, prompt="What is it?", media=[one]), out=tmp_path / "other")

    assert run(prompts(10, prompt="What is it?", media=[other]), reuse=tmp_path / "other")["reused"] == 0
    again = run(
        prompts(10, prompt="What is it?", media=[one]), reuse=tmp_path / "other", out=tmp_path / "again"
    )
    assert again["reused"] == 10


def test_an_answer_that_was_scored_is_not_copied_to_another_answer(
    prompts: Prompts, run: Run, tmp_path: Path
) -> None:
    run(prompts(10, prompt="Good?", label=1), score="reference", out=tmp_path / "other")

    found = run(prompts(10, prompt="Good?", label=0), score="reference", reuse=tmp_path / "other")
    assert found["reused"] == 0
    found = run(
        prompts(10, prompt="Good?", label=1),
        score="reference",
        reuse=tmp_path / "other",
        out=tmp_path / "again",
    )
    assert found["reused"] == 10


def test_rows_that_failed_are_not_copied(
    prompts: Prompts, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAST_FAIL", "row-3")
    run(prompts(20), out=tmp_path / "other")
    monkeypatch.delenv("FAST_FAIL")

    summary = run(prompts(20), reuse=tmp_path / "other")

    assert (summary["reused"], summary["asked"], summary["errors"]) == (19, 1, 0)


def test_another_teachers_answers_are_not_copied(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    run(prompts(10), out=tmp_path / "other", model="fast:other")

    with pytest.raises(MismatchError, match=r"teacher.name is other there, fast here"):
        run(prompts(10), reuse=tmp_path / "other")


def test_a_dead_teacher_leaves_a_cache_that_was_to_be_mended_as_it_was(
    prompts: Prompts, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_bytes: Any
) -> None:
    file, folder = prompts(40), tmp_path / "cache"
    run(file, out=tmp_path / "good")
    monkeypatch.setenv("FAST_FAIL", "row-3,row-8,row-20,row-39")
    run(file)
    before, digest = shard_bytes(folder), read_manifest(folder).digest
    with pytest.raises(TeacherError):
        run(file, retry_errors=True, max_consecutive_errors=2, batch_size=1)

    assert shard_bytes(folder) == before
    assert open_cache(folder).manifest.digest == digest
    assert run(file)["errors"] == 4
    monkeypatch.delenv("FAST_FAIL")
    assert run(file, retry_errors=True)["asked"] == 4
    assert shard_bytes(folder) == shard_bytes(tmp_path / "good")
    assert not list((folder / "journal").glob("*.journal"))


def test_a_folder_to_copy_from_that_is_no_cache_is_refused_first(
    prompts: Prompts, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=r"nowhere: no manifest.json, so no teacher cache"):
        run(prompts(10), reuse=tmp_path / "nowhere")
    assert not (tmp_path / "cache").exists()


def test_a_dry_run_writes_nothing(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    summary = run(prompts(40), dry_run=True)

    assert summary["dry_run"]
    assert summary["rows"] == 40
    assert summary["projected_bytes"] > 40 * 32
    assert not (tmp_path / "cache").exists()


def test_a_dry_run_counts_what_is_left(
    prompts: Prompts, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = prompts(40)
    monkeypatch.setenv("FAST_FAIL", ",".join(f"row-{index}" for index in range(12, 40)))
    with pytest.raises(TeacherError):
        run(rows, max_consecutive_errors=3, workers=1)
    before = {path: path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()}

    left = run(rows, dry_run=True)
    assert 0 < left["rows_to_ask"] < left["rows"] == 40
    assert {path: path.read_bytes() for path in before} == before
    # Settings that make another cache are another cache's.
    assert run(rows, dry_run=True, store=("text",))["rows_to_ask"] == 40

    monkeypatch.delenv("FAST_FAIL")
    assert run(rows)["asked"] == left["rows_to_ask"]
    done = run(rows, dry_run=True)
    assert (done["asked"], done["complete"]) == (0, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "fast:other"}, r"teacher.name is fast there, other now"),
        ({"limit": 10}, r"request.splits.train is 28 there, 7 now"),
        ({"template": "{text}!"}, r"request.prompts_digest is \w+... there, \w+... now"),
        ({"rows_per_shard": 5}, r"request.rows_per_shard is 10 there, 5 now"),
        ({"store": ("text",)}, r"request.store is \('repr',\) there, \('text',\) now"),
        ({"teach": "train"}, r"request.teach is all there, train now"),
    ],
)
def test_another_run_refuses_with_both_values(  # noqa: PLR0917 - fixtures and parameters
    prompts: Prompts, run: Run, tmp_path: Path, options: dict[str, Any], message: str, shard_bytes: Any
) -> None:
    run(prompts(40))
    before = shard_bytes(tmp_path / "cache")

    with pytest.raises(MismatchError, match=message):
        run(prompts(40), **options)
    assert shard_bytes(tmp_path / "cache") == before


def test_other_examples_are_told_of_what_can_be_copied(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    run(prompts(40))
    with pytest.raises(MismatchError, match=r"now; --reuse \S+ copies the answers to questions that stayed"):
        run(prompts(41))
    with pytest.raises(MismatchError, match=r"fast there, other now; run the same command as then"):
        run(prompts(40), model="fast:other")


def test_a_folder_that_holds_something_else_is_not_touched(
    prompts: Prompts, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "thesis.txt").write_text("years of work")

    with pytest.raises(CacheError, match=r"holds thesis.txt and no manifest.json"):
        run(prompts(10))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["thesis.txt"]


def test_a_run_that_was_refused_at_once_does_not_stand_in_the_way(
    prompts: Prompts, run: Run, tmp_path: Path, fast_teacher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Any) -> Any:
        raise TeacherError("no such model")

    monkeypatch.setattr(fast_teacher.FastTeacher, "__aenter__", refuse)
    with pytest.raises(TeacherError, match="no such model"):
        run(prompts(10), model="fast:wrong")
    monkeypatch.undo()

    assert run(prompts(10), model="fast:right")["rows"] == 10
    assert read_manifest(tmp_path / "cache").teacher.name == "right"
    with pytest.raises(MismatchError, match=r"teacher\.name is right there, wrong now"):
        run(prompts(10), model="fast:wrong")


def test_a_foreign_manifest_is_refused(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "manifest.json").write_text(json.dumps({"name": "a web page"}))

    with pytest.raises(ManifestError, match=r"schema version None"):
        run(prompts(10))


def test_resume_never_and_must(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"--resume is must"):
        run(prompts(10), resume="must")
    run(prompts(10), resume="never")
    with pytest.raises(CacheError, match=r"--resume is never"):
        run(prompts(10), resume="never")
    assert run(prompts(10), resume="must")["asked"] == 0


def test_lost_statistics_are_made_anew(prompts: Prompts, run: Run, tmp_path: Path, shard_bytes: Any) -> None:
    run(prompts(20))
    before = shard_bytes(tmp_path / "cache")
    (tmp_path / "cache" / "stats.safetensors").unlink()

    assert run(prompts(20))["asked"] == 0
    assert shard_bytes(tmp_path / "cache") == before


def test_a_lost_shard_is_named(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    run(prompts(20))
    (tmp_path / "cache" / "test-00000-of-00001.parquet").unlink()

    with pytest.raises(CacheError, match=r"test-00000-of-00001.parquet is missing"):
        run(prompts(20))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (Path.unlink, r"train-00000-of-00002.parquet is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), r"00000-of-00002.parquet is cut short"),
        (damage, r"train-00000-of-00002.parquet was altered"),
    ],
)
def test_an_unfinished_cache_with_a_harmed_shard_is_not_gone_on_with(  # noqa: PLR0917
    prompts: Prompts, run: Run, tmp_path: Path, teachers: list[Any], harm: Any, message: str
) -> None:
    run(prompts(20))
    manifest = read_manifest(tmp_path / "cache")
    write_manifest(tmp_path / "cache", manifest.model_copy(update={"files": manifest.files[:-1]}))
    harm(tmp_path / "cache" / "train-00000-of-00002.parquet")

    with pytest.raises(ShardError, match=message):
        run(prompts(20))
    assert teachers[-1].asked == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "train-00000-of-00009.parquet"}, r"train-00000-of-00009.* the plan has no such shard"),
        ({"rows": 11}, r"train-00000-of-00002.parquet with 11 rows of train, the plan has 10 rows of train"),
        ({"split": "test"}, r"with 10 rows of test, the plan has 10 rows of train"),
    ],
)
def test_a_listed_file_that_is_not_planned_is_refused(
    prompts: Prompts, run: Run, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    run(prompts(20))
    manifest = read_manifest(tmp_path / "cache")
    first = replace(manifest.files[0], **change)
    for files in ((first, *manifest.files[1:]), (first,)):
        write_manifest(tmp_path / "cache", manifest.model_copy(update={"files": files}))
        with pytest.raises(ManifestError, match=message):
            run(prompts(20))


def test_the_resolved_options_are_saved(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    run(prompts(10), limit=5)

    saved = json.loads((tmp_path / "cache" / "config.json").read_text())
    assert (saved["model"], saved["limit"], saved["task"], saved["store"]) == (
        "fast:",
        5,
        "movie-sentiment",
        ["repr"],
    )


def test_seconds_stay_out_of_the_shards(
    prompts: Prompts, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAST_DELAY", "0.005")
    run(prompts(20))

    timings = read_manifest(tmp_path / "cache").timings
    assert 0 < timings["teacher_seconds"] <= timings["seconds"]
    lines = (tmp_path / "cache" / "journal" / "timings.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["rows_answered"] == 20


def test_a_signal_that_the_backend_has_not_is_refused(prompts: Prompts, run: Run) -> None:
    with pytest.raises(ConfigError, match=r"--store text: the backend none gives nothing, not text"):
        run(prompts(10), model="none", store=("text",))


def test_too_few_answers_name_the_first_example(prompts: Prompts, run: Run, fast_teacher: Any) -> None:
    def make(settings: Any) -> Any:
        teacher = fast_teacher.FastTeacher(settings)
        answer = teacher.answer

        async def shortened(examples: Any) -> Any:
            return (await answer(examples))[1:]

        teacher.answer = shortened
        return teacher

    fast_teacher.register(make)
    with pytest.raises(TeacherError, match=r"gave (\d) answers to \d examples, the first is row-\d+"):
        run(prompts(10))


def test_long_rows_make_row_groups_of_bounded_size(
    prompts: Prompts, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = prompts(30, fields={"text": "long " * 20_000})
    monkeypatch.setattr(group_bounds, "__defaults__", (1 << 20,))
    run(file, rows_per_shard=100, batch_size=1)

    with pq.ParquetFile(tmp_path / "cache" / "train-00000-of-00001.parquet") as shard:
        assert shard.num_row_groups == 5


def test_answers_are_copied_from_a_cache_that_was_never_finished(
    prompts: Prompts, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAST_FAIL", ",".join(f"row-{i}" for i in range(15, 40)))
    with pytest.raises(TeacherError):
        run(prompts(40), out=tmp_path / "stopped", max_consecutive_errors=6)
    monkeypatch.delenv("FAST_FAIL")

    summary = run(prompts(40), reuse=tmp_path / "stopped")

    assert summary["reused"] >= 11
    assert (summary["reused"] + summary["asked"], summary["errors"]) == (40, 0)


def test_a_manifest_whose_errors_were_altered_is_told(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    run(prompts(20))
    path = tmp_path / "cache" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][0]["errors"] = 7
    path.write_text(json.dumps(manifest))
    with pytest.raises(ManifestError, match=r"was altered: it has 7 failed rows in .*, the file has none"):
        run(prompts(20))

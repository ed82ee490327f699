"""A cache divided over machines: the parts, and the whole that they are joined to."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from schemas.cache import open_cache
from schemas.errors import CacheError, ConfigError, MismatchError
from schemas.manifest_file import read_manifest
from teacher_cache.config import parse_part
from teacher_cache.merging import merge
from teacher_cache.shards_cli import group

Prompts = Callable[..., Path]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def parts(prompts: Prompts, run: Run, tmp_path: Path) -> list[Path]:
    """Three parts of a cache with five shards, 40 rows."""
    folders = [tmp_path / f"part-{number}" for number in (1, 2, 3)]
    for number, folder in enumerate(folders, start=1):
        run(prompts(40), out=folder, part=f"{number}/3")
    return folders


@pytest.mark.parametrize("of", [1, 2, 5])
def test_merged_parts_are_the_bytes_of_one_run(
    prompts: Prompts, run: Run, tmp_path: Path, shard_bytes: Any, of: int
) -> None:
    file = prompts(40)
    run(file, out=tmp_path / "whole")
    folders = [tmp_path / f"part-{number}" for number in range(1, of + 1)]
    rows = [run(file, out=folder, part=f"{i}/{of}")["rows"] for i, folder in enumerate(folders, start=1)]
    summary = merge(folders[::-1], tmp_path / "merged")

    assert sum(rows) == summary["rows"] == 40
    assert shard_bytes(tmp_path / "merged") == shard_bytes(tmp_path / "whole")
    assert open_cache(tmp_path / "merged").manifest.digest == open_cache(tmp_path / "whole").manifest.digest


def test_the_command_of_the_whole_finds_nothing_to_ask(
    prompts: Prompts, run: Run, parts: list[Path], tmp_path: Path, teachers: list[Any]
) -> None:
    merge(parts, tmp_path / "merged")
    again = run(prompts(40), out=tmp_path / "merged")

    assert (again["asked"], again["complete"], teachers[-1].asked) == (0, True, [])
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["part"] is None


def test_a_part_goes_on_like_any_cache(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    first = run(prompts(40), out=tmp_path / "part", part="2/3")
    again = run(prompts(40), out=tmp_path / "part", part="2/3")

    assert (first["asked"], again["asked"]) == (first["rows"], 0)
    with pytest.raises(MismatchError, match="part is 2/3 there, 1/3 now"):
        run(prompts(40), out=tmp_path / "part", part="1/3")
    with pytest.raises(MismatchError, match="part is 2/3 there, all now"):
        run(prompts(40), out=tmp_path / "part")


def test_a_part_is_no_cache_to_train_on(parts: list[Path]) -> None:
    with pytest.raises(CacheError, match="is part 1/3 of a cache; join the parts with teacher-shards merge"):
        open_cache(parts[0])


def test_a_dry_run_projects_the_part_alone(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    whole = run(prompts(40), out=tmp_path / "none", dry_run=True)
    part = run(prompts(40), out=tmp_path / "none", dry_run=True, part="1/3")

    assert (whole["rows"], part["rows"]) == (40, 18)


def test_a_merge_that_was_stopped_goes_on(
    parts: list[Path], tmp_path: Path, shard_bytes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge(parts, tmp_path / "whole")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("teacher_cache.merging.write_statistics", full)
        with pytest.raises(OSError, match="No space"):
            merge(parts, tmp_path / "merged")
    with pytest.raises(CacheError, match="holds 0 of 40 rows"):
        open_cache(tmp_path / "merged")
    merge(parts, tmp_path / "merged")

    assert shard_bytes(tmp_path / "merged") == shard_bytes(tmp_path / "whole")
    assert merge(parts, tmp_path / "merged")["rows"] == 40


@pytest.mark.parametrize("damaged", ["{bad", "[1]"])
def test_options_that_are_damaged_are_told_before_anything_is_joined(
    parts: list[Path], tmp_path: Path, damaged: str
) -> None:
    (parts[0] / "config.json").write_text(damaged)
    with pytest.raises(CacheError, match=r"config\.json is damaged, wanted a JSON object"):
        merge(parts, tmp_path / "merged")
    assert not list((tmp_path / "merged").glob("*.parquet"))


def test_files_of_another_disk_are_copied(
    parts: list[Path], tmp_path: Path, shard_bytes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge(parts, tmp_path / "linked")

    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refused)
    merge(parts, tmp_path / "copied")

    name = read_manifest(parts[0]).files[0].name
    assert (tmp_path / "linked" / name).stat().st_ino == (parts[0] / name).stat().st_ino
    assert (tmp_path / "copied" / name).stat().st_ino != (parts[0] / name).stat().st_ino
    assert shard_bytes(tmp_path / "copied") == shard_bytes(tmp_path / "linked")


def test_parts_that_do_not_make_one_cache_are_refused(
    prompts: Prompts, run: Run, parts: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "merged"
    with pytest.raises(CacheError, match="part 3/3 is missing, 2 of 3 parts are given"):
        merge(parts[:2], out)
    with pytest.raises(CacheError, match="part-1 is given twice; give each part once"):
        merge([*parts, parts[0]], out)
    with pytest.raises(CacheError, match="is one of the parts, or inside one; give a new folder"):
        merge(parts, parts[1] / "whole")
    shutil.copytree(parts[0], tmp_path / "copy")
    with pytest.raises(MismatchError, match=r"copy is part 1/3, and so is .*part-1; give each part once"):
        merge([*parts, tmp_path / "copy"], out)
    run(prompts(40), out=tmp_path / "half", part="2/2")
    with pytest.raises(MismatchError, match=r"is part 2/2 and .* is one of 3 parts"):
        merge([*parts[:2], tmp_path / "half"], out)
    run(prompts(40, name="others.jsonl"), out=tmp_path / "other", part="3/3", rows_per_shard=9)
    with pytest.raises(MismatchError, match=r"other is a part of another cache than .*source is others"):
        merge([*parts[:2], tmp_path / "other"], out)
    run(prompts(40), out=tmp_path / "whole")
    with pytest.raises(CacheError, match="whole is a whole cache, not a part"):
        merge([*parts, tmp_path / "whole"], out)
    with pytest.raises(CacheError, match="part-1 is one of the parts"):
        merge(parts, parts[0])
    assert not out.exists()


def test_a_damaged_or_unfinished_part_is_refused(parts: list[Path], tmp_path: Path) -> None:
    manifest = json.loads((parts[1] / "manifest.json").read_text())
    last = manifest["files"].pop()
    (parts[1] / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CacheError, match=r"part-2 holds \d+ of \d+ rows of part 2/3; run its cache-teacher"):
        merge(parts, tmp_path / "merged")
    manifest["files"].append(last)
    (parts[1] / "manifest.json").write_text(json.dumps(manifest))
    shard = parts[1] / last["name"]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CacheError, match="is cut short"):
        merge(parts, tmp_path / "merged")
    # Nothing is there that would pass for a cache that was begun.
    assert [path.name for path in (tmp_path / "merged").iterdir()] == [".lock"]


def test_nothing_foreign_is_touched(prompts: Prompts, run: Run, parts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    with pytest.raises(CacheError, match=r"holds cat\.png"):
        merge(parts, tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.png"]
    run(prompts(20, name="others.jsonl"), out=tmp_path / "other")
    with pytest.raises(MismatchError, match="is another cache"):
        merge(parts, tmp_path / "other")


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3 "])
def test_a_part_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="the i-th of n parts"):
        parse_part(text)


def test_more_parts_than_shards(prompts: Prompts, run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the cache has 5 shards, 6 parts need as many"):
        run(prompts(40), part="1/6")


def test_the_command_says_what_it_made(parts: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "merged"
    done = CliRunner().invoke(group, ["merge", *map(str, parts), "--out", str(out), "--json"])

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] == 40
    shown = CliRunner().invoke(group, ["inspect", str(parts[2]), "--json"])
    assert json.loads(shown.stdout)["part"] == "3/3"

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from schemas.cache import TeacherCache
from tests.process_groups import Start

# Every call of some functions, by the file that it is about: a line in a file that all processes append to.
TELLING = """
from distill import tokens
from schemas import shard
def telling(module, name):
    whole = getattr(module, name)
    def told(path, *more):
        with open({log!r}, "a") as log:
            log.write(name + " " + path.name + "\\n")
        return whole(path, *more)
    setattr(module, name, told)
telling(tokens, "write_flat")
telling(shard, "sha256_of")
"""


def test_a_cache_is_checked_and_tokenised_once_a_machine(
    make_cache: Callable[..., TeacherCache], calm_student: Path, start_group: Start, tmp_path: Path
) -> None:
    # Of a size that no other test has, so that it was never tokenised.
    cache, log = make_cache(tmp_path / "cache", train=88), tmp_path / "told"
    options = ("--epochs", "1", "--batch-size", "8", "--max-length", "32", "--hidden-dim", "16")
    done = start_group(
        tmp_path / "run", cache, calm_student, *options, count=3, sabotage=TELLING.format(log=str(log))
    )

    assert done.statuses == [0, 0, 0], done.lines
    calls = Counter(log.read_text().splitlines())
    checked = {name: count for name, count in calls.items() if name.startswith("sha256_of")}
    assert checked == {f"sha256_of {file.name}": 1 for file in cache.manifest.files}
    # One split each.
    assert [count for name, count in calls.items() if name.startswith("write_flat")] == [1, 1]

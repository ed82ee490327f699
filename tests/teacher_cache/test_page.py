"""`teacher-shards inspect --html`: one page, whatever a cache holds."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from schemas.errors import ConfigError
from teacher_cache.kept_pictures import MEDIA_NAME, keep_picture, picture_name
from teacher_cache.page import write_page
from teacher_cache.shards_cli import group

EVIL = '<script>alert("1")</script> & <img src=x onerror=alert(1)> </td>'


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture
def cache(prompts: Callable[..., Path], run: Callable[..., Any], tmp_path: Path) -> Path:
    run(prompts(20))
    return tmp_path / "cache"


def seen(cache: Path, num_rows: int = 50) -> Seen:
    file = cache.parent / "page.html"
    write_page(cache, file, num_rows)
    return Seen(file.read_text(encoding="utf-8"))


def test_a_page_shows_prompts_pictures_and_labels_by_name(cache: Path) -> None:
    from PIL import Image

    keep_picture(cache / MEDIA_NAME, "row-1", Image.new("RGB", (4, 4), "red"))
    page = seen(cache)

    assert len(page.named("tr")) == 21
    (image,) = page.named("img")
    assert str(image["src"]).startswith("data:image/png;base64,iVBORw0KGgo")
    assert {"positive", "negative"} <= set(page.texts)
    assert any(text.startswith("Sentence number 1,") for text in page.texts)
    assert not page.named("script")
    assert not page.named("link")


def test_nothing_of_the_data_becomes_a_part_of_the_page(
    prompts: Callable[..., Path], run: Callable[..., Any], tmp_path: Path
) -> None:
    file = prompts(3, example_id=EVIL, prompt=EVIL)
    lines = [
        json.loads(line) | {"example_id": f"{EVIL}{at}"}
        for at, line in enumerate(file.read_text().splitlines())
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(file)
    page = seen(tmp_path / "cache")

    assert EVIL in page.texts
    assert not page.named("script")
    assert not page.named("img")
    assert len(page.named("tr")) == 4
    (policy,) = [tag for tag in page.named("meta") if "http-equiv" in tag]
    assert str(policy["content"]).startswith("default-src 'none'; img-src data:;")


def test_rows_are_bounded_and_a_damaged_picture_is_named(cache: Path) -> None:
    (cache / MEDIA_NAME).mkdir()
    (cache / MEDIA_NAME / picture_name("row-0")).write_bytes(b"GIF89a")

    page = seen(cache, 2)
    assert len(page.named("tr")) == 3
    assert f"{picture_name('row-0')} is no PNG" in page.texts
    assert len(seen(cache, 0).named("tr")) == 1


def test_the_command_writes_the_page(cache: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        group, ["inspect", str(cache), "--html", str(tmp_path / "a.html"), "--rows", "5", "--json"]
    )

    assert done.exit_code == 0
    assert json.loads(done.stdout)["rows"] == 5
    assert re.search(r"5 of 20 rows, 20 sealed, 0 failed", (tmp_path / "a.html").read_text())


def test_a_page_in_no_folder_is_one_line(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--html .*nowhere.*: No such file or directory; give a file"):
        write_page(cache, tmp_path / "nowhere" / "a.html", 3)

"""The HTML report in a real browser: it renders, sorts, says nothing on the console and fetches nothing."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from distill.studies import NOT_MADE, STUDIES
from distill.studies.collecting import Collected
from distill.studies.comparison import sheet_of
from distill.studies.mini_profile import MINI
from distill.studies.page import as_index, as_page
from distill.studies.paper_profile import PAPER
from distill.studies.plots import draw
from distill.studies.printed import as_values, printed_table
from distill.studies.sheet import Sheet

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SORT = """
<script>
const heard = [];
addEventListener("error", (event) => heard.push(event.message));
addEventListener("securitypolicyviolation", (event) => heard.push(event.violatedDirective));
addEventListener("load", () => {
  const table = document.getElementById("numbers");
  const column = (place) => [...table.tBodies[0].rows].map((row) => row.cells[place].textContent.trim());
  const click = (place) => table.tHead.rows[0].cells[place].querySelector("button").click();
  const said = { rows: table.tBodies[0].rows.length };
  click(5); said.rising = column(5); said.sorted = table.tHead.rows[0].cells[5].getAttribute("aria-sort");
  click(5); said.falling = column(5);
  click(3); said.words = column(3);
  const image = document.querySelector("img");
  said.picture = image === null ? 0 : image.naturalWidth;
  said.fetched = performance.getEntriesByType("resource").map((one) => one.name)
    .filter((name) => !name.startsWith("data:"));
  said.heard = heard;
  const out = document.createElement("pre");
  out.id = "said"; out.textContent = JSON.stringify(said);
  document.body.append(out);
});
</script>
"""


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    """Table 2 as if our runs had given the paper's numbers, with three seeds around them."""
    values = {
        key: {seed: by_seed[0] + gap for seed, gap in ((1, -0.2), (2, 0.0), (3, 0.1))}
        for key, by_seed in as_values(printed_table("table02")).items()
        if key.model == "bert-base"
    }
    return sheet_of(STUDIES["table02"], PAPER, Collected(values=values), "paper-tables --table 2 <&>")


class Links(HTMLParser):
    """Every address that a page names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            (tag, value or "") for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]


def test_a_page_names_no_address_but_its_own_and_the_index(sheet: Sheet) -> None:
    page = as_page(sheet, draw(sheet))
    links = Links()
    links.feed(page)

    assert {tag for tag, value in links.found if value.startswith("data:image/png")} == {"img"}
    assert [value for _, value in links.found if not value.startswith("data:")] == ["index.html"]
    assert "http" not in re.sub("http-equiv", "", page)
    assert "@import" not in page
    assert "url(" not in page


def test_what_stands_in_names_cannot_become_markup(sheet: Sheet) -> None:
    page = as_page(sheet, None)

    assert "--table 2 &lt;&amp;&gt;" in page
    assert "--table 2 <&>" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
def test_a_browser_renders_and_sorts_the_page_with_a_silent_console_and_no_request(
    sheet: Sheet, tmp_path: Path
) -> None:
    page = as_page(sheet, draw(sheet))
    # The page's own policy lets no other script run: the one that looks is allowed beside it.
    looked = re.sub(r"script-src '[^']+'", "script-src 'unsafe-inline'", page)
    assert looked != page
    said = in_browser(looked.replace("</head>", f"{SORT}</head>"), tmp_path)
    numbers = [float(text.split()[0]) for text in said["rising"] if text]

    assert said["heard"] == said["fetched"] == []
    assert (said["rows"], said["sorted"]) == (len(sheet.lines), "ascending")
    assert len(numbers) > 100
    assert numbers == sorted(numbers)
    assert [text for text in said["rising"] if not text] == said["rising"][len(numbers) :], "blanks last"
    assert [float(text.split()[0]) for text in said["falling"] if text] == numbers[::-1]
    assert said["words"] == sorted(said["words"], key=str.casefold)
    assert said["picture"] > 300


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
def test_the_policy_of_a_page_allows_its_own_script_and_style(sheet: Sheet, tmp_path: Path) -> None:
    dumped = dump(as_page(sheet, None), tmp_path)

    assert dumped.count('<button type="button">') > 10, "the page's script has run"
    assert 'aria-sort="none"' in dumped


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
def test_the_index_leads_to_every_page(tmp_path: Path) -> None:
    sheets = [sheet_of(study, MINI, Collected(), "paper-tables --all") for study in STUDIES.values()]
    dumped = dump(as_index(sheets, NOT_MADE, {"data/results/x": "it broke"}), tmp_path)

    assert re.findall(r'href="([^"]+)\.html"', dumped) == [study.file_name for study in STUDIES.values()]
    assert all(reason in dumped for reason in NOT_MADE.values())
    assert "it broke" in dumped


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
@pytest.mark.parametrize("script", ['console.error("kettle")', 'throw new Error("kettle")'])
def test_what_a_page_says_on_the_console_is_heard(script: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"CONSOLE.*kettle"):
        dump(f"<!doctype html><title>fails</title><script>{script}</script>", tmp_path)


def in_browser(page: str, folder: Path) -> dict[str, list[str]]:
    """What the page's visitor wrote down."""
    (said,) = re.findall(r'<pre id="said">(.*?)</pre>', dump(page, folder), re.DOTALL)
    return json.loads(said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def dump(page: str, folder: Path) -> str:
    """The page's elements after its scripts have run, in a Chromium of its own."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    assert CHROMIUM is not None
    finished = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-background-networking", "--disable-extensions"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}"),
            # Without both, what a page says on its console is written nowhere.
            *("--enable-logging=stderr", "--v=0"),
            *("--dump-dom", (folder / "page.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    said = [line for line in finished.stderr.splitlines() if "CONSOLE" in line]
    assert not said, said
    return finished.stdout

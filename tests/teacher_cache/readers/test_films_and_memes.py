"""Films and memes as their publishers lay them out: texts beside a picture each."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from schemas.errors import SourceError
from schemas.example import Label
from schemas.tasks import TASKS
from teacher_cache.config import CacheConfig
from teacher_cache.plan import make_plan
from teacher_cache.readers.hateful_memes import read_hateful_memes
from teacher_cache.readers.mm_imdb import read_mm_imdb

FILMS, MEMES = TASKS["mm-imdb"], TASKS["hateful-memes"]
SPLIT = {"train": ["0000001", "0000002"], "dev": ["0000003"], "test": ["0000004"]}


def picture(path: Path, colour: str) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (4, 4), colour).save(path)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    (tmp_path / "split.json").write_text(json.dumps(SPLIT))
    told: dict[str, dict[str, Any]] = {
        "0000001": {
            "genres": ["Drama", "War", "Adult"],
            "plot": ["Short.", "A longer plot."],
            "title": "One",
        },
        "0000002": {"genres": ["Comedy"], "plot outline": "An outline alone."},
        "0000003": {"genres": ["Sci-Fi", "Sci-Fi"], "plot": ["In space."], "plot outline": "None."},
        "0000004": {"genres": ["News", "Adult"], "plot": ["It happened."]},
    }
    (tmp_path / "dataset").mkdir()
    for name, film in told.items():
        (tmp_path / "dataset" / f"{name}.json").write_text(json.dumps(film, indent=1))
        picture(tmp_path / "dataset" / f"{name}.jpeg", "red")
    return tmp_path


def ids(*genres: str) -> Label:
    return Label(class_ids=tuple(FILMS.classes.index(genre) for genre in genres))


def test_films_with_their_genres_and_posters(films: Path) -> None:
    reading = read_mm_imdb(films, FILMS)

    assert [(one.id, one.split, one.fields["plot"], one.label) for one in reading.examples] == [
        ("0000001", "train", "A longer plot.", ids("Drama", "War")),
        ("0000002", "train", "An outline alone.", ids("Comedy")),
        ("0000003", "validation", "In space.", ids("Sci-Fi")),
        ("0000004", "test", "It happened.", Label()),
    ]
    assert reading.notices == (f"{films}: genres that are none of the task's were left out: Adult 2, News 1",)
    assert len(FILMS.classes) == 23


def test_the_poster_goes_to_the_teacher_and_is_hashed(films: Path) -> None:
    plan = make_plan(CacheConfig(model="none", task="mm-imdb", source=films))

    (poster,) = plan.examples[0].media
    assert poster.path == "dataset/0000001.jpeg"
    assert len(poster.sha256) == 64
    assert plan.media.load_image(poster).size == (4, 4)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("split.json", "{", r"split.json, line 1: Invalid JSON"),
        ("split.json", "[]", r"split.json: a list, an object"),
        ("split.json", '{"train": []}', r"split.json: no 'dev', lists of ids train, dev, test are wanted"),
        ("split.json", '{"train": ["../x"], "dev": [], "test": []}', r"the id '../x' is not made of letters"),
        ("split.json", '{"train": ["9"], "dev": [], "test": []}', r"dataset/9.json is not there"),
        ("dataset/0000001.json", '{"genres": "Drama", "plot": ["A."]}', r"0000001.json: 'genres' is no list"),
        ("dataset/0000001.json", '{"genres": ["Drama"]}', r"0000001.json: neither 'plot' nor 'plot outline'"),
        ("dataset/0000001.json", '{\n"genres": [1],\n}', r"0000001.json, line 3: Invalid JSON"),
    ],
)
def test_a_film_that_is_not_as_it_should_be_is_refused(
    films: Path, name: str, text: str, message: str
) -> None:
    (films / name).write_text(text)
    with pytest.raises(SourceError, match=message) as refusal:
        read_mm_imdb(films, FILMS)
    assert "\n" not in str(refusal.value)


def test_a_folder_without_films_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"has none of split.json, the files of mm-imdb; give their folder as"
    ):
        read_mm_imdb(tmp_path, FILMS)


def meme(number: int | str, label: int | None = None, **more: Any) -> str:
    row: dict[str, Any] = {"id": number, "img": f"img/{number}.png", "text": f"words {number}", **more}
    return json.dumps(row | ({} if label is None else {"label": label})) + "\n"


def test_memes_with_their_pictures(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(meme(42953, 0) + meme("01235", 1))
    (tmp_path / "dev.jsonl").write_text(meme(8291, 1))
    (tmp_path / "test.jsonl").write_text(meme(16395))
    for name in ("42953", "01235", "8291", "16395"):
        picture(tmp_path / "img" / f"{name}.png", "blue")
    examples = read_hateful_memes(tmp_path, MEMES).examples

    assert [(one.id, one.split, one.label.class_ids) for one in examples] == [
        ("meme-42953", "train", (0,)),
        ("meme-01235", "train", (1,)),
        ("meme-08291", "validation", (1,)),
        ("meme-16395", "test", ()),
    ]
    plan = make_plan(CacheConfig(model="none", task="hateful-memes", source=tmp_path))
    assert all(plan.media.load_image(one.media[0]) for one in plan.examples)
    (tmp_path / "dev_seen.jsonl").write_text(meme(1, 1))
    assert [one.id for one in read_hateful_memes(tmp_path, MEMES).examples][2] == "meme-00001"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (meme("x", 1), r"train.jsonl, line 1: its 'id' is 'x', a number is wanted"),
        (meme(1), r"line 1: no 'label', which a row of train has"),
        (meme(1, 7), r"line 1: label 7 is not one of task hateful-memes"),
        (meme(1, 1, img=None), r"line 1: its 'img' is null, a text is wanted"),
        (meme(1, 1) * 2, r"line 2: example_id meme-00001 stands in line 1 too"),
    ],
)
def test_a_meme_that_is_not_as_it_should_be_is_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "train.jsonl").write_text(line)
    with pytest.raises(SourceError, match=message):
        read_hateful_memes(tmp_path, MEMES)

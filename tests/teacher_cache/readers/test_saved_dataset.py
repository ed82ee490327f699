"""Folders that the real `datasets` library saved."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from schemas.errors import SourceError
from schemas.example import Label, Message
from schemas.tasks import TASKS
from teacher_cache.config import CacheConfig
from teacher_cache.plan import make_plan
from teacher_cache.readers.saved_dataset import is_saved_dataset, read_saved_dataset

Save = Callable[..., Path]
SENTIMENT, RATING, FREE = TASKS["movie-sentiment"], TASKS["movie-rating"], TASKS["free"]
TEXTS = ["Fine.", "Poor.", "So so."]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save columns as one dataset, or under names as the splits of several."""
    import datasets

    datasets.disable_progress_bars()

    def saved(columns: dict[str, Any], *names: str, num_shards: int = 1, **features: Any) -> Path:
        dataset = datasets.Dataset.from_dict(columns)
        for name, feature in features.items():
            dataset = dataset.cast_column(name, feature)
        folder = tmp_path / "saved"
        if names:
            datasets.DatasetDict(dict.fromkeys(names, dataset)).save_to_disk(folder)
        else:
            dataset.save_to_disk(folder, num_shards=num_shards)
        return folder

    return saved


def class_label(*names: str) -> Any:
    import datasets

    return datasets.ClassLabel(names=list(names))


def test_every_row_of_every_file_in_order(save: Save) -> None:
    folder = save({"text": TEXTS, "idx": [5, 6, 7]}, num_shards=2)
    reading = read_saved_dataset(folder, SENTIMENT)

    assert is_saved_dataset(folder)
    assert len(list(folder.glob("*.arrow"))) == 2
    assert [(e.id, e.split, e.fields) for e in reading.examples] == [
        (f"train-{i:06d}", "train", {"text": text}) for i, text in enumerate(TEXTS, 1)
    ]


def test_each_split_has_its_rows(save: Save) -> None:
    folder = save({"text": TEXTS}, "train", "validation_matched", "test")
    examples = read_saved_dataset(folder, SENTIMENT).examples

    assert [(e.id, e.split) for e in examples[2:4]] == [
        ("train-000003", "train"),
        ("validation_matched-000001", "validation"),
    ]
    (one,) = {e.split for e in read_saved_dataset(folder / "validation_matched", SENTIMENT).examples}
    assert one == "train"  # the library forgets the split's name when it saves


def test_two_splits_that_are_parts_of_a_task_are_both_read(save: Save) -> None:
    folder = save(
        {"premise": ["A."], "hypothesis": ["B."], "label": [0]}, "validation_matched", "validation_mismatched"
    )
    examples = read_saved_dataset(folder, TASKS["glue/mnli"]).examples

    assert [(one.id, one.split) for one in examples] == [
        ("matched/validation-000001", "validation"),
        ("mismatched/validation-000001", "validation"),
    ]
    with pytest.raises(SourceError, match=r"validation_matched and validation_mismatched would both be"):
        read_saved_dataset(folder, TASKS["superglue/cb"])


def test_a_part_of_a_split_knows_whose_it_is(save: Save, tmp_path: Path) -> None:
    folder = save({"text": TEXTS})
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps(state | {"_split": "test[:10%]"}))

    assert {e.split for e in read_saved_dataset(folder, SENTIMENT).examples} == {"test"}


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("negative", "positive"), [(1,), (0,), ()]),
        (("Positive", "Negative"), [(0,), (1,), ()]),
        (("neg", "pos"), [(1,), (0,), ()]),
    ],
)
def test_classes_by_name_else_by_number(save: Save, names: tuple[str, str], labels: list[tuple[int]]) -> None:
    folder = save({"text": TEXTS, "label": [1, 0, -1]}, label=class_label(*names))
    reading = read_saved_dataset(folder, SENTIMENT)

    assert [example.label.class_ids for example in reading.examples] == labels
    by_number = f"{folder}: its classes are taken by their numbers: neg as negative, pos as positive"
    assert reading.notices == ((by_number,) if names[0] == "neg" else ())


def test_labels_without_names_are_numbers(save: Save) -> None:
    folder = save({"text": TEXTS, "label": [1, 0, -1]})

    labels = [example.label for example in read_saved_dataset(folder, SENTIMENT).examples]
    assert labels == [Label(class_ids=(1,)), Label(class_ids=(0,)), Label()]


def test_a_regression_has_values_minus_one_too(save: Save) -> None:
    folder = save({"text": TEXTS, "label": [1, 0, -1]})

    assert [e.label.value for e in read_saved_dataset(folder, RATING).examples] == [1.0, 0.0, -1.0]


def test_a_task_of_any_fields_takes_what_can_be_text_but_never_the_label(save: Save) -> None:
    folder = save({"text": TEXTS, "label": [1, 0, 1], "idx": [5, 6, 7], "words": [["a"], [], []]})
    reading = read_saved_dataset(folder, FREE)

    assert reading.examples[0].fields == {"text": "Fine.", "idx": "5"}
    assert reading.notices == ("the column label is not read: task free has no labels",)


def test_conversations(save: Save) -> None:
    turns = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
    (example,) = read_saved_dataset(
        save({"messages": [[{"role": "system", "content": "S"}, *turns]]}), FREE
    ).examples

    assert example.messages == (Message("system", "S"), Message("user", "2 + 2?"))
    assert example.label.target_text == "4"


def test_pictures_stay_in_the_files_until_they_are_sent(save: Save, tmp_path: Path) -> None:
    import datasets

    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (4, 4), colour).save(tmp_path / name)
    paths = [str(tmp_path / "a.png"), None, str(tmp_path / "a.png")]
    several = [[str(tmp_path / "b.png"), str(tmp_path / "a.png")], [], []]
    folder = save(
        {"text": TEXTS, "image": paths, "more": several},
        image=datasets.Image(),
        more=datasets.List(datasets.Image()),
    )
    plan = make_plan(CacheConfig(model="none", source=folder, task="movie-sentiment"))

    one, two, three = plan.examples
    digests = {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.png", "b.png")
    }
    a, b = (f"inline/{digest}.png" for digest in digests.values())
    assert [item.path for item in one.media] == [a, b, a]
    assert (two.media, [item.path for item in three.media]) == ((), [a])
    assert plan.media.load_image(one.media[1]).getpixel((0, 0)) == (0, 0, 255)


def test_a_plan_takes_the_folder_as_its_source(save: Save) -> None:
    plan = make_plan(
        CacheConfig(model="none", source=save({"text": TEXTS}, "train", "test"), splits=("test",))
    )

    assert (plan.source, plan.splits, plan.examples[0].prompt) == ("saved", {"test": 3}, "Fine.")


def test_an_empty_split_has_no_rows(save: Save) -> None:
    import datasets

    datasets.disable_progress_bars()
    folder = save({"text": TEXTS}).parent / "two"
    whole = datasets.Dataset.from_dict({"text": TEXTS})
    datasets.DatasetDict(train=whole, test=whole.select([])).save_to_disk(folder)

    assert {e.split for e in read_saved_dataset(folder, SENTIMENT).examples} == {"train"}


@pytest.mark.parametrize(
    ("columns", "names", "features", "message"),
    [
        (
            {"review": TEXTS},
            (),
            {},
            r"no column text of texts, which task movie-sentiment wants, among review",
        ),
        ({"text": [["a"]]}, (), {}, r"no column text of texts"),
        ({"text": TEXTS}, ("train", "dev"), {}, r"the split dev is none of train, validation, test"),
        ({"text": TEXTS}, ("test_a", "test_b"), {}, r"test_a and test_b would both be test"),
        (
            {"text": ["a"], "label": [0]},
            (),
            {"label": ("negative", "neutral")},
            r"its classes are negative, neutral, task movie-sentiment has negative, positive",
        ),
        ({"text": ["a"], "label": [0]}, (), {"label": ("a", "b", "c")}, r"its classes are a, b, c, task"),
        ({"text": ["a", "b"], "label": [0, 7]}, (), {}, r"row 2: label 7 is not one of task movie-sentiment"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(
    save: Save, columns: Any, names: tuple[str, ...], features: dict[str, tuple[str, ...]], message: str
) -> None:
    folder = save(columns, *names, **{name: class_label(*classes) for name, classes in features.items()})

    with pytest.raises(SourceError, match=message) as raised:
        read_saved_dataset(folder, SENTIMENT)
    assert "\n" not in str(raised.value)


def test_a_damaged_folder_is_named(save: Save) -> None:
    folder = save({"text": TEXTS})
    (file,) = folder.glob("*.arrow")
    whole = file.read_bytes()

    for damaged in (b"", whole[:100], b"x" * len(whole)):
        file.write_bytes(damaged)
        with pytest.raises(
            SourceError, match=r"data-00000-of-00001.arrow cannot be read: .*; save the dataset"
        ):
            read_saved_dataset(folder, SENTIMENT)
    file.unlink()
    with pytest.raises(SourceError, match=r"data-00000-of-00001.arrow cannot be read"):
        read_saved_dataset(folder, SENTIMENT)
    for state in ("{", "[]", '{"_data_files": 1}', '{"_data_files": [{}]}'):
        (folder / "state.json").write_text(state)
        with pytest.raises(SourceError, match=r"state.json .*save the dataset again"):
            read_saved_dataset(folder, SENTIMENT)

"""Names of the hub, which the `datasets` library resolves: here to folders and to what a test hands it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ConfigError, SourceError
from schemas.example import Label
from schemas.tasks import TASKS
from teacher_cache.config import CacheConfig
from teacher_cache.plan import make_plan
from teacher_cache.readers.hub_dataset import is_hub_dataset, read_hub_dataset

Publish = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub-cache")


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Have the library give these splits for any name; returns what it was asked for."""
    import datasets

    def published(splits: dict[str, dict[str, Any]], **features: Any) -> list[tuple[Any, ...]]:
        asked: list[tuple[Any, ...]] = []
        made = datasets.DatasetDict()
        for name, columns in splits.items():
            made[name] = datasets.Dataset.from_dict(columns)
            for column, feature in features.items():
                made[name] = made[name].cast_column(column, feature)

        def load_dataset(*names: Any, **options: Any) -> Any:
            asked.append((*names, options))
            return made

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    return published


def class_label(*names: str) -> Any:
    import datasets

    return datasets.ClassLabel(names=list(names))


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("nyu-mll/glue:cola", True),
        ("nyu-mll/glue", True),
        ("aps/super_glue:boolq@refs/convert/parquet", True),
        ("here/anything", False),
        ("here", False),
        ("/nyu-mll/glue", False),
        ("a/b/c", False),
        ("../glue", False),
        ("owner/..", False),
    ],
)
def test_which_sources_are_names_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, name: str, is_one: bool
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)

    assert is_hub_dataset(Path(name)) is is_one


def test_the_name_is_asked_for_and_kept_as_the_source(publish: Publish) -> None:
    asked = publish(
        {
            "train": {"sentence": ["He ran.", "Ran he."], "label": [1, 0], "idx": [0, 1]},
            "test": {"sentence": ["We ran."], "label": [-1], "idx": [0]},
        },
        label=class_label("unacceptable", "acceptable"),
    )
    plan = make_plan(CacheConfig(model="none", task="glue/cola", source=Path("nyu-mll/glue:cola@v1.0/a")))

    assert asked == [("nyu-mll/glue", "cola", {"revision": "v1.0/a"})]
    assert plan.source == "nyu-mll/glue:cola@v1.0/a"
    assert [(one.id, one.split, one.label.class_ids) for one in plan.examples] == [
        ("train-000001", "train", (1,)),
        ("train-000002", "train", (0,)),
        ("test-000001", "test", ()),
    ]


def test_the_splits_of_mnli_are_its_parts(publish: Publish) -> None:
    row = {"premise": ["A."], "hypothesis": ["B."], "label": [2], "idx": [0]}
    names = ("train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched")
    publish(dict.fromkeys(names, row), label=class_label("entailment", "neutral", "contradiction"))

    examples = read_hub_dataset("nyu-mll/glue:mnli", TASKS["glue/mnli"]).examples
    assert [(one.id, one.split) for one in examples] == [
        ("train-000001", "train"),
        ("matched/validation-000001", "validation"),
        ("mismatched/validation-000001", "validation"),
        ("matched/test-000001", "test"),
        ("mismatched/test-000001", "test"),
    ]


CASES: dict[str, tuple[dict[str, Any], Any, Label]] = {
    "glue/sst2": ({"sentence": "Fine."}, 1, Label(class_ids=(1,))),
    "glue/mrpc": ({"sentence1": "A.", "sentence2": "B."}, 1, Label(class_ids=(1,))),
    "glue/stsb": ({"sentence1": "A.", "sentence2": "B."}, 3.5, Label(value=3.5)),
    "glue/qqp": ({"question1": "A?", "question2": "B?"}, 0, Label(class_ids=(0,))),
    "glue/qnli": ({"question": "A?", "sentence": "B."}, 1, Label(class_ids=(1,))),
    "glue/rte": ({"sentence1": "A.", "sentence2": "B."}, 0, Label(class_ids=(0,))),
    "superglue/cb": ({"premise": "A.", "hypothesis": "B."}, 2, Label(class_ids=(2,))),
    "superglue/copa": (
        {"premise": "A.", "choice1": "B.", "choice2": "C.", "question": "cause"},
        1,
        Label(class_ids=(1,)),
    ),
    "superglue/wic": (
        {"word": "a", "sentence1": "A.", "sentence2": "B.", "start1": 0, "end1": 1},
        1,
        Label(class_ids=(1,)),
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_the_hubs_columns_of_each_task(publish: Publish, name: str) -> None:
    fields, label, wanted = CASES[name]
    columns = {column: [value, value] for column, value in fields.items()}
    task, unlabelled = TASKS[name], -1.0 if isinstance(label, float) else -1
    features = {} if isinstance(label, float) else {"label": class_label(*task.classes)}
    publish({"validation": {**columns, "label": [label, unlabelled], "idx": [0, 1]}}, **features)
    one, two = read_hub_dataset("owner/name", task).examples

    assert (one.label, two.label) == (wanted, Label())
    assert one.fields == {field: fields[field] for field in task.fields}


def test_columns_of_other_names(publish: Publish) -> None:
    publish({"train": {"question": ["is it"], "passage": ["It is."], "answer": [True]}})
    (boolq,) = read_hub_dataset("google/boolq", TASKS["superglue/boolq"]).examples
    assert boolq.label == Label(class_ids=(1,))
    row = {"instruction": ["Do."], "context": ["It."], "response": ["Done."], "category": ["qa"]}
    publish({"train": row})
    (dolly,) = read_hub_dataset("databricks/databricks-dolly-15k", TASKS["instructions/dolly"]).examples
    assert (dolly.fields, dolly.label.target_text) == ({"instruction": "Do.", "input": "It."}, "Done.")
    publish({"train": {"instruction": ["Do."], "input": [""], "output": ["answer1"], "answer": ["answer1"]}})
    (choice,) = read_hub_dataset("owner/commonsense", TASKS["reasoning/hellaswag"]).examples
    assert (choice.label.target_text, choice.prompt) == ("answer1", None)


def test_files_of_a_repository_are_read_by_the_library_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text('{"sentence": "He ran.", "label": 1}\n{"sentence": "", "label": 0}\n')
    (folder / "test.jsonl").write_text('{"sentence": "We ran.", "label": -1}\n')
    monkeypatch.chdir(tmp_path)
    examples = read_hub_dataset("owner/name", TASKS["glue/cola"]).examples

    assert [(one.id, one.fields["sentence"], one.label.class_ids) for one in examples] == [
        ("train-000001", "He ran.", (1,)),
        ("train-000002", "", (0,)),
        ("test-000001", "We ran.", ()),
    ]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        SourceError, match=r"--source nyu-mll/glue:cola: no such folder here, and the hub"
    ) as refusal:
        read_hub_dataset("nyu-mll/glue:cola", TASKS["glue/cola"])
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        ConfigError, match=r'the package datasets is wanted: pip install "armada-distill\[hub\]"'
    ):
        read_hub_dataset("nyu-mll/glue:cola", TASKS["glue/cola"])


def test_a_dataset_of_another_task_is_refused(publish: Publish) -> None:
    publish({"train": {"review": ["Fine."], "label": [1]}})
    with pytest.raises(
        SourceError, match=r"owner/name: no column sentence of texts, which task glue/sst2 wants"
    ):
        read_hub_dataset("owner/name", TASKS["glue/sst2"])

"""The paper's numbers are package data, and facts: a digest says that none has moved."""

import hashlib
from importlib.resources import files

import pytest

from distill.studies import STUDIES
from distill.studies.printed import printed_of, printed_table
from distill.studies.study import Key, Printed

SD = "stable-diffusion-v1-4"
CELLS = {
    "table02": 128, "table03": 32, "table04": 36, "table05": 128, "table06": 16, "table07": 108,
    "table08": 45, "table09": 12, "table10": 32, "table11": 32, "table12": 55, "table13": 50,
    "table14": 8, "table16": 48, "table17": 32,
}  # fmt: skip
DIGEST = "df71ec5595cfe35d307b290e6804b160b67dc139b5f186a9a604cb276faa4b7d"


def test_every_number_is_there_and_none_has_moved() -> None:
    folder = files("distill.studies") / "paper"
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(".csv"))
    texts = b"".join((folder / name).read_bytes() for name in names)

    assert names == [f"{name}.csv" for name in CELLS]
    assert hashlib.sha256(texts).hexdigest() == DIGEST
    assert {name: len(printed_table(name)) for name in CELLS} == CELLS
    assert sum(CELLS.values()) == 762


@pytest.mark.parametrize(
    ("table", "key", "wanted"),
    [
        ("table02", Key("bert-base", SD, "euclid", "CoLA", "mcc"), Printed(61.9, 0.0)),
        ("table02", Key("bert-6l", "", "undistilled", "STS-B", "pearson"), Printed(88.5, 0.4)),
        ("table04", Key("llama-7b", "", "undistilled", "AQuA", "accuracy"), Printed(14.8)),
        ("table08", Key("bert-base", "", "Vid-Voken w/CLIP", "SST-2", "accuracy"), Printed(94.1)),
        ("table11", Key("ts-aligner", SD, "capacity-matched", "COPA", "accuracy"), Printed(54.0)),
        ("table16", Key("bert-base", SD, "euclid", "BoolQ", "t_statistic"), Printed(-3.2)),
    ],
)  # fmt: skip
def test_some_numbers_stand_where_the_paper_has_them(table: str, key: Key, wanted: Printed) -> None:
    assert printed_table(table)[key] == wanted


def test_a_number_that_stands_in_two_tables_is_the_same_in_both() -> None:
    seen: dict[Key, float] = {}
    for name in CELLS:
        for key, printed in printed_table(name).items():
            assert seen.setdefault(key, printed.value) == printed.value


@pytest.mark.parametrize("name", [name for name in CELLS if name not in ("table07", "table08")])
def test_every_number_of_a_table_is_one_that_its_study_makes(name: str) -> None:
    study = STUDIES[name]
    made = {cell.key for cell in study.cells}
    wanted = {key for key in printed_table(name) if key.task != "Average"}

    if study.analyse is None:
        assert wanted <= made
    else:
        models_and_tasks = {(key.model, key.task) for key in made}
        assert {(key.model, key.task) for key in wanted} <= models_and_tasks


def test_other_tables_lend_only_the_numbers_of_a_study_own_cells() -> None:
    assert {key.model for key in printed_of(STUDIES["table08"])} == {"bert-base"}

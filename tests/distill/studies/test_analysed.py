"""Tables and figures that need the runs themselves: Tables 14 and 16, Figures 7, 8 and 12."""

from dataclasses import replace
from pathlib import Path

import pytest

from distill.analyses.sensitivity import sensitivity
from distill.studies import STUDIES
from distill.studies.collecting import collect
from distill.studies.comparison import sheet_of
from distill.studies.figure12 import sensitivities
from distill.studies.planning import Planner, Run
from distill.studies.plots import draw
from distill.studies.profile import Profile
from distill.studies.running import Outcome, make
from distill.studies.sheet import Sheet
from distill.studies.study import Key
from schemas.cache import TeacherCache

ANALYSED = ("table14", "figure07", "figure08")
SEED = 1


@pytest.fixture(scope="module")
def planner(profile: Profile, cache: TeacherCache, tmp_path_factory: pytest.TempPathFactory) -> Planner:
    store = tmp_path_factory.mktemp("store")
    return Planner(profile=profile, caches=[cache], store=store, seeds=(SEED,))


@pytest.fixture(scope="module")
def outcome(planner: Planner) -> Outcome:
    """The pair that Table 14 and both figures look at, and its twin beside a frozen aligner."""
    runs: dict[Path, Run] = dict(planner.plan(STUDIES["table14"]).runs)
    frozen = [
        run
        for run in planner.plan(STUDIES["table16"]).runs.values()
        if run.config.distillation is not None
        and (run.config.distillation.manifold, run.config.distillation.schedule) == ("euclid", "frozen")
    ]
    return make([*runs.values(), *frozen], quiet=True)


def sheet(name: str, planner: Planner, outcome: Outcome) -> Sheet:
    study = STUDIES[name]
    found = collect(study, planner.plan(study), outcome)
    return sheet_of(study, planner.profile, found, "paper-tables")


def test_three_runs_serve_four_studies(outcome: Outcome) -> None:
    assert (outcome.made, outcome.failed) == (3, {})


@pytest.mark.parametrize("name", ANALYSED)
def test_numbers_come_from_the_runs_or_a_note_says_why_not(
    name: str, planner: Planner, outcome: Outcome
) -> None:
    made = sheet(name, planner, outcome)
    own = [line for line in made.lines if line.ours]

    assert own or made.notes
    assert all(list(line.ours) == [SEED] for line in own)
    assert {line.key.task for line in own} <= {"CoLA"}
    assert all("\n" not in note for note in made.notes)


def test_points_of_both_students_and_the_aligner_are_drawn(planner: Planner, outcome: Outcome) -> None:
    made = sheet("figure07", planner, outcome)

    assert made.analysed is not None
    assert set(made.analysed.points) == {
        f"CoLA, {tower}" for tower in ("undistilled", "distilled", "aligner")
    }
    assert all(len(points) == 32 for points in made.analysed.points.values())
    assert {group for *_, group in made.analysed.points["CoLA, aligner"]} == {"negative", "positive"}
    assert (draw(made) or b"").startswith(b"\x89PNG")


def test_rows_by_scenario_are_counted_for_both_students_alike(planner: Planner, outcome: Outcome) -> None:
    rows = {
        line.key.variant: line.ours[SEED]
        for line in sheet("figure08", planner, outcome).lines
        if line.key.metric == "rows"
    }

    for scenario in (1, 2):
        assert rows[f"armada/scenario-{scenario}"] == rows[f"undistilled/scenario-{scenario}"]


def test_the_gain_of_training_the_aligner_stands_where_both_runs_are(
    planner: Planner, outcome: Outcome
) -> None:
    lines = [line for line in sheet("table16", planner, outcome).lines if line.ours]

    assert {(line.key.variant, line.key.metric) for line in lines} == {
        ("euclid", "t_statistic"),
        ("euclid", "p_value"),
    }
    (p_value,) = [line.ours[SEED] for line in lines if line.key.metric == "p_value"]
    assert 0 <= p_value <= 1


def test_a_pair_that_lost_its_student_leaves_a_note(planner: Planner, outcome: Outcome) -> None:
    (distilled,) = [
        folder
        for folder, result in outcome.results.items()
        if result.config["method"] == "armada" and result.config["schedule"] == "alternating"
    ]
    kept = distilled / "predictions.parquet"
    bytes_of = kept.read_bytes()
    kept.unlink()
    try:
        made = sheet("table14", planner, outcome)
    finally:
        kept.write_bytes(bytes_of)

    assert not any(line.ours for line in made.lines)
    assert [note.startswith("CoLA, seed 1: ") for note in made.notes] == [True]


def test_sensitivity_is_that_of_the_levels_of_noise_by_seed() -> None:
    key = Key("bert-base", "t", "", "CoLA", "mcc")
    values = {
        replace(key, variant=f"sigma={sigma}"): {1: 70.0 - sigma, 2: 60.0 + 2 * sigma}
        for sigma in (0, 1, 2, 5)
    }
    whole = replace(key, variant="sensitivity", metric="sensitivity")

    assert sensitivities(values) == {
        whole: {
            1: sensitivity({sigma: 70.0 - sigma for sigma in (0, 1, 2, 5)}),
            2: sensitivity({sigma: 60.0 + 2 * sigma for sigma in (0, 1, 2, 5)}),
        }
    }
    assert sensitivities(values)[whole] == pytest.approx({1: 1.0, 2: 4.0})
    del values[replace(key, variant="sigma=5")]
    assert sensitivities(values) == {}

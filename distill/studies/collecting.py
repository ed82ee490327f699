"""The numbers of a study: read off finished runs, derived, analysed, and why the others are not there."""

from dataclasses import dataclass, field

from distill.studies.derived import complete
from distill.studies.planning import Plan, Reading
from distill.studies.running import Outcome
from distill.studies.study import Analysed, Key, Made, Runs, Study
from schemas.errors import ArmadaError

SCALE = 100.0


@dataclass(slots=True)
class Collected:
    """What a study came to.

    Attributes:
        values: by number and seed, in the paper's scale.
        reasons: why a number has no value.
        runs: that were read, by number and seed.
        analysed: what the study's own analysis gave; None without one.
    """

    values: dict[Key, dict[int, float]] = field(default_factory=dict)
    reasons: dict[Key, str] = field(default_factory=dict)
    runs: dict[tuple[Key, int], Made] = field(default_factory=dict)
    analysed: Analysed | None = None


def collect(study: Study, plan: Plan, outcome: Outcome) -> Collected:
    """Read what a study's runs gave.

    Args:
        study: that asks.
        plan: of it.
        outcome: of all runs.
    """
    found = Collected(reasons=dict(plan.missing))
    for reading in plan.readings:
        _read(reading, outcome, found)
    if study.analyse is not None:
        found.analysed = _analyse(study, found.runs)
        for key, by_seed in found.analysed.values.items():
            found.values.setdefault(key, {}).update(by_seed)
    found.values = complete(found.values, study.derive)
    return found


def _read(reading: Reading, outcome: Outcome, found: Collected) -> None:
    key = reading.cell.key
    for seed, run in reading.runs.items():
        result = outcome.results.get(run.folder)
        if result is None:
            failure = outcome.failed.get(run.folder)
            found.reasons[key] = f"failed: {failure}" if failure else "not run yet"
            continue
        found.runs[key, seed] = Made(run.folder, result, run.cache.folder)
        value = result.metrics.get(reading.head, {}).get(reading.metric)
        if value is None:
            found.reasons[key] = f"its runs measure no {reading.metric} of {reading.head}"
        else:
            found.values.setdefault(key, {})[seed] = SCALE * value


def _analyse(study: Study, runs: Runs) -> Analysed:
    assert study.analyse is not None, "asked for"
    try:
        return study.analyse(runs)
    except ArmadaError as error:
        return Analysed({}, [str(error)])

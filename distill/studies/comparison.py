"""Our numbers of a study set beside the paper's: what ran, what stands for what, who gains how much."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from distill.studies.collecting import Collected
from distill.studies.derived import baseline_of, complete, mean_gain
from distill.studies.printed import as_values, printed_of
from distill.studies.profile import Profile
from distill.studies.sheet import Gain, Line, Sheet, Summary
from distill.studies.study import ALIGNER_ROW, AVERAGE, BEST, LOSSES, Finding, Key, Printed, Study, Values


def sheet_of(study: Study, profile: Profile, found: Collected, command: str) -> Sheet:
    """Set ours beside the paper's.

    Args:
        study: that asks.
        profile: that was filled.
        found: what runs gave.
        command: that is run.
    """
    printed = printed_of(study)
    theirs = complete(as_values(printed), study.derive)
    lines = tuple(_lines(study, profile, found, printed, theirs))
    findings = tuple(
        Finding(what, source, text)
        for question in study.questions
        for source, values in (("paper", theirs), ("ours", found.values))
        for what, text in question(values)
    )
    return Sheet(
        study=study,
        profile=profile,
        lines=lines,
        summaries=tuple(_summaries(study, profile, theirs, found.values)),
        findings=findings,
        notes=tuple(found.analysed.notes) if found.analysed else (),
        analysed=found.analysed,
        provenance=_provenance(found),
        command=command,
    )


def _lines(
    study: Study, profile: Profile, found: Collected, printed: Mapping[Key, Printed], theirs: Values
) -> Iterator[Line]:
    hidden = {cell.key for cell in study.cells if not cell.is_shown}
    shown = [cell.key for cell in study.cells if cell.is_shown]
    for key in dict.fromkeys([*shown, *printed, *found.values, *theirs]):
        if key in hidden:
            continue
        ours = found.values.get(key, {})
        said = printed.get(key)
        if said is None and key in theirs:
            said = Printed(next(iter(theirs[key].values())))
        yield Line(
            key=key,
            model=_shown_model(profile, key.model),
            teacher=_shown_teacher(profile, key.teacher),
            task=_stand_in(profile, key, found.values, theirs),
            printed=said,
            ours=ours,
            reason=found.reasons.get(key, "" if ours else _why_not(study, key)),
            printed_gain=mean_gain(theirs, key, study.baseline),
            gain=gain_of(found.values, key, study.baseline),
        )


def _why_not(study: Study, key: Key) -> str:
    if study.analyse is not None:
        return "its runs are missing, or too few rows for it"
    made = {cell.key.variant for cell in study.cells} | {AVERAGE}
    return (
        "made of numbers that are missing"
        if key.variant in made or key.task == AVERAGE
        else "of another work"
    )


def _shown_model(profile: Profile, name: str) -> str:
    student = profile.students.get(name)
    if student is None or student.is_own or student.path is None:
        return name
    return f"{name} ← {Path(student.path).name}"


def _shown_teacher(profile: Profile, name: str) -> str:
    teacher = profile.teachers.get(name)
    return name if teacher is None or teacher.is_own else f"{name} ← {teacher.model.partition(':')[0]}"


def _stand_in(profile: Profile, key: Key, ours: Values, theirs: Values) -> str:
    if key.task != AVERAGE:
        task = profile.tasks.get(key.task)
        return "" if task is None or task.is_own else task.name
    own, printed = _tasks_of(key, ours), _tasks_of(key, theirs)
    strange = [name for name in own if name in profile.tasks and not profile.tasks[name].is_own]
    return f"{len(own)} of {len(printed)} tasks" if own and (strange or own != printed) else ""


def _tasks_of(average: Key, values: Values) -> set[str]:
    """Tasks that an average is over."""
    row = (average.model, average.teacher, average.variant)
    return {key.task for key in values if (key.model, key.teacher, key.variant) == row} - {AVERAGE}


def gain_of(values: Values, key: Key, baseline: str) -> Gain | None:
    """A number's gain over its baseline, paired by seed; None without a baseline."""
    other = baseline_of(values, key, baseline)
    if key.variant == baseline or other is None:
        return None
    ours, others = values.get(key, {}), values[other]
    gaps = [ours[seed] - others[seed] for seed in sorted(set(ours) & set(others))]
    if not gaps:
        return None
    if len(gaps) < 2:
        return Gain(gaps[0])
    if max(gaps) - min(gaps) < 1e-9:
        return Gain(fmean(gaps), p_value=float("nan"))
    from scipy.stats import ttest_1samp

    both: Any = ttest_1samp(gaps, 0)
    above: Any = ttest_1samp(gaps, 0, alternative="greater")
    interval = both.confidence_interval(0.95)
    return Gain(fmean(gaps), float(interval.low), float(interval.high), float(above.pvalue))


def _summaries(study: Study, profile: Profile, theirs: Values, ours: Values) -> Iterator[Summary]:
    best = {key.variant for key in (*theirs, *ours)} & {BEST, "ARMADA"}
    rows = dict.fromkeys(
        (key.model, key.teacher, key.variant)
        for key in (*theirs, *ours)
        if key.variant in (*LOSSES, *best) and key.model != ALIGNER_ROW
    )
    for model, teacher, variant in rows:
        gains = []
        for values in (theirs, ours):
            own = [
                gain
                for key in values
                if (key.model, key.teacher, key.variant) == (model, teacher, variant) and key.task != AVERAGE
                if (gain := mean_gain(values, key, study.baseline)) is not None
            ]
            gains.append(own)
        printed, made = gains
        if printed or made:
            yield Summary(
                _shown_model(profile, model),
                _shown_teacher(profile, teacher),
                variant,
                fmean(printed) if printed else None,
                fmean(made) if made else None,
                len(made),
            )


def _provenance(found: Collected) -> dict[str, str]:
    results = [made.result for made in found.runs.values()]
    if not results:
        return {}
    folders = {made.folder for made in found.runs.values()}

    def all_of(values: Iterator[object]) -> str:
        return ", ".join(sorted({str(value) for value in values}))

    return {
        "runs": str(len(folders)),
        "seeds": all_of(one.config["seed"] for one in results),
        "protocol": all_of(one.protocol for one in results),
        "students": all_of(one.config["student"] for one in results),
        "teachers": all_of(
            f"{one.cache.teacher.backend}:{one.cache.teacher.name} ({one.cache.teacher.modality})"
            for one in results
        ),
        "caches": all_of(
            f"{one.cache.name} ({one.cache.digest[:8]}, {one.cache.rows} rows)" for one in results
        ),
        "rows trained on, reported": all_of(
            f"{one.config['task']} {one.num_rows['train']}, {one.num_rows['report']}" for one in results
        ),
        "device": all_of(one.device for one in results),
        "versions": all_of(f"{name} {version}" for one in results for name, version in one.versions.items()),
    }

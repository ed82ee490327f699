"""Figure 12: how much performance moves with the noise: Var(performance) / Var(sigma)."""

from dataclasses import replace

from distill.studies.figure11 import FIGURE11, SIGMAS
from distill.studies.study import Key, Study, Values

_METRIC = "sensitivity"


def sensitivities(values: Values) -> Values:
    """For each task and seed, the variance over the levels of noise by the variance of the levels."""
    from distill.analyses.sensitivity import sensitivity

    rows: dict[Key, dict[float, dict[int, float]]] = {}
    for key, by_seed in values.items():
        if key.variant.startswith("sigma="):
            sigma = float(key.variant.removeprefix("sigma="))
            whole = replace(key, variant=_METRIC, metric=_METRIC)
            rows.setdefault(whole, {})[sigma] = dict(by_seed)
    return {
        key: {
            seed: sensitivity({sigma: one[seed] for sigma, one in levels.items()})
            for seed in sorted(set.intersection(*(set(one) for one in levels.values())))
        }
        for key, levels in rows.items()
        if len(levels) == len(SIGMAS)
    }


FIGURE12 = Study(
    name="figure12",
    title="Sensitivity to noise on the representations, aligner and BERT-base",
    cells=tuple(replace(cell, is_shown=False) for cell in FIGURE11.cells if cell.key.teacher),
    derive=(sensitivities,),
    claims=("In squared points of the metric for each unit of the noise's variance.",),
    plot="levels",
)

"""The rows that one student gets right and the other wrong, to be read."""

import polars as pl

from distill.analyses.answers import Answers
from distill.analyses.states import REPORTED
from distill.split import Split
from schemas.cache import TeacherCache


def examples(answers: Answers, cache: TeacherCache, scenario: int = 1, split: str = REPORTED) -> pl.DataFrame:
    """A table of one scenario's rows.

    Args:
        answers: of both students.
        cache: that the rows are from.
        scenario: 1, the distilled student right and the undistilled wrong; 2, the reverse.
        split: of the cache.

    Returns:
        Columns `example_id`, `text` (all fields, ` | ` between them), `gold`, `distilled`, `undistilled`, in
        the order of the split; no rows where there are none.

    Source: arXiv 2603.10877, Table 15 and Figure 9, whose sorting by kind of mistake was made by hand and is
    not reproduced.
    """
    whole = Split(cache, split, answers.task)
    texts = {
        name: " | ".join(field["text"] for field in fields)
        for name, fields in zip(
            whole.column("example_id").to_pylist(), whole.column("fields").to_pylist(), strict=True
        )
    }
    rows = answers.scenarios[scenario].nonzero()[0].tolist()
    ids = [answers.ids[row] for row in rows]
    said = {"gold": answers.gold, "distilled": answers.distilled, "undistilled": answers.undistilled}
    return pl.DataFrame(
        {
            "example_id": ids,
            "text": [texts[name] for name in ids],
            **{name: [answers.name_of(values[row]) for row in rows] for name, values in said.items()},
        },
        schema=dict.fromkeys(("example_id", "text", *said), pl.String),
    )

"""How much praise or blame is a sentence of a film review?

The mean of the ratings behind `movie-sentiment`, in its own scale and for every sentence: none is left out.
"""

from schemas.tasks.task import LabelKind, TaskSpec

MOVIE_RATING = TaskSpec(
    name="movie-rating",
    fields=("text",),
    label_kind=LabelKind.REGRESSION,
    value_range=(-4.0, 4.0),
    metric="pearson",
    templates={
        "instruction": "How much praise or blame is in this sentence of a film review? Answer with one "
        "number, from -4 for the strongest blame to 4 for the strongest praise.\n\nSentence: {text}\nAnswer:"
    },
    source="movie-reviews",
)

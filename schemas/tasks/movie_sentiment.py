"""Is a sentence of a film review praise or blame?

Hutto and Gilbert (ICWSM 2014) had twenty people rate each sentence from -4 to 4; a mean of at least half a
point either way makes a class, and what lies between is left out.
"""

from schemas.tasks.task import LabelKind, TaskSpec

MOVIE_SENTIMENT = TaskSpec(
    name="movie-sentiment",
    fields=("text",),
    label_kind=LabelKind.SINGLE,
    classes=("negative", "positive"),
    metric="accuracy",
    templates={
        "instruction": "Is this sentence of a film review negative or positive? Answer with one word."
        "\n\nSentence: {text}\nAnswer:"
    },
    source="movie-reviews",
)

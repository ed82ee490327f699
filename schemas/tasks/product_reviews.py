"""Is a sentence of a customer's review of a product praise or blame?

Rated and divided into classes as `movie-sentiment` is; the reviews are those of Hu and Liu (2004).
"""

from schemas.tasks.task import LabelKind, TaskSpec

PRODUCT_REVIEWS = TaskSpec(
    name="product-reviews",
    fields=("text",),
    label_kind=LabelKind.SINGLE,
    classes=("negative", "positive"),
    metric="accuracy",
    source="product-reviews",
    templates={
        "instruction": "Is this sentence of a product review negative or positive? Answer with one word."
        "\n\nSentence: {text}\nAnswer:"
    },
)

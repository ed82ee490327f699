"""Is a meme hateful? Its text for the student, its picture beside it for the teacher (Kiela et al., 2020)."""

from schemas.tasks.task import LabelKind, TaskSpec

HATEFUL_MEMES = TaskSpec(
    name="hateful-memes",
    fields=("text",),
    label_kind=LabelKind.SINGLE,
    classes=("not-hateful", "hateful"),
    metric="accuracy",
    source="hateful-memes",
    templates={
        "instruction": "Is this meme, a picture with the text below, hateful or not-hateful? Answer with one "
        "word.\n\nText: {text}\nAnswer:"
    },
)

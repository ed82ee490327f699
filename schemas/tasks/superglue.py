"""The four tasks of SuperGLUE that the paper reports (Wang et al., 2019).

The student reads every field: COPA's premise and question beside its two choices, WiC's word before its first
sentence (docs/paper-map.md).
"""

from schemas.tasks.task import LabelKind, TaskSpec

_TRUTH = ("False", "True")

BOOLQ = TaskSpec(
    name="superglue/boolq",
    fields=("question", "passage"),
    label_kind=LabelKind.SINGLE,
    classes=_TRUTH,
    metric="accuracy",
    student_templates=("{question}", "{passage}"),
    source="superglue",
    templates={
        "instruction": "{passage}\n\nQuestion: {question}?\nIs the answer yes? Answer True or False.\nAnswer:"
    },
)
CB = TaskSpec(
    name="superglue/cb",
    fields=("premise", "hypothesis"),
    label_kind=LabelKind.SINGLE,
    classes=("entailment", "contradiction", "neutral"),
    metric="accuracy",
    student_templates=("{premise}", "{hypothesis}"),
    source="superglue",
    templates={
        "instruction": "Does the second text follow from the first? Answer entailment, contradiction or "
        "neutral.\n\nFirst: {premise}\nSecond: {hypothesis}\nAnswer:"
    },
)
COPA = TaskSpec(
    name="superglue/copa",
    fields=("premise", "choice1", "choice2", "question"),
    label_kind=LabelKind.SINGLE,
    classes=("choice1", "choice2"),
    metric="accuracy",
    student_templates=("{premise} What was the {question}?", "{choice1} {choice2}"),
    source="superglue",
    templates={
        "instruction": "{premise} What was the {question}? Answer choice1 or choice2."
        "\n\nchoice1: {choice1}\nchoice2: {choice2}\nAnswer:"
    },
)
WIC = TaskSpec(
    name="superglue/wic",
    fields=("word", "sentence1", "sentence2"),
    label_kind=LabelKind.SINGLE,
    classes=_TRUTH,
    metric="accuracy",
    student_templates=("{word}: {sentence1}", "{sentence2}"),
    source="superglue",
    templates={
        "instruction": "Does the word {word} mean the same in both sentences? Answer True or False."
        "\n\nFirst: {sentence1}\nSecond: {sentence2}\nAnswer:"
    },
)

SUPERGLUE = (BOOLQ, CB, COPA, WIC)

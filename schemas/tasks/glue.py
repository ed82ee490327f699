"""The eight tasks of GLUE that the paper reports (Wang et al., 2019), with the fields and classes of the hub.

MNLI's two validation sets are the parts `matched` and `mismatched` of one task: one training, two numbers.
"""

from schemas.tasks.task import LabelKind, TaskSpec

_ENTAILMENT = ("entailment", "not_entailment")

COLA = TaskSpec(
    name="glue/cola",
    fields=("sentence",),
    label_kind=LabelKind.SINGLE,
    classes=("unacceptable", "acceptable"),
    metric="matthews",
    student_templates=("{sentence}",),
    source="glue",
    templates={
        "instruction": "Is this English sentence acceptable or unacceptable? Answer with one word."
        "\n\nSentence: {sentence}\nAnswer:"
    },
)
SST2 = TaskSpec(
    name="glue/sst2",
    fields=("sentence",),
    label_kind=LabelKind.SINGLE,
    classes=("negative", "positive"),
    metric="accuracy",
    student_templates=("{sentence}",),
    source="glue",
    templates={
        "instruction": "Is this phrase of a film review negative or positive? Answer with one word."
        "\n\nPhrase: {sentence}\nAnswer:"
    },
)
MRPC = TaskSpec(
    name="glue/mrpc",
    fields=("sentence1", "sentence2"),
    label_kind=LabelKind.SINGLE,
    classes=("not_equivalent", "equivalent"),
    metric="accuracy",
    student_templates=("{sentence1}", "{sentence2}"),
    source="glue",
    templates={
        "instruction": "Do these two sentences mean the same? Answer equivalent or not_equivalent."
        "\n\nFirst: {sentence1}\nSecond: {sentence2}\nAnswer:"
    },
)
STSB = TaskSpec(
    name="glue/stsb",
    fields=("sentence1", "sentence2"),
    label_kind=LabelKind.REGRESSION,
    value_range=(0.0, 5.0),
    metric="pearson",
    student_templates=("{sentence1}", "{sentence2}"),
    source="glue",
    templates={
        "instruction": "How alike in meaning are these two sentences? Answer with one number, from 0 for not "
        "at all to 5 for the same.\n\nFirst: {sentence1}\nSecond: {sentence2}\nAnswer:"
    },
)
QQP = TaskSpec(
    name="glue/qqp",
    fields=("question1", "question2"),
    label_kind=LabelKind.SINGLE,
    classes=("not_duplicate", "duplicate"),
    metric="accuracy",
    student_templates=("{question1}", "{question2}"),
    source="glue",
    templates={
        "instruction": "Do these two questions ask the same? Answer duplicate or not_duplicate."
        "\n\nFirst: {question1}\nSecond: {question2}\nAnswer:"
    },
)
MNLI = TaskSpec(
    name="glue/mnli",
    fields=("premise", "hypothesis"),
    label_kind=LabelKind.SINGLE,
    classes=("entailment", "neutral", "contradiction"),
    metric="accuracy",
    student_templates=("{premise}", "{hypothesis}"),
    parts=("matched", "mismatched"),
    source="glue",
    templates={
        "instruction": "Does the second text follow from the first? Answer entailment, neutral or "
        "contradiction.\n\nFirst: {premise}\nSecond: {hypothesis}\nAnswer:"
    },
)
QNLI = TaskSpec(
    name="glue/qnli",
    fields=("question", "sentence"),
    label_kind=LabelKind.SINGLE,
    classes=_ENTAILMENT,
    metric="accuracy",
    student_templates=("{question}", "{sentence}"),
    source="glue",
    templates={
        "instruction": "Does the sentence answer the question? Answer entailment if it does, else "
        "not_entailment.\n\nQuestion: {question}\nSentence: {sentence}\nAnswer:"
    },
)
RTE = TaskSpec(
    name="glue/rte",
    fields=("sentence1", "sentence2"),
    label_kind=LabelKind.SINGLE,
    classes=_ENTAILMENT,
    metric="accuracy",
    student_templates=("{sentence1}", "{sentence2}"),
    source="glue",
    templates={
        "instruction": "Does the second text follow from the first? Answer entailment or not_entailment."
        "\n\nFirst: {sentence1}\nSecond: {sentence2}\nAnswer:"
    },
)

GLUE = (COLA, SST2, MRPC, STSB, QQP, MNLI, QNLI, RTE)

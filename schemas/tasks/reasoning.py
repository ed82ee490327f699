"""The reasoning tasks of the paper's Table 4, as LLM-Adapters published them (Hu et al., EMNLP 2023).

All are learnt from two fine-tuning sets, commonsense and mathematics, and the answer is parsed from what the
student writes. `reasoning/commonsense` and `reasoning/math` are trained once and report every set apart; the
other rows report one set each (docs/decisions/0017).
"""

from functools import partial

from schemas.tasks.answers import chosen, letter_or_number
from schemas.tasks.instruction import instruction_task

COMMONSENSE_SETS = ("hellaswag", "winogrande", "arc-c", "arc-e", "openbookqa")
MATH_SETS = ("multiarith", "singleeq", "aqua")

_commonsense = partial(instruction_task, source="llm-adapters", metric="exact_answer", extract_answer=chosen)
_math = partial(
    instruction_task, source="llm-adapters", metric="exact_answer", extract_answer=letter_or_number
)

REASONING = (
    _commonsense("reasoning/commonsense", parts=COMMONSENSE_SETS),
    _math("reasoning/math", parts=MATH_SETS),
    *(_commonsense(f"reasoning/{name}") for name in COMMONSENSE_SETS),
    *(_math(f"reasoning/{name}") for name in MATH_SETS),
)

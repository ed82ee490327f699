"""Instruction tuning, Tables 12 and 13: learnt from Dolly, reported on five sets by ROUGE-L.

`instructions/all` is trained once and reports every set apart; the other rows report one set each
(docs/decisions/0017).
"""

from functools import partial

from schemas.tasks.instruction import instruction_task
from schemas.tasks.task import whole_text

INSTRUCTION_SETS = ("dolly", "selfinst", "vicuna", "sni", "uni")

_instructions = partial(instruction_task, source="instructions", metric="rouge_l", extract_answer=whole_text)

INSTRUCTIONS = (
    _instructions("instructions/all", parts=INSTRUCTION_SETS),
    *(_instructions(f"instructions/{name}") for name in INSTRUCTION_SETS),
)

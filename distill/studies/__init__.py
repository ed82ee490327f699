"""The paper's tables and figures, one file each. A new one is a file here and a row below."""

from distill.studies.figure03 import FIGURE03
from distill.studies.figure04 import FIGURE04
from distill.studies.figure05 import FIGURE05
from distill.studies.figure06 import FIGURE06
from distill.studies.figure07 import FIGURE07
from distill.studies.figure08 import FIGURE08
from distill.studies.figure10 import FIGURE10
from distill.studies.figure11 import FIGURE11
from distill.studies.figure12 import FIGURE12
from distill.studies.figure13 import FIGURE13
from distill.studies.study import Study
from distill.studies.table02 import TABLE02
from distill.studies.table03 import TABLE03
from distill.studies.table04 import TABLE04
from distill.studies.table05 import TABLE05
from distill.studies.table06 import TABLE06
from distill.studies.table07 import TABLE07
from distill.studies.table08 import TABLE08
from distill.studies.table09 import TABLE09
from distill.studies.table10 import TABLE10
from distill.studies.table11 import TABLE11
from distill.studies.table12 import TABLE12
from distill.studies.table13 import TABLE13
from distill.studies.table14 import TABLE14
from distill.studies.table16 import TABLE16
from distill.studies.table17 import TABLE17
from schemas.errors import ConfigError

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        *(TABLE02, TABLE03, TABLE04, TABLE05, TABLE06, TABLE07, TABLE08, TABLE09, TABLE10, TABLE11, TABLE12),
        *(TABLE13, TABLE14, TABLE16, TABLE17),
        *(FIGURE03, FIGURE04, FIGURE05, FIGURE06, FIGURE07, FIGURE08, FIGURE10, FIGURE11, FIGURE12, FIGURE13),
    )
}

NOT_MADE = {
    "table1": "it is the paper's notation (docs/paper-map.md)",
    "table15": "its four examples were picked by hand; figure 8 has the distance over all rows",
    "figure9": "its mistakes were sorted by hand, which no program repeats",
}


def find_study(kind: str, number: int) -> Study:
    """The study of that number.

    Args:
        kind: `table` or `figure`.
        number: in the paper.

    Raises:
        ConfigError: there is none, or it is not made.
    """
    if reason := NOT_MADE.get(f"{kind}{number}"):
        raise ConfigError(f"--{kind} {number} is not made: {reason}; see --list")
    name = f"{kind}{number:02d}"
    if name not in STUDIES:
        numbers = [str(int(one.removeprefix(kind))) for one in STUDIES if one.startswith(kind)]
        raise ConfigError(
            f"--{kind} {number}: no such {kind}; choose from {', '.join(numbers)}, or see --list"
        )
    return STUDIES[name]

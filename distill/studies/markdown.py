"""A sheet as Markdown, and as CSV."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from distill.studies.sheet import Gain, Line, Sheet

CSV_COLUMNS = (
    *("study", "profile", "model", "teacher", "variant", "task", "stand_in", "metric"),
    *("paper", "paper_std", "ours", "ours_sd", "seeds", "difference", "paper_gain", "gain", "gain_low"),
    *("gain_high", "gain_p", "verdict", "reason", "by_seed"),
)


COLUMNS = (
    *("model", "teacher", "variant", "task", "metric", "paper", "ours", "difference", "paper's gain"),
    "our gain",
)


def as_csv(sheet: Sheet) -> str:
    """All numbers, one a row, in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for line in sheet.lines:
        key, printed, gain = line.key, line.printed, line.gain
        numbers = (
            *(
                printed.value if printed else None,
                printed.std if printed else None,
                line.mean,
                line.deviation,
            ),
            *(len(line.ours), line.difference, line.printed_gain),
            *((gain.mean, gain.low, gain.high, gain.p_value, gain.verdict) if gain else (None,) * 5),
        )
        by_seed = " ".join(f"{seed}:{value:.6g}" for seed, value in sorted(line.ours.items()))
        names = (sheet.study.name, sheet.profile.name, key.model, key.teacher, key.variant, key.task)
        writer.writerow([*names, line.task, key.metric, *map(_plain, numbers), line.reason, by_seed])
    return text.getvalue()


def _plain(value: float | str | None) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else str(value)


def as_markdown(sheet: Sheet, picture: str | None) -> str:
    """The whole report of a study.

    Args:
        sheet: of it.
        picture: file name of its plot, beside it; None without one.
    """
    parts = [f"# {title_of(sheet)}\n", f"Made by `{sheet.command}`.\n", *_remarks(sheet)]
    if picture:
        parts.append(f"![{sheet.study.title}]({picture})\n")
    parts += [*_summary(sheet), *_findings(sheet), *_numbers(sheet), *_claims(sheet), *_provenance(sheet)]
    return "\n".join(parts)


def title_of(sheet: Sheet) -> str:
    """`Table 2: students ...`."""
    name = sheet.study.file_name
    kind = name.rstrip("0123456789")
    return f"{kind.capitalize()} {name.removeprefix(kind)}: {sheet.study.title}"


def index_as_markdown(sheets: Sequence[Sheet], not_made: Mapping[str, str], failed: Mapping[str, str]) -> str:
    """The page that leads to all others.

    Args:
        sheets: of the studies; at least one.
        not_made: what no program makes, and why.
        failed: why runs failed, by folder.
    """
    rows = [
        (f"[{title_of(one).partition(':')[0]}]({one.study.file_name}.md)", one.study.title,
         f"{one.num_run} of {len(one.lines)}")
        for one in sheets
    ]  # fmt: skip
    first = sheets[0]
    parts = [
        "# The paper's tables and figures\n",
        f"Made by `{first.command}`, profile `{first.profile.name}`; `index.html` has it sortable.\n",
        "\n".join(f"- {line}" for line in first.profile.remarks) + "\n",
        table(("table or figure", "what it shows", "numbers of ours"), rows),
        "Not made:\n",
        "\n".join(f"- {name}: {reason}" for name, reason in not_made.items()) + "\n",
    ]
    if failed:
        lines = "\n".join(f"- `{folder}`: {reason}" for folder, reason in failed.items())
        parts.append(f"Failed runs:\n\n{lines}\n")
    return "\n".join(parts)


def _remarks(sheet: Sheet) -> Iterable[str]:
    yield f"Profile `{sheet.profile.name}`.\n"
    yield (
        "\n".join(f"- {line}" for line in (*sheet.profile.remarks, *sheet.study.remarks, *sheet.notes)) + "\n"
    )


def _summary(sheet: Sheet) -> Iterable[str]:
    if not sheet.summaries:
        return
    yield f"## Mean gain over {sheet.study.baseline}\n"
    yield "In points. The best of three losses is chosen for each task: no single run has it.\n"
    for name, best in (("Single losses", False), ("Best of three losses", True)):
        rows = [one for one in sheet.summaries if one.is_best == best]
        if rows:
            yield f"{name}:\n"
            yield table(
                ("model", "teacher", "variant", "paper", "ours", "tasks of ours"),
                [
                    (one.model, one.teacher, one.variant, signed(one.printed), signed(one.ours) or "not run",
                     str(one.num_tasks))
                    for one in rows
                ],
            )  # fmt: skip


def _findings(sheet: Sheet) -> Iterable[str]:
    if sheet.findings:
        yield "## Tests\n"
        yield table(
            ("question", "numbers", "answer"), [(one.what, one.source, one.text) for one in sheet.findings]
        )


def _numbers(sheet: Sheet) -> Iterable[str]:
    yield "## All numbers\n"
    yield "Ours: mean ± deviation (seeds). Gains with their 95 % interval over seeds.\n"
    yield table(COLUMNS, [cells_of(line) for line in sheet.lines])


def cells_of(line: Line) -> tuple[str, ...]:
    """A number as texts: model, teacher, variant, task, metric, paper, ours, difference, both gains."""
    key = line.key
    return (
        *(line.model, line.teacher, key.variant),
        f"{key.task} ← {line.task}" if line.task else key.task,
        *(key.metric, printed_text(line), ours_text(line), difference_text(line)),
        *(signed(line.printed_gain), gain_text(line.gain)),
    )


def printed_text(line: Line) -> str:
    """The paper's number."""
    if line.printed is None:
        return ""
    spread = "" if line.printed.std is None else f" ± {line.printed.std:g}"
    return f"{line.printed.value:.4g}{spread}"


def ours_text(line: Line) -> str:
    """Our number: mean, deviation and seeds, or why there is none."""
    if line.mean is None:
        return f"not run: {line.reason}" if line.reason else "not run"
    spread = "" if line.deviation is None else f" ± {line.deviation:.2f}"
    missing = f"; another seed {line.reason}" if line.reason else ""
    return f"{line.mean:.2f}{spread} ({len(line.ours)}){missing}"


def difference_text(line: Line) -> str:
    """Ours less the paper's, where both are of one task."""
    if line.task and line.mean is not None and line.printed is not None:
        return "other task"
    return signed(line.difference)


def gain_text(gain: Gain | None) -> str:
    """A gain with its interval and verdict."""
    if gain is None:
        return ""
    if gain.low is None or gain.high is None:
        return f"{gain.mean:+.2f} ({gain.verdict})"
    return f"{gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}] {gain.verdict}"


def signed(value: float | None) -> str:
    """A difference; nothing where there is none."""
    return "" if value is None else f"{value:+.2f}"


def _claims(sheet: Sheet) -> Iterable[str]:
    if sheet.study.claims:
        yield "## What the paper says of it\n"
        yield "\n".join(f"- {line}" for line in sheet.study.claims) + "\n"


def _provenance(sheet: Sheet) -> Iterable[str]:
    yield "## How ours were made\n"
    if not sheet.provenance:
        yield "Nothing was run.\n"
        return
    yield "\n".join(f"- {name}: {words}" for name, words in sheet.provenance.items()) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())

"""How every command speaks: a bar or plain lines, one-line errors, one JSON object, flags over a file.

Both stages use it and neither may import the other, so it stands here; rich is imported when a bar is drawn.
"""

import errno
import json
import os
import sys
import time
import tomllib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol

from schemas.errors import ArmadaError, ConfigError

EXIT_FAILED, EXIT_USAGE, EXIT_SOME_ROWS_FAILED, EXIT_INTERRUPTED = 1, 2, 3, 130
_SECONDS_BETWEEN_LINES = 10.0
_MAX_LINE = 1000
# What a TOML file must give for an option of a click type; for the others a text, or a list of texts.
_CONFIG_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "integer": ("a whole number", (int,)),
    "integer range": ("a whole number", (int,)),
    "float": ("a number", (float, int)),
    "float range": ("a number", (float, int)),
    "boolean": ("true or false", (bool,)),
}
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)

SecondsLeft = Callable[[], float | None]


class Advance(Protocol):
    """Moves a progress display on."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Count `steps` more as done, and show `note` beside the rate."""
        ...


def _ignore(steps: int = 1, note: str = "") -> None:
    del steps, note


@contextmanager
def progress(
    what: str, total: int, unit: str, *, done: int = 0, quiet: bool = False, left: SecondsLeft | None = None
) -> Generator[Advance]:
    """Show how far a long piece of work is: a bar on a terminal, a plain line every ten seconds elsewhere.

    Args:
        what: a few words for the work.
        total: steps in all.
        unit: plural name of a step, `rows`.
        done: steps that an earlier session did; they count as done and not towards the rate.
        quiet: show nothing.
        left: seconds that are left, where steps are not alike; None as long as nobody can say.
    """
    pace = _Pace(total, done, unit, left)
    if quiet:
        yield _ignore
    elif sys.stderr.isatty():
        yield from _bar(what, total, pace)
    else:
        yield from _lines(what, total, unit, pace)


class _Pace:
    """Steps a second and time left, counted from the first step on: what comes before it is start-up."""

    def __init__(self, total: int, done: int, unit: str, left: SecondsLeft | None = None) -> None:
        self.position, self._total, self._unit, self._left = done, total, unit, left
        self._from: tuple[int, float] | None = None

    def move(self, steps: int) -> None:
        """Count steps as done."""
        self.position += steps
        if self._from is None:
            self._from = (self.position, time.monotonic())

    def __str__(self) -> str:
        first, started = self._from or (self.position, 0.0)
        if self.position <= first:
            return ""
        rate = (self.position - first) / max(time.monotonic() - started, 1e-9)
        seconds = self._left() if self._left else (self._total - self.position) / rate
        if seconds is None:
            return f"{rate:.1f} {self._unit}/s"
        left = int(seconds)
        return f"{rate:.1f} {self._unit}/s, {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"


def _bar(what: str, total: int, pace: _Pace) -> Generator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        # As narrow as it can be: on 80 columns the numbers matter more.
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=pace.position, pace="", note="")

        def advance(steps: int = 1, note: str = "") -> None:
            pace.move(steps)
            bar.update(task, completed=pace.position, pace=str(pace), note=note)

        yield advance


def _lines(what: str, total: int, unit: str, pace: _Pace) -> Generator[Advance]:
    last = time.monotonic()

    def show(note: str) -> None:
        say(f"{what}: {pace.position}/{total} {unit} {pace} {note}".rstrip())

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal last
        pace.move(steps)
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            show(note)

    yield advance
    show("")


def say(line: str, *, quiet: bool = False) -> None:
    """Tell the user one thing, on standard error, so that standard output stays for results."""
    if not quiet:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def show_json(summary: dict[str, Any]) -> None:
    """Print the one object that `--json` promises, on standard output."""
    sys.stdout.write(json.dumps(summary, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def read_config_file(context: Any, _parameter: Any, path: str | None) -> None:
    """Callback of `--config FILE.toml`: its values become defaults, so flags win.

    Raises:
        ConfigError: the file is missing, is no TOML, or has a key that is no option.
    """
    if path is None:
        return
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--config {path}: {error}; give a readable TOML file") from None
    options = {one.name: one for one in context.command.params if one.name not in ("config", "help")}
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in options:
            raise ConfigError(f"--config {path}: {key} is no option of {context.info_name}; see --help")
        if name in defaults:
            raise ConfigError(f"--config {path}: {key} stands twice; keep one of its spellings")
        if getattr(options[name], "multiple", False):
            # Given several times on the command line, a list here.
            defaults[name] = [_config_value(path, key, one, "text") for one in _listed(value)]
        else:
            defaults[name] = _config_value(path, key, value, options[name].type.name)
    context.default_map = {**(context.default_map or {}), **defaults}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _config_value(path: str, key: str, value: Any, kind: str) -> Any:
    """A TOML value as the option of that click type takes it; click itself would guess, or fail inside."""
    wanted, types = _CONFIG_TYPES.get(kind, ("a text", (str, int, float)))
    if types[0] is str and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ",".join(value)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ConfigError(f"--config {path}: {key} is {value!r}; wanted {wanted}")
    return str(value) if types[0] is str else value


def _always() -> bool:
    return True


def run_command(command: Callable[..., Any], speaks: Callable[[], bool] = _always) -> NoReturn:
    """Run a click command; an error that the user can mend is one line and a status, never a traceback.

    Args:
        command: of click.
        speaks: whether this process tells its error, asked once there is one; of many, one does.
    """
    name = Path(sys.argv[0]).name
    # As a module, it would be called after its file.
    name = (getattr(command, "name", None) or name) if name.endswith(".py") else name
    try:
        # Left to itself click makes "Aborted!" and status 1 of Ctrl-C.
        status = command(standalone_mode=False)
    except ArmadaError as error:
        fail(name, str(error), error.exit_status, speaks=speaks)
    except (KeyboardInterrupt, RuntimeError) as error:
        if not isinstance(error.__cause__ or error, KeyboardInterrupt):
            _only_if(speaks)
            raise
        line = "interrupted; what was done is kept, the same command goes on"
        fail(name, line, EXIT_INTERRUPTED, speaks=speaks)
    except OSError as error:
        fail(name, _disk_line(error), EXIT_FAILED, speaks=speaks)
    except Exception as error:
        # A click.UsageError, known by what it can do: this module does not import click.
        message = getattr(error, "format_message", None)
        if message is None:
            _only_if(speaks)
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            say(message())
            sys.exit(EXIT_USAGE)
        fail(name, message(), EXIT_USAGE, speaks=speaks)
    sys.exit(status if isinstance(status, int) else 0)


def _only_if(speaks: Callable[[], bool]) -> None:
    """Of many processes, have one show a traceback of what nobody foresaw."""
    if not speaks():
        sys.exit(EXIT_FAILED)


def _disk_line(error: OSError) -> str:
    where = f" {error.filename}" if error.filename else ""
    reason = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM) and error.filename:
        denied, advice = _denied(Path(str(error.filename)))
        return f"cannot {denied}{where}: {reason}; {advice}"
    if error.errno in _DISK_ERRORS:
        advice = "make room or give another folder, then run the same command: it goes on"
        return f"cannot write{where}: {reason}; {advice}"
    return f"cannot use{where}: {reason}; give another path"


def _denied(path: Path) -> tuple[str, str]:
    """What this user may not do with a path, and what to do then; the error itself does not tell."""
    if not os.access(path.parent, os.X_OK):
        return "reach", "open the folders that lead there to this user, or give another path"
    if path.exists() and not os.access(path, os.R_OK):
        return "read", "make it readable for this user, or give another path"
    return "write", "give a folder that this user may write, then run the same command: it goes on"


def fail(name: str, message: str, status: int, *, speaks: Callable[[], bool] = _always) -> NoReturn:
    """Print one line and leave; what data brought into it can neither break the line nor flood it."""
    if not speaks():
        sys.exit(status)
    line = "".join(one if one.isprintable() else " " for one in message)
    if len(line) > _MAX_LINE:
        line = f"{line[: _MAX_LINE // 2]} ... {line[-_MAX_LINE // 2 :]}"
    say(f"{name}: {line}")
    sys.exit(status)

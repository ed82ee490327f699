"""Paths that a command is given."""

from pathlib import Path
from typing import Any

import click

from schemas.object_store import is_url, lacks_a_slash


class _Here(click.Path):
    """A path of this machine; "" would be the current folder, and a URL one with a colon in its name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty; give a path, or leave the option out", param, ctx)
        if is_url(value) or lacks_a_slash(value):
            self.fail(f"{value} is a URL; give a path of this machine (docs/scaling.md)", param, ctx)
        return super().convert(value, param, ctx)


HERE = _Here(path_type=Path)

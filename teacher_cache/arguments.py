"""Places that a command is given: on this machine, in an object store, or either."""

from pathlib import Path
from typing import Any

import click

from schemas.object_store import is_url, lacks_a_slash


class _Given(click.Path):
    """A path that was given: "" would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty; give a path, or leave the option out", param, ctx)
        if lacks_a_slash(value):
            self.fail(f"{value} looks like a URL that lacks a slash, wanted ://", param, ctx)
        return super().convert(value, param, ctx)


class _Here(_Given):
    """A path of this machine: of a URL, a folder with a colon in its name would be made."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_url(value):
            self.fail(f"{value} is a URL; give a path of this machine (docs/scaling.md)", param, ctx)
        return super().convert(value, param, ctx)


class _Place(_Given):
    """A path, or the URL of an object store as it stands."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if is_url(value) else super().convert(value, param, ctx)


class _Cache(_Given):
    """The folder of a cache, or the URL of one in an object store, of which a copy is fetched."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from schemas.local_copy import local_copy

        return local_copy(value) if is_url(value) else super().convert(value, param, ctx)


HERE = _Here(path_type=Path)
PLACE = _Place(path_type=Path)
CACHE = _Cache(path_type=Path)

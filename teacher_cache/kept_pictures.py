"""Pictures that a teacher made, kept beside the shards: one file a row, found by the row's id alone."""

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.files import write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

MEDIA_NAME = "media"


def picture_name(example_id: str) -> str:
    """Name of the file with the picture of a row; an id can hold what no file name can."""
    return f"{hashlib.sha256(example_id.encode()).hexdigest()}.png"


def keep_picture(folder: Path, example_id: str, image: "Image") -> None:
    """Write a row's picture whole, over the one that an earlier try left."""
    folder.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()
    image.save(written, "PNG")
    write_bytes(folder / picture_name(example_id), written.getvalue())

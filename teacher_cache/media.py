"""Pictures and sounds of examples: where their bytes come from, and why there are none.

Nothing here ends a run: what is wrong with a file is a `MediaError`, whose message becomes the row's error.
"""

import hashlib
import io
import re
import threading
import warnings
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.example import Media
from schemas.files import sha256_of
from teacher_cache.remote_media import RemoteError, fetch, is_remote

if TYPE_CHECKING:
    from PIL.Image import Image

INLINE_FOLDER = "inline"
# The path of a data URI whose bytes cannot be had begins so, and goes on with a digest of its text.
UNDECODABLE = "data:undecodable,"
MAX_PIXELS = 64_000_000
# Of what Pillow reads, those that decode by themselves: for EPS it would start Ghostscript.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# In these formats mode I means 16 bits, of which 65535 is white; a TIFF may mean anything.
_GREY_OF_16_BITS = ("PNG", "PPM")
# Pillow's warning can be caught only by changing filters that all threads share.
_OPENING = threading.Lock()


class MediaError(Exception):
    """A picture or sound that cannot be sent; the message is the row's error."""


@dataclass(frozen=True, slots=True)
class MediaSource:
    """Where the media of a plan come from.

    Attributes:
        root: folder that paths are relative to and may not leave; None where the source has no files.
        inline: bytes that the source holds itself, by their sha256.
        allow_remote: whether URLs may be fetched.
    """

    root: Path | None = None
    inline: Mapping[str, bytes | memoryview] = field(default_factory=dict[str, bytes | memoryview])
    allow_remote: bool = False

    def load(self, media: Media) -> bytes:
        """The bytes, which are those that were there when the run was planned.

        Raises:
            MediaError: they are not there, not allowed, or not the same any more.
        """
        data = self._bytes(media)
        found = hashlib.sha256(data).hexdigest()
        if media.sha256 and found != media.sha256:
            raise MediaError(f"{_short(media.path)}: sha256 {found[:12]} found, {media.sha256[:12]} wanted")
        return data

    def load_image(self, media: Media) -> "Image":
        """The picture: its first frame, upright, in RGB.

        Raises:
            MediaError: as `load`; or the bytes are no picture, a damaged one, or one of too many pixels.
        """
        return _opened(media.path, self.load(media))[0]

    def data_uri(self, media: Media) -> str:
        """The picture's own bytes as a `data:` URI, after it was opened like any other.

        Raises:
            MediaError: as `load_image`.
        """
        data = self.load(media)
        return f"data:{_opened(media.path, data)[1]};base64,{b64encode(data).decode()}"

    def sha256(self, path: str) -> str:
        """Digest of a local file's bytes; empty where it cannot be read or is not ours to read here."""
        try:
            return "" if is_remote(path) else sha256_of(self._file(path))
        except (MediaError, OSError):
            return ""

    def _bytes(self, media: Media) -> bytes:
        if media.path.startswith(f"{INLINE_FOLDER}/") and media.sha256 in self.inline:
            return bytes(self.inline[media.sha256])
        if media.path.startswith(UNDECODABLE):
            raise MediaError("a data URI without base64 bytes that can be decoded")
        if is_remote(media.path):
            return self._fetched(media.path)
        file = self._file(media.path)
        if not media.sha256:
            raise MediaError(f"{_short(media.path)} could not be read when this run was planned")
        try:
            return file.read_bytes()
        except OSError as error:
            raise MediaError(f"{_short(media.path)} cannot be read: {error.strerror}") from None

    def _fetched(self, url: str) -> bytes:
        if not self.allow_remote:
            raise MediaError(f"{_short(url)} is a URL; --allow-remote-media would fetch it")
        try:
            return fetch(url)
        except RemoteError as error:
            raise MediaError(f"{_short(url)}: {error}") from None

    def _file(self, path: str) -> Path:
        if self.root is None:
            raise MediaError(f"{_short(path)}: this source has no folder for media")
        try:
            root = self.root.resolve()
            file = (root / path).resolve()
            if not file.is_relative_to(root):
                raise MediaError(f"{_short(path)} is outside the folder of its source")
            if not file.exists():
                raise MediaError(f"{_short(path)} is not there")
            if not file.is_file():
                raise MediaError(f"{_short(path)} is no regular file")
        except (OSError, ValueError, RuntimeError) as error:  # name too long, a NUL, a ring of links
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise MediaError(f"{_short(path)} cannot be read: {reason}") from None
        return file


def _short(path: str) -> str:
    # Errors are stored in shards: a signed URL keeps its signature to itself.
    return path.partition("?")[0][:200] if is_remote(path) else path[:200]


def _of_8_bits(path: str, image: "Image", kind: str | None) -> "Image":
    # Pillow cuts off what is above 255 when it converts these.
    if not (image.mode.startswith("I;16") or (image.mode == "I" and kind in _GREY_OF_16_BITS)):
        raise MediaError(
            f"{_short(path)} has 32 bits a pixel (mode {image.mode}), whose range is not known; "
            "save it with 8 or 16"
        )
    return image.convert("I").point([value >> 8 for value in range(1 << 16)], "L").convert("RGB")


def _opened(path: str, data: bytes) -> tuple["Image", str]:
    from PIL import Image, ImageOps

    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if image.width * image.height <= MAX_PIXELS:
            # What a telephone takes is a JPEG with a second picture behind it; nobody knows its own name.
            mime_type = "image/jpeg" if image.format == "MPO" else image.get_format_mimetype() or "image/*"
            if image.mode.startswith("I") or image.mode == "F":
                return _of_8_bits(path, ImageOps.exif_transpose(image), image.format), mime_type
            # A palette with transparency goes to RGB by way of RGBA, or Pillow warns.
            through = image.convert("RGBA") if "transparency" in image.info else image
            return ImageOps.exif_transpose(through).convert("RGB"), mime_type
    except MediaError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        pass
    # Pillow's decoders raise whatever they stumble over: struct.error, SyntaxError, IndexError and more.
    except Exception as error:  # noqa: BLE001
        # Their messages may show an address in memory, and an error row must not differ from run to run.
        reason = re.sub(r"<[^>]*>", "the file", str(error))
        raise MediaError(f"{_short(path)} is no picture that can be read: {reason[:200]}") from None
    raise MediaError(f"{_short(path)} has more than {MAX_PIXELS // 1_000_000} million pixels")

"""What a row says of a picture or a sound, to `Media`. Nothing is opened here; a bad one stops nothing."""

import hashlib
import mimetypes
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from schemas.example import Media
from teacher_cache.media import INLINE_FOLDER, UNDECODABLE
from teacher_cache.remote_media import is_remote


@dataclass(frozen=True, slots=True)
class MediaReader:
    """Collects what the source holds itself.

    Attributes:
        root: folder that paths are relative to; None where the source has no files.
        inline: bytes that stood in the source, by their sha256.
    """

    root: Path | None
    inline: dict[str, bytes | memoryview] = field(default_factory=dict[str, bytes | memoryview])

    def item(self, given: str, sha256: str = "") -> Media:
        """A path, file URL, data URI or http URL, with its digest if the row gives one.

        Raises:
            ValueError: it is blank, or a URL with a password, which would be stored in the cache.
        """
        if not given.strip():
            raise ValueError("a blank media path; give one, or leave it out")
        if given[:5].lower() == "data:":
            return self._from_data_uri(given)
        if is_remote(given):
            return Media(_without_password(given), sha256)
        return Media(self._relative(_local(given)), sha256)

    def embed(self, data: bytes | memoryview, suffix: str) -> Media:
        """Bytes that the source holds itself.

        Args:
            data: the file's content.
            suffix: of its name, `.png`.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        self.inline.setdefault(sha256, data)
        return Media(f"{INLINE_FOLDER}/{sha256}{suffix}", sha256)

    def _from_data_uri(self, uri: str) -> Media:
        head, comma, body = uri[5:].partition(",")
        kind, *parameters = head.split(";")
        is_base64 = parameters[-1:] == ["base64"]
        try:
            data = b64decode("".join(body.split()), validate=True) if is_base64 else unquote_to_bytes(body)
        except (Base64Error, ValueError):
            data = b""
        if not (comma and data):
            return Media(f"{UNDECODABLE}{hashlib.sha256(uri.encode()).hexdigest()[:16]}", "")
        return self.embed(data, mimetypes.guess_extension(kind) or ".bin")

    def _relative(self, path: str) -> str:
        if self.root is not None and path.startswith("/"):
            try:
                return str(Path(path).resolve().relative_to(self.root.resolve()))
            except (ValueError, OSError, RuntimeError):
                return path
        return path


def _local(given: str) -> str:
    if given[:5].lower() != "file:":
        return given
    return url2pathname(urlsplit(given).path)


def _without_password(url: str) -> str:
    try:
        password = urlsplit(url).password
    except ValueError:  # a bracket that is not closed: whoever fetches it says so
        return url
    if password is not None:
        raise ValueError("a media URL with a password, which the cache would keep; take the password out")
    return url

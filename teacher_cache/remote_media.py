"""Pictures behind a URL: http and https alone, so many bytes, so many seconds, nowhere else by a redirect."""

import http.client
import time
from io import BytesIO
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

MAX_BYTES = 32 * 1024 * 1024
TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 1 << 16


class RemoteError(Exception):
    """A URL that gave no file; the message does not name it."""


def is_remote(path: str) -> bool:
    """Whether it is a URL that must be fetched."""
    return path.lower().startswith(("http://", "https://"))


def fetch(url: str, *, timeout: float = TIMEOUT_SECONDS) -> bytes:
    """The bytes behind a URL.

    Args:
        url: http or https.
        timeout: seconds for the whole of it.

    Raises:
        RemoteError: no answer, an answer that says no, too large a one, too slow a one.
    """
    deadline = time.monotonic() + timeout
    try:
        # urllib knows file: and ftp: too; an opener without them cannot be led there by a redirect.
        with _opener().open(Request(url), timeout=timeout) as answer:  # noqa: S310
            return _limited(answer, deadline)
    except HTTPError as error:
        raise RemoteError(f"status {error.code}") from None
    except URLError as error:
        raise RemoteError(f"no answer: {error.reason}") from None
    except TimeoutError:
        raise RemoteError(f"not there within {timeout:g} seconds") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise RemoteError(f"no answer: {type(error).__name__}: {error}") from None


def _opener() -> OpenerDirector:
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        HTTPHandler,
        HTTPSHandler,
        HTTPRedirectHandler,
        HTTPDefaultErrorHandler,
        HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", "armada-distill")]
    return opener


def _limited(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    data = BytesIO()
    while chunk := answer.read1(_CHUNK_BYTES):
        data.write(chunk)
        if data.tell() > MAX_BYTES:
            raise RemoteError(f"more than {MAX_BYTES // 1024**2} MiB")
        if time.monotonic() > deadline:
            raise TimeoutError
    wanted = answer.headers.get("Content-Length")
    if wanted is not None and wanted.isdecimal() and data.tell() < int(wanted):
        raise RemoteError(f"{data.tell()} bytes of {wanted}, then the connection ended")
    return data.getvalue()

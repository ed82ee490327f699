"""Pictures behind a URL, from a real server that answers badly too."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from schemas.example import Media
from teacher_cache import remote_media
from teacher_cache.media import MediaError, MediaSource
from teacher_cache.remote_media import RemoteError, fetch

REDIRECTS = {
    "/moved": "/good",
    "/ring": "/ring",
    "/to-a-file": "file:///etc/hostname",
    "/to-ftp": "ftp://localhost/x",
    "/nowhere": "http://",
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path in REDIRECTS:
            self._head(302, Location=REDIRECTS[self.path])
        elif self.path == "/good":
            self._head(200, Content_Length="4")
            self.wfile.write(b"good")
        elif self.path == "/half":
            self._head(200, Content_Length="100")
            self.wfile.write(b"half")
        elif self.path in ("/endless", "/slow"):
            self._head(200)
            self._go_on(b"x" if self.path == "/slow" else bytes(1 << 20), 0.05 if self.path == "/slow" else 0)
        elif self.path == "/silent":
            time.sleep(2)
        else:
            self._head(404)

    def _head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _go_on(self, data: bytes, pause: float) -> None:
        for _ in range(60):
            self.wfile.write(data)
            time.sleep(pause)

    def log_message(self, *_: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what these tests are about."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with QuietServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/good", "/moved"])
def test_what_is_there_is_fetched(address: str, path: str) -> None:
    assert fetch(address + path) == b"good"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/none", r"^status 404$"),
        ("/ring", r"^status 302$"),
        ("/to-a-file", r"^status 302$"),
        ("/to-ftp", r"^status 302$"),
        ("/nowhere", r"^status 302$"),
        ("/half", r"^4 bytes of 100, then the connection ended$"),
        ("/endless", r"^more than 32 MiB$"),
        ("/slow", r"^not there within 0.5 seconds$"),
        ("/silent", r"^(no answer: timed out|not there within 0.5 seconds)$"),
    ],
)
def test_what_is_not_there_as_it_should_be_is_said(address: str, path: str, message: str) -> None:
    started = time.monotonic()
    with pytest.raises(RemoteError, match=message):
        fetch(address + path, timeout=0.5)
    # What it would be without a limit is minutes; a busy machine may take its time.
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "http://[", "http://x:y/", "http://a b/", "http://é\n/"]
)
def test_addresses_that_lead_nowhere(url: str) -> None:
    with pytest.raises(RemoteError, match=r"^no answer: "):
        fetch(url, timeout=5)


def test_a_row_says_what_the_server_said_but_no_signature(address: str) -> None:
    source = MediaSource(allow_remote=True)

    assert source.load(Media(f"{address}/good", "")) == b"good"
    with pytest.raises(MediaError, match=rf"^{address}/none: status 404$"):
        source.load(Media(f"{address}/none?signature=secret", ""))
    with pytest.raises(MediaError, match=r"/good is no picture that can be read"):
        source.load_image(Media(f"{address}/good", ""))


def test_a_digest_that_the_row_gives_is_compared(address: str) -> None:
    with pytest.raises(MediaError, match=r"/good: sha256 [0-9a-f]{12} found, 000000000000 wanted"):
        MediaSource(allow_remote=True).load(Media(f"{address}/good", "0" * 64))


def test_nothing_is_fetched_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def must_not(*_: object) -> None:
        raise AssertionError("a request was made")

    monkeypatch.setattr(remote_media, "_opener", must_not)
    with pytest.raises(MediaError, match=r"--allow-remote-media would fetch it"):
        MediaSource(tmp_path).load(Media("http://127.0.0.1:1/x", "0" * 64))

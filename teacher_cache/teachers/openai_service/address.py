"""Where a service is, and the key to it, which nothing that is written or said may show."""

import base64
import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from schemas.errors import ConfigError, TeacherError

OPENAI_HOST = "api.openai.com"
_OPENAI_URL = f"https://{OPENAI_HOST}/v1"
_HIDDEN = "[key]"
# So many characters of a key give something of it away; fewer stand in ordinary words.
_TELLING = 6
# Where something is left out of a key, its end alone tells as much.
_TELLING_END = 4
_LEFT_OUT = re.compile(r"([\w-]*)(?:\.{2,}|…|[*•]+)([\w-]*)")
# Shorter keys, such as EMPTY, are words that a text may well have.
_SHORTEST_IN_TEXTS = 8


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service is.

    Attributes:
        base_url: with the version, without a slash at its end.
        host: name of the machine.
        is_local: whether it is this machine.
    """

    base_url: str
    host: str
    is_local: bool

    @classmethod
    def parse(cls, base_url: str | None) -> Self:
        """Check a base URL; None is the library's default, OPENAI_BASE_URL or OpenAI's own.

        Raises:
            ConfigError: it is no http(s) URL, or it carries a password or a query.
        """
        url = (base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI_URL).strip()
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            parts, host = None, None
        if re.search(r"\s", url) or parts is None or parts.scheme not in ("http", "https") or not host:
            # What was given may hold a password in a place where it cannot be found, so it is not repeated.
            raise ConfigError("--base-url is no URL of a service; give one such as http://localhost:8000/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ConfigError(
                f"--base-url of {host} carries a user, a query or a fragment; give scheme, host and path "
                "alone, and the key in the variable that --api-key-env names"
            )
        return cls(url.rstrip("/"), host, _is_loopback(host))

    @property
    def name(self) -> str:
        """For the identity: the host, or `local`; a server may come back on another port."""
        return "local" if self.is_local else self.host

    @property
    def root(self) -> str:
        """The URL above the version."""
        return re.sub(r"/v\d+$", "", self.base_url)

    def at(self, path: str) -> str:
        """The URL of something that is not below the version."""
        return self.root + path


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A key from the environment.

    Attributes:
        variable: that holds it.
        value: empty where there is none and none is needed.
    """

    variable: str
    value: str

    @classmethod
    def read(cls, variable: str, address: Address) -> Self:
        """Take the key from the environment; a server on this machine needs none.

        Raises:
            TeacherError: there is none, or it cannot be one.
        """
        value = os.environ.get(variable, "").strip()
        if not value and not address.is_local:
            raise TeacherError(
                f"{address.host} needs a key, the environment has none in {variable}; "
                f"set {variable}, or name another variable with --api-key-env"
            )
        if not all("!" <= character <= "~" for character in value):
            raise TeacherError(
                f"the key in {variable} holds a blank or a character that no key has; set it again"
            )
        return cls(variable, value)

    def scrub(self, text: str) -> str:
        """Take the key, and any telling part of it, out of a text."""
        # Services show the two ends of a refused key around a row of stars.
        text = re.sub(r"[^\s:]*\*{3,}[^\s.,;]*", _HIDDEN, text)
        if len(self.value) < _TELLING:
            return re.sub(rf"(?<!\w){re.escape(self.value)}(?!\w)", _HIDDEN, text) if self.value else text
        text = _LEFT_OUT.sub(self._without_ends, text)
        parts = "|".join(sorted(map(re.escape, self._parts())))
        shown = {match.start(1) for match in re.finditer(f"(?=({parts}))", text)}
        marked = "".join(
            "\0" if any(start in shown for start in range(place - _TELLING + 1, place + 1)) else character
            for place, character in enumerate(text)
        )
        return re.sub(r"\S*\0+\S*", _HIDDEN, marked)

    def scrub_text(self, text: str) -> str:
        """Take the whole key out of a text that a model wrote, and leave all else as it is."""
        return text.replace(self.value, "***") if len(self.value) >= _SHORTEST_IN_TEXTS else text

    def _without_ends(self, match: re.Match[str]) -> str:
        first, last = match.groups()
        is_first = len(first) >= _TELLING_END and self.value.startswith(first)
        is_last = len(last) >= _TELLING_END and self.value.endswith(last)
        return _HIDDEN if is_first or is_last else match.group()

    def _parts(self) -> set[str]:
        """Parts of the telling length of the key, and of its base64 wherever it begins in what is coded."""
        coded = [base64.b64encode(b"\0" * shift + self.value.encode()).decode() for shift in range(3)]
        # The characters at both ends also depend on what stands beside the key.
        whole = [self.value, *(text.rstrip("=")[2 * shift : -1] for shift, text in enumerate(coded))]
        whole += [text.translate(str.maketrans("+/", "-_")) for text in whole[1:]]
        return {text[start : start + _TELLING] for text in whole for start in range(len(text) - _TELLING + 1)}

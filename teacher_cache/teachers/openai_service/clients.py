"""Clients of the openai library: straight to this machine, to one address alone, and no endless answers."""

import os
import ssl
from typing import TYPE_CHECKING, Any

from schemas.errors import TeacherError
from teacher_cache.teachers.openai_service.address import Address, Key
from teacher_cache.teachers.openai_service.faults import RowError

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

_NO_KEY = "none"  # the library wants one, servers without keys ignore it
_SLOWEST_CONNECT = 30.0
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
# Headers that no longer hold for a body that was read.
_OF_THE_WIRE = ("content-encoding", "content-length", "transfer-encoding")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def make_clients(
    num_clients: int, address: Address, key: Key, *, timeout: float, connections: int, most_bytes: int
) -> "list[AsyncOpenAI]":
    """Clients that try once and keep their connections.

    Args:
        num_clients: how many.
        address: of the service.
        key: to it.
        timeout: seconds without a byte.
        connections: of each, at most.
        most_bytes: of an answer.

    Raises:
        TeacherError: the environment has a proxy or certificates that cannot be used.
    """
    import httpx2
    from openai import AsyncOpenAI

    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    limit = httpx2.Timeout(timeout, connect=min(timeout, _SLOWEST_CONNECT))
    # A redirect would take prompts to where nobody sent them.
    options: dict[str, Any] = {"limits": limits, "timeout": limit, "follow_redirects": False}
    options |= {"verify": _certificates(), "trust_env": not address.is_local}
    try:
        https = [_bounded_client(most_bytes, options) for _ in range(num_clients)]
    except (ImportError, ValueError, httpx2.InvalidURL):
        raise TeacherError(
            f"{_faulty_proxy()} names a proxy that cannot be used; give one at http:// or unset it"
        ) from None
    # The library's own retries know nothing of answers that are no answers, nor of pauses for all.
    value = key.value or _NO_KEY
    return [
        AsyncOpenAI(base_url=address.base_url, api_key=value, max_retries=0, timeout=limit, http_client=http)
        for http in https
    ]


def _bounded_client(most_bytes: int, options: dict[str, Any]) -> "httpx2.AsyncClient":
    import httpx2

    class BoundedClient(httpx2.AsyncClient):
        """Reads no more of an answer than it may have."""

        async def send(self, request: httpx2.Request, **more: Any) -> httpx2.Response:
            more["stream"] = True
            response = await super().send(request, **more)
            try:
                data = await _read(response, most_bytes)
            finally:
                await response.aclose()
            headers = {name: told for name, told in response.headers.items() if name not in _OF_THE_WIRE}
            return httpx2.Response(response.status_code, headers=headers, content=data, request=request)

    return BoundedClient(**options)


async def _read(response: "httpx2.Response", most_bytes: int) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > most_bytes:
            raise RowError(f"the answer has more than {most_bytes} bytes, all that was asked for has less")
    return bytes(data)


def _certificates() -> ssl.SSLContext:
    import httpx2

    try:
        return httpx2.create_ssl_context()
    except (OSError, ValueError) as error:
        named = next((name for name in _CERTIFICATES if os.environ.get(name)), _CERTIFICATES[0])
        raise TeacherError(
            f"{named}={os.environ.get(named, '')}: no certificates can be read ({error}); mend or unset it"
        ) from None


def _faulty_proxy() -> str:
    """The variable of the environment whose proxy no client can be made with."""
    import httpx2

    for name in (spelt for proxy in _PROXIES for spelt in (proxy.lower(), proxy)):
        url = os.environ.get(name)
        if not url:
            continue
        try:
            httpx2.AsyncClient(proxy=url if "://" in url else f"http://{url}", trust_env=False)
        except (ImportError, ValueError, httpx2.InvalidURL):
            return name
    return "NO_PROXY"

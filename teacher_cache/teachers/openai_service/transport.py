"""One request to a service through the openai library: what comes back as JSON, what does not as a fault."""

import asyncio
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from schemas.errors import TeacherError
from teacher_cache.teachers.openai_service.address import Address, Key
from teacher_cache.teachers.openai_service.clients import make_clients
from teacher_cache.teachers.openai_service.faults import RowError, TransientError, one_line
from teacher_cache.teachers.openai_service.refusals import refusal_of

if TYPE_CHECKING:
    import httpx2
    from openai import APIStatusError, AsyncOpenAI

_CONNECTIONS = 8  # of one client
# Statuses of a page that a service does not have.
_ABSENT = (404, 405, 501)
_OUR_ID = re.compile("armada-[0-9a-f]{32}")


class Transport:
    """Clients with their connections, which are kept alive.

    For each request a client looks at each of its connections, twice, so many clients of few connections are
    faster than one of many: half the time of a request at 128 connections.

    Args:
        address: of the service.
        key: to it.
        timeout: seconds without a byte; an answer has twice that to be whole.
        concurrency: connections.
        most_bytes: of an answer.

    Raises:
        TeacherError: the environment has a proxy or certificates that cannot be used.
    """

    def __init__(self, address: Address, key: Key, timeout: float, concurrency: int, most_bytes: int) -> None:
        self._address, self._key, self._timeout = address, key, timeout
        self._clients = make_clients(
            -(-concurrency // _CONNECTIONS),
            address,
            key,
            timeout=timeout,
            connections=_CONNECTIONS,
            most_bytes=most_bytes,
        )
        # A client for each request that may be sent; the one that was last used comes first.
        self._free: asyncio.LifoQueue[AsyncOpenAI] = asyncio.LifoQueue()
        for client in [client for client in self._clients for _ in range(_CONNECTIONS)][:concurrency]:
            self._free.put_nowait(client)

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            await client.close()

    async def get(self, url: str) -> object | None:
        """Read a page; None where the service has no such page.

        Raises:
            RequestError: as `faults` says.
            TeacherError: the key is refused.
        """
        response = await self._send("get", url, None, {})
        return None if response is None else self._json_in(response)

    async def post(
        self, url: str, sent: Mapping[str, Any], charge: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Send a request; the object that answers it.

        Args:
            url: where to.
            sent: the request.
            charge: is shown every object that answers, those too that cannot be used.

        Raises:
            RequestError: as `faults` says.
            TeacherError: no request will be answered.
        """
        request_id = f"armada-{uuid.uuid4().hex}"
        response = await self._send("post", url, sent, {"X-Request-Id": request_id})
        assert response is not None, "only pages may be absent"
        body = self._json_in(response)
        if not isinstance(body, dict):
            raise TransientError(f"the answer is a JSON {type(body).__name__}, no object")
        charge(body)
        # vLLM and some gateways give a request's id back.
        told = _OUR_ID.search(f"{body.get('id')} {response.headers.get('x-request-id')}")
        if told and told.group() != request_id:
            raise TransientError("an answer to another request")
        if isinstance(error := body.get("error"), dict):
            # Gateways begin an answer with 200 before they know that there will be none.
            code = error.get("code")
            status = code if isinstance(code, int) and 400 <= code < 600 else 400
            raise refusal_of(status, response.headers, body, sent=sent, address=self._address, key=self._key)
        return body

    async def fetch(self, url: str, most_bytes: int) -> bytes:
        """Read a file that an answer points to, without showing the key to whoever has it.

        Raises:
            RowError: it is neither at https nor at the service itself, is not there, or is too large.
            TransientError: it did not come this time.
        """
        from httpx2 import AsyncClient, HTTPError, HTTPStatusError, InvalidURL

        if not url.startswith(("https://", f"{self._address.root}/")):
            raise RowError("the answer's picture is at a URL that is neither https nor the service's own")
        is_here = self._address.is_local and url.startswith(f"{self._address.root}/")
        try:
            async with (
                asyncio.timeout(2 * self._timeout),
                AsyncClient(timeout=self._timeout, trust_env=not is_here) as http,
                http.stream("GET", url) as response,
            ):
                response.raise_for_status()
                data = bytearray()
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > most_bytes:
                        raise RowError(f"the answer's picture has more than {most_bytes} bytes")
                return bytes(data)
        except (HTTPStatusError, InvalidURL, ImportError, ValueError) as error:
            raise RowError(f"the answer's picture cannot be fetched: {type(error).__name__}") from None
        except (HTTPError, TimeoutError) as error:
            raise TransientError(f"the answer's picture did not come: {type(error).__name__}") from None

    def clean(self, words: object) -> str:
        """One line without the key."""
        return one_line(self._key.scrub(str(words)))

    async def _send(
        self, method: str, url: str, sent: Mapping[str, Any] | None, headers: dict[str, str]
    ) -> "httpx2.Response | None":
        import httpx2
        import openai

        options: Any = {"headers": headers}
        client = await self._free.get()
        try:
            # No byte for a while is the client's affair; drops that never end are ours.
            async with asyncio.timeout(2 * self._timeout):
                if method == "get":
                    return await client.get(url, cast_to=httpx2.Response, options=options)
                return await client.post(url, cast_to=httpx2.Response, body=sent, options=options)
        except openai.APIStatusError as error:
            if method == "get" and error.status_code in _ABSENT:
                return None
            if error.response.has_redirect_location:
                raise self._redirected(error.response) from None
            raise self._refusal(error, sent or {}) from None
        except openai.APITimeoutError as error:
            is_reached = not isinstance(error.__cause__, httpx2.ConnectTimeout)
            raise TransientError(f"nothing came for {self._timeout:g} s", is_reached=is_reached) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            words = self.clean(f"{type(cause).__name__}: {cause}")
            raise TransientError(words, is_reached=not isinstance(cause, httpx2.ConnectError)) from None
        except TimeoutError:
            raise TransientError(f"the answer was not whole after {2 * self._timeout:g} s") from None
        finally:
            self._free.put_nowait(client)

    def _redirected(self, response: "httpx2.Response") -> TeacherError:
        target = self.clean(response.headers["location"])
        return TeacherError(
            f"{self._address.host} redirects to {target}; give that as --base-url if you trust it"
        )

    def _refusal(self, error: "APIStatusError", sent: Mapping[str, Any]) -> Exception:
        response = error.response
        try:
            body = json.loads(response.content)
        except (ValueError, RecursionError):
            body = response.text
        return refusal_of(
            response.status_code, response.headers, body, sent=sent, address=self._address, key=self._key
        )

    def _json_in(self, response: "httpx2.Response") -> object:
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError) as error:
            begins = response.text[:40]
            raise TransientError(self.clean(f"the answer is no JSON ({error}): {begins!r}")) from None

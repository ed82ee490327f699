"""A service on this machine that answers every question at once with the same text; prints its port.

It looks at nothing but the lengths of requests, so a core of its own keeps up with any client.
"""

import asyncio
import json
import sys
from typing import ClassVar

MODEL = "instant"
_MODELS = {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "nobody"}]}
_ANSWER = {
    "id": "instant",
    "object": "chat.completion",
    "created": 0,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "positive"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 40, "completion_tokens": 1, "total_tokens": 41},
}


def _response(answer: object) -> bytes:
    body = json.dumps(answer).encode()
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )


class Instant(asyncio.Protocol):
    """One connection."""

    answers: ClassVar = {b"GET ": _response(_MODELS), b"POST": _response(_ANSWER)}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is there whole."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            _, named, rest = self._read[:end].lower().partition(b"content-length:")
            stop = end + 4 + (int(rest.split(b"\r\n")[0]) if named else 0)
            if len(self._read) < stop:
                return
            self._transport.write(self.answers[self._read[:4]])
            self._read = self._read[stop:]


async def serve() -> None:
    """Answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())

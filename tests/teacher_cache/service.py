"""A small real HTTP server that speaks as OpenAI or as vLLM does, well or badly, and counts what it is asked.

It listens in a thread of its own. What it says follows from the prompt alone. A token is a byte, its id the
byte's value. It misbehaves where a prompt says so: `<<503>>` always, `<<503*2>>` the first two times that
this prompt is asked; or for the next requests, which `script` names.
"""

import asyncio
import base64
import io
import json
import math
import re
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Self

MODEL = "parrot"
LIMIT = 20  # entries a token
CONTEXT = 4000  # characters of a prompt
MARK = re.compile(r"<<([a-z0-9-]+)(?:\*(\d+))?>>")


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]


class RefusedError(Exception):
    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.headers = more.pop("headers", {})
        self.body = {"error": {"message": message, "type": "error", "param": None, "code": None} | more}


class BrokenError(Exception):
    """An answer that is not sent as it should be."""


@dataclass
class FaultyService:
    """The server.

    Attributes:
        vllm: whether it speaks vLLM's dialect.
        key: that it wants; None wants none.
        width: of embeddings.
        refuses: parameters that it does not know.
        delay: seconds before an answer.
        lists_models: whether there is a list of models.
        retry_after: seconds, as the header of 429 says them.
        script: faults of the next requests, in order.
        key_lasts: requests after which the key is refused.
        redirects_to: where requests are sent on to; empty answers them.
        redirects_by: its status.
    """

    vllm: bool = False
    key: str | None = None
    width: int = 8
    refuses: tuple[str, ...] = ()
    delay: float = 0.0
    lists_models: bool = True
    retry_after: str = "0.05"
    script: list[str] = field(default_factory=list)
    key_lasts: int | None = None
    redirects_to: str = ""
    redirects_by: int = 307
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.most_at_once = 0
        self._at_once = 0
        self._seen: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def questions(self) -> list[dict[str, Any]]:
        """Bodies of the requests for answers, in order."""
        return [asked.body for asked in self.asked if asked.body]

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 26)

    async def _end(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while asked := await _read(reader):
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                try:
                    await self._respond(asked, writer)
                finally:
                    self._at_once -= 1
        except (BrokenError, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _respond(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        self.asked.append(asked)
        await asyncio.sleep(self.delay)
        fault = self._fault(asked)
        status, headers, body = 200, {}, b""
        try:
            await _misbehave(fault, writer, self.retry_after)
            self._check(asked)
            answer = _spoilt(fault, self._answer(asked))
            if fault.startswith("echo-"):
                answer["choices"][0] |= _echo(fault, asked.headers["authorization"].removeprefix("Bearer "))
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        except RefusedError as refused:
            status, headers, body = refused.status, refused.headers, json.dumps(refused.body).encode()
        if fault == "notjson":
            body = body[:-1] + b",,"
        await _write(writer, status, headers, body, fault)

    def _fault(self, asked: Asked) -> str:
        if not asked.body:
            return self.script.pop(0) if self.script and self.script[0].startswith("get-") else ""
        if self.script and not self.script[0].startswith("get-"):
            return self.script.pop(0)
        text = _prompt_of(asked.body)
        if not (mark := MARK.search(text)):
            return ""
        self._seen[text] += 1
        name, times = mark.group(1), mark.group(2)
        return name if times is None or self._seen[text] <= int(times) else ""

    def _check(self, asked: Asked) -> None:
        told = asked.headers.get("authorization", "").removeprefix("Bearer ")
        is_late = self.key_lasts is not None and len(self.asked) > self.key_lasts
        if self.key is not None and (told != self.key or is_late):
            shown = f"{told[:10]}{'*' * 12}{told[-4:]}"
            raise RefusedError(
                401, f"Incorrect API key provided: {shown}, or {told}.", code="invalid_api_key"
            )
        for name in self.refuses:
            if name in asked.body:
                raise RefusedError(
                    400, f"Unsupported parameter: '{name}'", param=name, code="unsupported_parameter"
                )
        if asked.body and asked.body["model"] != MODEL:
            raise RefusedError(404, f"The model {asked.body['model']} does not exist", code="model_not_found")
        if self.redirects_to and asked.body:
            raise RefusedError(self.redirects_by, "", headers={"location": self.redirects_to})
        if len(_prompt_of(asked.body)) > CONTEXT:
            raise RefusedError(400, f"maximum context length is {CONTEXT}", code="context_length_exceeded")

    def _answer(self, asked: Asked) -> Any:
        body = asked.body
        match asked.path:
            case "/v1/models" if self.lists_models:
                owner = "vllm" if self.vllm else "parrots"
                return {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": owner}]}
            case "/version" if self.vllm:
                return {"version": "0.32.0"}
            case "/tokenize" if self.vllm:
                return {"tokens": list(_rendered(body).encode())}
            case "/v1/chat/completions" | "/v1/completions":
                return self._write_text(asked)
            case "/v1/embeddings" | "/v1/images/generations":
                return self._embed(body) if "embeddings" in asked.path else self._draw(body)
            case "/picture.png":
                return _picture("by url")
        raise RefusedError(404, "Not Found")

    def _write_text(self, asked: Asked) -> dict[str, Any]:
        body, is_chat = asked.body, asked.path.endswith("chat/completions")
        entries = body.get("top_logprobs", 0) if is_chat else body.get("logprobs") or 0
        if max(entries, body.get("prompt_logprobs", 0)) > LIMIT:
            said = f"Requested sample logprobs of {entries}, which is greater than {LIMIT}"
            raise RefusedError(400, said, param="logprobs" if self.vllm else None)
        limit = body.get("max_completion_tokens", body.get("max_tokens", 16))
        prompt = _prompt_of(body)
        choices = []
        for index in range(body.get("n", 1)):
            whole = f"heard {zlib.crc32(prompt.encode())}: {prompt[:20]}"
            if body.get("temperature"):
                whole += f" {body.get('seed')}/{index}"
            text = whole.encode()[:limit].decode(errors="ignore")
            told = self._told(text, body, is_chat) if entries or body.get("logprobs") else None
            content = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
            reason = "stop" if text == whole else "length"
            choices.append({"index": index, "finish_reason": reason, "logprobs": told} | content)
            if self.vllm and body.get("return_token_ids"):
                choices[-1]["token_ids"] = list(text.encode())
        found = {"id": "x", "object": "chat.completion", "model": MODEL, "choices": choices[::-1]}
        if self.vllm:
            self._add_vllm(found, asked, is_chat)
        return found | {"usage": {"prompt_tokens": len(prompt), "completion_tokens": 7 * len(choices)}}

    def _add_vllm(self, found: dict[str, Any], asked: Asked, is_chat: bool) -> None:
        found["id"] = f"chatcmpl-{asked.headers.get('x-request-id')}"
        ids = asked.body.get("prompt")
        if not isinstance(ids, list):
            ids = list(_rendered(asked.body).encode())
        told = found if is_chat else found["choices"][0]
        if asked.body.get("return_token_ids"):
            told["prompt_token_ids"] = ids
        if (k := asked.body.get("prompt_logprobs")) is not None:
            # The token itself is the second most probable, and told first, as vLLM does.
            told["prompt_logprobs"] = [None, *(_vllm_entries(i, k) for i in ids[1:])]

    def _told(self, text: str, body: dict[str, Any], is_chat: bool) -> dict[str, Any]:
        as_ids = self.vllm and body.get("return_tokens_as_token_ids")

        def spelt(i: int) -> dict[str, Any]:
            token = f"token_id:{i}" if as_ids else bytes([i]).decode(errors="replace")
            return {"token": token, "bytes": None if as_ids else [i]}

        data = text.encode()
        k = body.get("top_logprobs", 0) if is_chat else body["logprobs"]
        if is_chat:
            tops = [[spelt(i) | {"logprob": p} for i, p in _entries(byte, k)] for byte in data]
            return {
                "content": [
                    spelt(byte) | {"logprob": math.log(0.5), "top_logprobs": top}
                    for byte, top in zip(data, tops, strict=True)
                ]
            }
        return {
            "tokens": [spelt(byte)["token"] for byte in data],
            "token_logprobs": [math.log(0.5)] * len(data),
            "top_logprobs": [{spelt(i)["token"]: p for i, p in _entries(byte, k)} for byte in data],
        }

    def _embed(self, body: dict[str, Any]) -> dict[str, Any]:
        texts = body.get("input") or [_rendered(body)]
        if not all(texts):
            raise RefusedError(400, "input cannot be empty", param="input")
        if too_long := [text for text in texts if len(text) > CONTEXT]:
            raise RefusedError(400, f"an input has {len(too_long[0])} characters")
        data = [
            {
                "index": index,
                "embedding": [zlib.crc32(f"{text}{i}".encode()) / 2**32 for i in range(self.width)],
            }
            for index, text in enumerate(texts)
        ]
        return {"data": data[::-1], "usage": {"prompt_tokens": sum(map(len, texts)), "total_tokens": 0}}

    def _draw(self, body: dict[str, Any]) -> dict[str, Any]:
        if "by url" in body["prompt"]:
            return {"data": [{"url": f"http://127.0.0.1:{self.port}/picture.png"}]}
        if "by far url" in body["prompt"]:
            return {"data": [{"url": "http://10.255.255.1/picture.png"}]}
        data = base64.b64encode(_picture(body["prompt"])).decode()
        return {"data": [{"b64_json": data}], "usage": {"input_tokens": 5, "output_tokens": 100}}


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
    data = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(head[0].split()[1], json.loads(data) if data else {}, headers)


async def _write(
    writer: asyncio.StreamWriter, status: int, headers: dict[str, str], body: bytes, fault: str
) -> None:
    date = format_datetime(datetime.now(UTC), usegmt=True)
    told = {"content-type": "application/json", "content-length": str(len(body)), "date": date} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode())
    if fault == "half":
        writer.write(body[: len(body) // 2])
        await writer.drain()
        raise BrokenError
    if fault == "slow":
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)
    writer.write(body)
    await writer.drain()


async def _misbehave(fault: str, writer: asyncio.StreamWriter, retry_after: str) -> None:
    """Faults that come before any answer."""
    statuses = {"500": 500, "502": 502, "503": 503, "529": 529, "get-503": 503}
    if fault in statuses:
        raise RefusedError(statuses[fault], "the service is tired")
    if fault == "429":
        raise RefusedError(429, "slow down", headers={"retry-after": retry_after})
    if fault == "quota":
        raise RefusedError(429, "You exceeded your current quota", code="insufficient_quota")
    if fault == "402":
        raise RefusedError(402, "Insufficient balance")
    if fault == "403":
        raise RefusedError(403, "your country is not served")
    if fault == "filter":
        raise RefusedError(400, "the content management policy filtered this", code="content_filter")
    if fault == "reset":
        raise BrokenError
    if fault == "hang":
        await asyncio.sleep(3600)


def _spoilt(fault: str, answer: Any) -> Any:
    """Faults of an answer that is whole."""
    choice = answer.get("choices", [{}])[0] if isinstance(answer, dict) else {}
    changes: dict[str, Callable[[], Any]] = {
        "alias": lambda: answer | {"model": "macaw"},
        "big": lambda: answer | {"padding": "x" * 300_000},
        "float-usage": lambda: answer | {"usage": {"prompt_tokens": 11.0, "completion_tokens": 2.0}},
        "odd-usage": lambda: answer | {"usage": {"prompt_tokens": "11", "completion_tokens": 2**31}},
        "few": lambda: answer | {"choices": answer["choices"][:-1] or answer["choices"]},
        "none": lambda: answer | {"choices": []},
        "many": lambda: answer | {"choices": answer["choices"] * 2},
        "list": lambda: [answer],
        "html": lambda: b"<html>down for maintenance</html>",
        "text": lambda: answer | {"choices": [choice | {"message": {"content": 7}}]},
        "surrogate": lambda: json.dumps(answer).replace("heard", "\\ud800").encode(),
        "nan": lambda: _with_logprob(answer, math.nan),
        "positive": lambda: _with_logprob(answer, 0.5),
        "nologprobs": lambda: answer | {"choices": [choice | {"logprobs": None}]},
        "refusal": lambda: answer | {"choices": [choice | {"message": {"refusal": "I would rather not."}}]},
        "filtered": lambda: answer | {"choices": [choice | {"finish_reason": "content_filter"}]},
        "error200": lambda: {"error": {"message": "upstream is away", "code": 502}},
        "other": lambda: answer | _of_another_request(answer),
    }
    return changes[fault]() if fault in changes else answer


def _echo(fault: str, key: str) -> dict[str, Any]:
    return {
        "echo-reason": {"finish_reason": f"stop {key}"},
        "echo-refusal": {"message": {"refusal": f"no, {key}"}},
        "echo-text": {"message": {"content": f"it is {key}."}},
    }[fault]


def _of_another_request(answer: Any) -> Any:
    if "data" in answer:
        return {"data": [item | {"index": item["index"] + 1} for item in answer["data"]]}
    return {"id": "chatcmpl-armada-" + "0" * 32}


def _with_logprob(answer: Any, logprob: float) -> Any:
    answer["choices"][0]["logprobs"]["content"][0]["logprob"] = logprob
    return answer


def _prompt_of(body: dict[str, Any]) -> str:
    if "messages" in body:
        content = body["messages"][-1]["content"]
        return content if isinstance(content, str) else content[-1]["text"]
    prompt = body.get("prompt", body.get("input", ""))
    if isinstance(prompt, list):
        return bytes(prompt).decode() if prompt and isinstance(prompt[0], int) else "".join(prompt)
    return prompt


def _rendered(body: dict[str, Any]) -> str:
    """A chat template, as simple as can be; a picture is three characters."""
    if "messages" not in body:
        return body["prompt"]
    turns = []
    for turn in body["messages"]:
        content = turn["content"]
        if not isinstance(content, str):
            content = "".join("(i)" if part["type"] == "image_url" else part["text"] for part in content)
        turns.append(f"[{turn['role']}]{content}")
    return "".join(turns) if body.get("continue_final_message") else "".join(turns) + "[assistant]"


def _entries(byte: int, k: int) -> list[tuple[int, float]]:
    return [((byte + step) % 256, math.log(0.5) * (step + 1)) for step in range(k)]


def _vllm_entries(token: int, k: int) -> dict[str, dict[str, Any]]:
    entries = [((token + step - 1) % 256, math.log(0.5) * (step + 1), step + 1) for step in range(max(k, 2))]
    entries.sort(key=lambda entry: entry[0] != token)
    return {
        str(i): {"logprob": p, "rank": rank, "decoded_token": "?"}
        for i, p, rank in entries
        if i == token or rank <= k
    }


def _picture(text: str) -> bytes:
    from PIL import Image

    if "<<nopicture>>" in text:
        return b"this is no picture"
    written = io.BytesIO()
    colour = zlib.crc32(text.encode())
    Image.new("RGB", (24, 24), (colour & 255, colour >> 8 & 255, colour >> 16 & 255)).save(written, "PNG")
    return written.getvalue()

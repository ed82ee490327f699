"""Output of OpenAI's batch service, and of vLLM's `run_batch`: JSON lines, one a request.

    {"id": "batch_req_1", "custom_id": "a", "response": {"status_code": 200, "request_id": "", "body": {...}},
     "error": null}

`body` is what the endpoint answers: `choices`, each with `message.content` (or `text`, of the older
endpoint), `finish_reason` and, where they were asked for, `logprobs.content`: for each token `token`,
`logprob`, `bytes` and `top_logprobs`. Lines come in any order, and hold no prompts: those are in the input
file, by `custom_id`.

Tokens are texts there. As vLLM does where it is asked (`return_tokens_as_token_ids`), an export writes
`token_id:ID`, which needs no tokenizer to be read; texts are looked up in the tokenizer's vocabulary by
their bytes. A log-probability below -9999 is written as that, as the service does.

Source: openai 3.54.0 (PyPI): types/chat/chat_completion.py, types/chat/chat_completion_token_logprob.py;
platform.openai.com/docs/guides/batch; vLLM, entrypoints/openai/run_batch.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from schemas.answer import Answer, Usage, joined_reasons, reasons_of
from schemas.errors import SourceError
from schemas.manifest import CacheManifest
from schemas.rows import Row
from schemas.topk import tail_of
from teacher_cache.interchange.foreign import ForeignRow, check_ids, check_logprobs, checked_top
from teacher_cache.interchange.keys import key_of
from teacher_cache.interchange.lines import read_objects
from teacher_cache.interchange.source import ExportSource, check_answered
from teacher_cache.interchange.told_tokens import TokenIds, told_tokens
from teacher_cache.interchange.vocabulary import Vocabulary

_LOWEST = -9999.0


class OpenAIBatchExporter:
    """Writes rows as the batch service answers."""

    def __init__(self, source: ExportSource) -> None:
        self._source = source
        self._manifest: CacheManifest = source.cache.manifest

    def record(self, row: Row) -> dict[str, Any]:
        """A line.

        Raises:
            LeftOut: it has no text.
        """
        check_answered(row, ("text",))
        key = f"{key_of(row.example.id):016x}"
        response = {"status_code": 200, "request_id": f"req_{key}", "body": self._body(row, key)}
        return {
            "id": f"batch_req_{key}",
            "custom_id": row.example.id,
            "response": response,
            "error": None,
        }

    def files(self, splits: list[str]) -> dict[str, str]:
        """Nothing: each file says all."""
        del splits
        return {}

    def _body(self, row: Row, key: str) -> dict[str, Any]:
        answer = row.answer
        assert answer is not None
        logprobs, texts = self._logprobs(row), answer.texts or ()
        reasons = reasons_of(answer.finish_reason, len(texts))
        body: dict[str, Any] = {
            "id": f"chatcmpl-{key}",
            "object": "chat.completion",
            # No clock is in a cache.
            "created": 0,
            "model": self._manifest.teacher.name,
            "choices": [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": text, "refusal": None},
                    "logprobs": logprobs if index == 0 else None,
                    "finish_reason": reason or "stop",
                }
                for index, (text, reason) in enumerate(zip(texts, reasons, strict=True))
            ],
        }
        if answer.usage is not None:
            sent, written = answer.usage.prompt_tokens, answer.usage.completion_tokens
            body["usage"] = {
                "prompt_tokens": sent,
                "completion_tokens": written,
                "total_tokens": sent + written,
            }
        return body

    def _logprobs(self, row: Row) -> dict[str, Any] | None:
        answer = row.answer
        if answer is None or answer.token_ids is None or answer.token_logprobs is None or not answer.topk_ids:
            return None
        top = self._source.top_of(row)
        ends_T = np.cumsum(top.counts)[:-1].astype(np.int64)
        entries = zip(np.split(top.ids, ends_T), np.split(top.logprobs, ends_T), strict=True)
        told = zip(answer.token_ids.tolist(), answer.token_logprobs.tolist(), entries, strict=True)
        content = [
            _entry(i, value)
            | {"top_logprobs": [_entry(*pair) for pair in zip(ids.tolist(), values.tolist(), strict=True)]}
            for i, value, (ids, values) in told
        ]
        return {"content": content, "refusal": None}


def _entry(token_id: int, logprob: float) -> dict[str, Any]:
    return {"token": f"token_id:{token_id}", "logprob": max(logprob, _LOWEST), "bytes": None}


def read_openai_batch(path: Path, vocabulary: Vocabulary | None) -> Iterator[ForeignRow]:
    """Lines of one file.

    Raises:
        SourceError: it cannot be read, or a line is not as it should be.
    """
    token_ids = TokenIds(vocabulary)
    for place, line in read_objects(path):
        yield _foreign(place, line, token_ids)


def _foreign(place: str, line: dict[str, Any], token_ids: TokenIds) -> ForeignRow:
    identifier = line.get("custom_id")
    if not isinstance(identifier, str) or not identifier:
        raise SourceError(
            f"{place}: no custom_id, so nothing says what was asked; give the output file of a batch"
        )
    if reason := _failure(place, line):
        return ForeignRow(place=place, id=identifier, answer=Answer(error=reason))
    try:
        return _answered(place, identifier, line["response"]["body"], token_ids)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise SourceError(
            f"{place}: its body is none of chat or text completions ({type(error).__name__}: {error}); "
            "give the output of such a batch"
        ) from None


def _failure(place: str, line: dict[str, Any]) -> str | None:
    """What the service says went wrong."""
    response, error = line.get("response"), line.get("error")
    status = response.get("status_code", 200) if isinstance(response, dict) else None
    if error:
        return f"the service failed: {str(error)[:200]}"
    if status is None:
        raise SourceError(
            f"{place}: no response and no error; give the output file of a batch "
            "(the input file goes to --prompts)"
        )
    return None if status == 200 else f"the service answered {status}: {str(response)[:200]}"


def _answered(place: str, identifier: str, body: dict[str, Any], token_ids: TokenIds) -> ForeignRow:
    choices = sorted(body["choices"], key=lambda choice: choice.get("index", 0))
    texts = tuple(_text(choice) for choice in choices)
    usage = body.get("usage")
    model = body.get("model")
    answer = Answer(
        texts=tuple(text for text in texts if text is not None),
        usage=Usage(int(usage["prompt_tokens"]), int(usage.get("completion_tokens") or 0)) if usage else None,
        finish_reason=joined_reasons([choice.get("finish_reason") for choice in choices]),
    )
    if None in texts:
        said = f"no text (finish_reason {answer.finish_reason})"
        return ForeignRow(place=place, id=identifier, answer=Answer(usage=answer.usage, error=said))
    told = told_tokens(place, choices[0].get("logprobs"), token_ids)
    if told is None:
        return ForeignRow(place=place, id=identifier, answer=answer, model=model)
    top = checked_top(place, told.ids, told.logprobs, told.counts, token_ids.size)
    scored = replace(
        answer,
        token_ids=check_ids(place, told.token_ids, token_ids.size),
        token_logprobs=check_logprobs(place, told.token_logprobs).astype(np.float32),
    )
    return ForeignRow(place=place, id=identifier, answer=scored, top=top, tail=tail_of(top), model=model)


def _text(choice: dict[str, Any]) -> str | None:
    return choice["message"]["content"] if "message" in choice else choice["text"]

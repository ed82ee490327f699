"""Batch lines: what they ask, and parameters that this run does not ask with."""

from collections.abc import Callable
from typing import Any

import pytest

from schemas.errors import SourceError
from schemas.example import Media
from teacher_cache.readers.reading import Reading

Read = Callable[..., Reading]
NAME = "batch.jsonl"
ASK = [{"role": "user", "content": "2 + 2?"}]


def line(custom_id: str = "a", **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


@pytest.mark.parametrize(
    "body",
    [{"messages": ASK}, {"prompt": "2 + 2?"}, {"input": "2 + 2?"}, {"input": ["2 + 2?"]}, {"input": ASK}],
)
def test_what_a_line_asks(read: Read, body: dict[str, Any]) -> None:
    (example,) = read(NAME, line(**body)).examples

    assert (example.id, example.prompt, example.messages) == ("a", "2 + 2?", ())
    assert (example.task, example.split) == ("free", "train")


def test_a_picture_is_sent_with_it(read: Read) -> None:
    content = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]
    (example,) = read(NAME, line(messages=[{"role": "user", "content": content}])).examples

    assert (example.prompt, example.media) == ("What?", (Media("https://x/y.png", ""),))


def test_who_is_asked_and_what_is_kept_gives_way_with_a_notice(read: Read) -> None:
    body = {
        "messages": ASK,
        "model": "gpt-9",
        "logprobs": True,
        "top_logprobs": 5,
        "user": "me",
        "stop": None,
    }

    assert read(NAME, line(**body), line("b", **body)).notices == (
        "model gpt-9 of the batch lines gives way to --model",
        "logprobs True of the batch lines gives way to --store",
        "top_logprobs 5 of the batch lines gives way to --top-k",
    )


def test_parameters_that_are_those_of_the_run_are_welcome(read: Read) -> None:
    body = {"messages": ASK, "max_tokens": 64, "temperature": 0.5, "n": 2, "seed": 7}
    ours = {"max_tokens": 64, "sampling_temperature": 0.5, "num_samples": 2, "generation_seed": 7}

    assert read(NAME, line(**body), **ours).notices == ()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"max_tokens": 64}, r"max_tokens 64, --max-tokens is not given; make them equal, or take it out"),
        ({"max_completion_tokens": 9}, r"max_completion_tokens 9, --max-tokens is not given"),
        ({"temperature": 0.7}, r"temperature 0.7, --sampling-temperature is 1.0; make them equal"),
        ({"n": True}, r"n True, --num-samples is 1; make them equal"),
        ({"tools": []}, r"the body has tools, which this run cannot ask for; take it out"),
        ({"response_format": {"type": "json_object"}}, r"the body has response_format"),
    ],
)
def test_other_parameters_are_refused(read: Read, body: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=r"batch.jsonl, line 2: " + message):
        read(
            NAME, line(messages=ASK), line("b", messages=ASK, **body), sampling_temperature=1.0, num_samples=1
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (line("b"), r"the body has none of them; give one of messages, prompt, input"),
        (line("b", prompt="x", messages=ASK), r"the body has messages and prompt; give one"),
        (line("b", prompt=[1, 2]), r"neither a text nor messages; ask one text a line"),
        (line("b", input=["x", "y"]), r"neither a text nor messages"),
        (line("b", messages=[{"role": "robot", "content": "x"}]), r"messages.0.role: Input should be"),
        (
            line("b", messages=[*ASK, {"role": "assistant", "content": "4"}]),
            r"a message of the assistant stands",
        ),
        (
            '{"custom_id": "b", "custom_id": "c"}',
            r"Invalid JSON: the key 'custom_id' stands twice in one object",
        ),
        (line("b", messages=[{"role": "tool", "content": "4"}]), r"messages.0: tool calls are not supported"),
        (line("b\n", prompt="x"), r"the example_id 'b\\n' has a control character"),
        (line("b", prompt="x\0"), r"a NUL character, which no text has"),
        (line("a", messages=ASK), r"example_id a stands in line 1 too"),
        ({"custom_id": "b"}, r"body: Field required"),
        ({"body": {"messages": ASK}}, r"custom_id: Field required"),
        (line("b", messages=ASK) | {"method": "GET"}, r"method: Input should be 'POST'"),
        (line("b", messages=ASK) | {"more": 1}, r"more: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_line_is_named(read: Read, wrong: object, message: str) -> None:
    with pytest.raises(SourceError, match=r"batch.jsonl, line 2: " + message) as raised:
        read(NAME, line(messages=ASK), wrong)
    assert "\n" not in str(raised.value)

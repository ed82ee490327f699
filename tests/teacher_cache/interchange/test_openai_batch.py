"""The output of a batch: as the service writes it, joined with its input; ours as openai's types read it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def _chat(identifier: str, text: str, logprobs: Any = None) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": logprobs,
        "finish_reason": "stop",
    }
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-x",
        "choices": [choice],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }
    response = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": "batch_req_1", "custom_id": identifier, "response": response, "error": None}


def _token(text: str, logprob: float, **top: float) -> dict[str, Any]:
    def entry(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return entry(text, logprob) | {"top_logprobs": [entry(name, value) for name, value in top.items()]}


@pytest.fixture
def batch(tmp_path: Path) -> Callable[..., tuple[object, ...]]:
    """Write a batch's input and output; the arguments that import them."""

    def write(asked: list[str], lines: list[dict[str, Any]]) -> tuple[object, ...]:
        inputs = [
            {
                "custom_id": name,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {
                    "model": "gpt-x",
                    "messages": [{"role": "user", "content": f"ask {name}"}],
                    "top_p": 0.9,
                    "temperature": 0.3,
                    "logprobs": True,
                },
            }
            for name in asked
        ]
        for name, rows in (("in.jsonl", inputs), ("out.jsonl", lines)):
            (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return (
            "import", tmp_path / "out.jsonl", "--format", "openai-batch", "--prompts", tmp_path / "in.jsonl",
            "--out", tmp_path / "c",
        )  # fmt: skip

    return write


def test_lines_are_joined_with_the_batchs_input_whatever_their_order(
    batch: Callable[..., Any], say: Callable[..., Any], cached: Callable[[Path], Any], tmp_path: Path
) -> None:
    failed = {
        "id": "1",
        "custom_id": "b",
        "response": {"status_code": 429, "body": {}},
        "error": None,
    }
    code, _, err = say(*batch(["a", "b", "c", "d"], [_chat("c", "see"), failed, _chat("a", "ay")]))

    assert code == 0, err
    assert "4 rows, 2 of them errors" in err
    manifest, rows = cached(tmp_path / "c")
    assert {name: row.prompt for name, row in rows.items()} == {name: f"ask {name}" for name in "cbad"}
    assert [rows[name].answer.texts for name in "ac"] == [("ay",), ("see",)]
    assert rows["a"].answer.usage.prompt_tokens == 7
    assert "429" in rows["b"].answer.error
    assert rows["d"].answer.error == "out.jsonl has no row for it"
    assert manifest.teacher.options["models"] == ["gpt-x"]


def test_tokens_told_as_texts_are_found_by_their_bytes(
    *,
    batch: Callable[..., Any],
    say: Callable[..., Any],
    model: Path,
    cached: Callable[[Path], Any],
    entries: Callable[..., Any],
    tmp_path: Path,
) -> None:
    from transformers import AutoTokenizer

    a, b = AutoTokenizer.from_pretrained(model)("ab")["input_ids"]
    content = [_token("a", -0.5, a=-0.5, b=-2.0), _token("b", -0.25, b=-0.25)]
    line = _chat("x", "ab", {"content": content, "refusal": None})
    code, _, err = say(*batch(["x"], [line]), "--tokenizer", model, "--codec", "exact")

    assert code == 0, err
    manifest, rows = cached(tmp_path / "c")
    answer = rows["x"].answer
    assert answer.token_ids.tolist() == [a, b]
    assert entries(manifest, rows["x"]) == {(0, a): -0.5, (0, b): -2.0, (1, b): -0.25}
    np.testing.assert_allclose(
        np.exp(answer.tail_logprob), 1 - np.exp([-0.5, -0.25]) - [np.exp(-2), 0], atol=1e-6
    )


def test_the_older_endpoint(
    batch: Callable[..., Any],
    say: Callable[..., Any],
    model: Path,
    cached: Callable[[Path], Any],
    tmp_path: Path,
) -> None:
    line = _chat("x", "")
    told = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5}], "text_offset": [0]}
    line["response"]["body"]["choices"] = [
        {"index": 0, "text": "a", "finish_reason": "length", "logprobs": told}
    ]

    code, _, err = say(*batch(["x"], [line]), "--tokenizer", model)
    assert code == 0, err
    answer = cached(tmp_path / "c")[1]["x"].answer
    assert (answer.texts, answer.finish_reason) == (("a",), "length")
    np.testing.assert_allclose(answer.token_logprobs, [-0.5])


def _broken(**changes: Any) -> dict[str, Any]:
    return _chat("a", "x") | changes


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([_chat("a", "x"), _chat("a", "y")], "line 2: the id a stands in {path}, line 1 too"),
        ([_chat("z", "x")], "line 1: the id z is not in "),
        ([_broken(custom_id=None)], "line 1: no custom_id"),
        ([_broken(response=None)], "line 1: no response and no error"),
        (
            [_broken(response={"status_code": 200, "body": {"output": []}})],
            "line 1: its body is none of chat",
        ),
        (
            [_chat("a", "x", {"content": [_token("a", -0.5, a=-0.5)]})],
            "line 1: it has log-probabilities, whose tokens need a vocabulary",
        ),
    ],
)
def test_bad_lines(
    lines: list[dict[str, Any]],
    told: str,
    batch: Callable[..., Any],
    refused: Callable[..., str],
    tmp_path: Path,
) -> None:
    line = refused(*batch(["a"], lines))

    assert told.format(path=tmp_path / "out.jsonl") in line
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (_token("zz", -0.5, a=-0.5), "line 1: the token 'zz' is not in the tokenizer"),
        (_token("a", -0.5), "line 1: token 0 has no top_logprobs"),
        (_token("a", float("nan"), a=-0.5), "line 1: a log-probability of nan"),
        (_token("a", -0.5, a=0.5), "line 1: a log-probability of 0.5"),
        (_token("token_id:900", -0.5, a=-0.5), "line 1: token id 900 is outside the vocabulary of 259"),
    ],
)
def test_bad_tokens(
    token: dict[str, Any], told: str, batch: Callable[..., Any], refused: Callable[..., str], model: Path
) -> None:
    arguments = batch(["a"], [_chat("a", "x", {"content": [token]})])

    assert told in refused(*arguments, "--tokenizer", model)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (
            ("choices", 0, "message", "content"),
            [{"type": "text"}],
            "line 1: its answer is [{'type': 'text'}], a text",
        ),
        (
            ("choices", 0, "message", "content"),
            "a\ud800b",
            "line 1: its answer holds half of a surrogate pair",
        ),
        (("choices", 0, "finish_reason"), 7, "line 1: its finish_reason is 7, a text is wanted"),
        (("choices", 0, "logprobs"), [1], "its first row is not as openai-batch has it"),
        (("model",), ["x"], "line 1: its model is ['x'], a text is wanted"),
        (("usage", "prompt_tokens"), 10**30, "line 1: 1000000000000000000000000000000 tokens charged"),
        (("usage", "prompt_tokens"), -5, "line 1: -5 tokens charged"),
    ],
)
def test_fields_of_another_kind(  # noqa: PLR0917 - fixtures and parameters
    place: tuple[str | int, ...],
    value: Any,
    told: str,
    batch: Callable[..., Any],
    refused: Callable[..., str],
    model: Path,
) -> None:
    line = _chat("a", "x")
    field: Any = line["response"]["body"]
    for step in place[:-1]:
        field = field[step]
    field[place[-1]] = value

    assert told in refused(*batch(["a"], [line]), "--tokenizer", model)


def test_a_cut_file_and_one_without_prompts(
    batch: Callable[..., Any], refused: Callable[..., str], tmp_path: Path
) -> None:
    arguments = batch(["a"], [_chat("a", "x")])
    path = tmp_path / "out.jsonl"
    path.write_bytes(path.read_bytes()[:-20])

    assert "line 1: no JSON" in refused(*arguments)
    without = [one for index, one in enumerate(arguments) if index not in (4, 5)]
    assert "give its input file with --prompts" in refused(*without, status=2)


def test_what_is_written_is_what_openais_own_types_read(
    ask: Callable[..., Path], exported: Callable[..., Path], cached: Callable[[Path], Any]
) -> None:
    chat = pytest.importorskip("openai.types.chat", reason="the extra openai is not installed")
    cache = ask()
    _, rows = cached(cache)
    for text in (exported(cache, "openai-batch") / "train.jsonl").read_text().splitlines():
        line = json.loads(text)
        read = chat.ChatCompletion.model_validate(line["response"]["body"])
        answer = rows[line["custom_id"]].answer
        assert read.choices[0].message.content == answer.texts[0]
        told = read.choices[0].logprobs.content
        assert [one.token for one in told] == [f"token_id:{i}" for i in answer.token_ids]
        assert read.usage.completion_tokens == answer.usage.completion_tokens

"""What a service may not do: show the key in rows, send prompts elsewhere, fill the memory, bill unseen."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from schemas.answer import Answer, Usage
from schemas.errors import TeacherError
from schemas.example import Example
from teacher_cache.teachers.openai_service import options
from teacher_cache.teachers.openai_service.service import OpenAITeacher
from teacher_cache.teachers.teacher import Generation, Service, TeacherSettings
from tests.teacher_cache.service import FaultyService

KEY = "sk-proj-AbCdEf0123456789xyz"


@pytest.fixture
def service() -> Iterator[Any]:
    with FaultyService(key=KEY) as service:
        yield service


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teacher_cache.teachers.openai_service.pace.FIRST_WAIT", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(url: str, *prompts: str, **more: Any) -> list[Answer]:
    reached = Service(base_url=url, max_retries=2, timeout=5)
    settings = TeacherSettings(name="parrot", store=("text",), concurrency=4, service=reached)

    async def answers() -> list[Answer]:
        async with OpenAITeacher(replace(settings, **more)) as teacher:
            rows = [Example(id=p, task="free", split="train", fields={}, prompt=p) for p in prompts]
            return list(await teacher.answer(rows))

    return asyncio.run(answers())


def test_no_row_holds_the_key_whatever_a_service_echoes(service: Any) -> None:
    reason, refused, text = ask(service.url, "<<echo-reason>>", "<<echo-refusal>>", "<<echo-text>>")

    assert reason.finish_reason == "stop [key]"
    assert refused.error == "the service refused to answer: no, [key]"
    assert text.texts == ("it is ***.",)


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_is_not_followed_and_named(service: Any, status: int) -> None:
    with FaultyService() as other:
        service.redirects_to, service.redirects_by = f"{other.url}/chat/completions", status
        with pytest.raises(TeacherError) as raised:
            ask(service.url, "a")

        assert str(raised.value) == (
            f"127.0.0.1 redirects to {other.url}/chat/completions; give that as --base-url if you trust it"
        )
        assert not other.asked


@pytest.mark.parametrize(
    ("fault", "usage"),
    [
        ("other", Usage(3 * len("<<other>>"), 21)),
        ("none", Usage(3 * len("<<none>>"), 21)),
        ("float-usage", Usage(11, 2)),
        ("odd-usage", None),
    ],
)
def test_the_usage_of_a_row_is_that_of_all_its_answers(service: Any, fault: str, usage: Usage | None) -> None:
    (answer,) = ask(service.url, f"<<{fault}>>")

    assert answer.usage == usage


def test_missing_samples_are_billed_beside_the_others(service: Any) -> None:
    (answer,) = ask(service.url, "a <<few>>", generation=Generation(temperature=1, num_samples=3))

    assert answer.usage == Usage(2 * len("a <<few>>"), 7 * 4)


def test_embeddings_that_were_given_up_are_billed(service: Any) -> None:
    answers = ask(service.url, "a <<other>>", "b", store=("repr",), options={"dimensions": "8"})

    assert all(answer.error for answer in answers)
    assert sum(answer.usage.prompt_tokens for answer in answers if answer.usage) == 3 * len("a <<other>>b")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://127.0.0.1:9"])
def test_this_machine_is_asked_without_a_proxy(
    service: Any, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    assert ask(service.url, "a")[0].error is None


def test_a_proxy_that_cannot_be_used_is_named_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://me:hunter22@127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(TeacherError, match=r"^ALL_PROXY names a proxy that cannot be used; give") as raised:
        ask("http://models.example/v1", "a")
    assert "hunter22" not in str(raised.value)


def test_certificates_that_are_not_there_are_named(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")

    with pytest.raises(TeacherError, match=r"^SSL_CERT_FILE=/nonexistent: no certificates can be read"):
        ask(service.url, "a")


def test_an_endless_answer_is_an_error_row(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "_MOST_BYTES", 100_000)
    big, sound = ask(service.url, "<<big>>", "a")

    assert big.error == "the answer has more than 100000 bytes, all that was asked for has less"
    assert sound.error is None


def test_another_model_that_answers_is_told_once(service: Any, capsys: pytest.CaptureFixture[str]) -> None:
    answers = ask(service.url, "a <<alias>>", "b <<alias>>")

    assert not any(answer.error for answer in answers)
    assert capsys.readouterr().err == "--model openai:parrot: 127.0.0.1 answers as macaw\n"

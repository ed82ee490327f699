"""Texts and log-probabilities of a service: what is sent, what is kept, what becomes an error row."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.answer import Answer, Usage
from schemas.codec import CODECS
from schemas.errors import TeacherError
from schemas.example import Example, Media, Message
from teacher_cache.media import MediaSource
from teacher_cache.teachers.openai_service.service import OpenAITeacher
from teacher_cache.teachers.teacher import Entries, Generation, Service, TeacherSettings
from tests.teacher_cache.service import FaultyService

Ask = Callable[..., Sequence[Answer]]


@pytest.fixture
def service() -> Iterator[Any]:
    with FaultyService() as service:
        yield service


@pytest.fixture
def vllm() -> Iterator[Any]:
    with FaultyService(vllm=True) as service:
        yield service


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teacher_cache.teachers.openai_service.pace.FIRST_WAIT", 0.001)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def example(prompt: str, name: str = "", **more: Any) -> Example:
    return Example(id=name or prompt, task="free", split="train", fields={}, prompt=prompt, **more)


def settings_of(service: Any, **more: Any) -> TeacherSettings:
    reached = Service(base_url=service.url, max_retries=2, timeout=2)
    return replace(TeacherSettings(name="parrot", store=("text",), concurrency=8, service=reached), **more)


def ask(settings: TeacherSettings, *examples: Example | str) -> Sequence[Answer]:
    rows = [example(given) if isinstance(given, str) else given for given in examples]

    async def answers() -> Sequence[Answer]:
        async with OpenAITeacher(settings) as teacher:
            return await teacher.answer(rows)

    return asyncio.run(answers())


def test_a_prompt_is_sent_and_its_text_and_cost_are_kept(service: Any) -> None:
    (answer,) = ask(settings_of(service), "Is it good?")

    assert answer.texts is not None
    assert answer.texts[0].endswith(": Is it good?")
    assert (answer.usage, answer.finish_reason) == (Usage(11, 7), "stop")
    assert service.questions == [
        {
            "model": "parrot",
            "temperature": 0.0,
            "max_tokens": 256,
            "messages": [{"role": "user", "content": "Is it good?"}],
        }
    ]


def test_a_conversation_keeps_its_turns_and_its_own_system(service: Any) -> None:
    turns = (Message("user", "Hi."), Message("assistant", "Yes?"), Message("user", "Go."))
    own = (Message("system", "Be long."), Message("user", "Go."))
    settings = settings_of(service, generation=Generation(system="Be short."))

    ask(settings, example("x", messages=turns))
    ask(settings, example("x", messages=own))
    first, second = ([turn["content"] for turn in asked["messages"]] for asked in service.questions)
    assert first == ["Be short.", "Hi.", "Yes?", "Go."]
    assert second == ["Be long.", "Go."]


def test_pictures_are_sent_as_they_are_and_a_missing_one_is_an_error_row(
    service: Any, tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "a.gif")
    data = (tmp_path / "a.gif").read_bytes()
    here = Media("a.gif", hashlib.sha256(data).hexdigest())
    settings = settings_of(service, media=MediaSource(tmp_path))

    seen, gone = ask(
        settings, example("What?", media=(here,)), example("And?", media=(Media("b.png", "0" * 64),))
    )
    assert seen.error is None
    assert gone.error == "b.png is not there"
    image, text = service.questions[0]["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/gif;base64,R0lGOD")
    assert text == {"type": "text", "text": "What?"}


def test_samples_differ_and_come_back_the_same_whatever_else_is_asked(service: Any) -> None:
    settings = settings_of(service, generation=Generation(temperature=1, num_samples=3, seed=5))

    alone = ask(settings, "A?")[0].texts
    beside = ask(settings, "B?", "A?")[1].texts
    other = ask(settings_of(service, generation=Generation(temperature=1, num_samples=3, seed=6)), "A?")
    assert alone is not None
    assert len(set(alone)) == 3
    assert alone == beside
    assert other[0].texts != alone


def test_choices_that_are_missing_are_asked_for_again_with_another_seed(service: Any) -> None:
    settings = settings_of(service, generation=Generation(temperature=1, num_samples=3))

    (answer,) = ask(settings, "A? <<few>>")
    assert answer.texts is not None
    assert len(set(answer.texts)) == 3
    assert [asked.get("n", 1) for asked in service.questions] == [3, 1]
    assert len({asked["seed"] for asked in service.questions}) == 2
    assert answer.usage == Usage(20, 7 * 4)


@pytest.mark.parametrize(
    ("refused", "generation", "said"),
    [
        ("max_tokens", Generation(max_tokens=9), ""),
        ("seed", Generation(temperature=1), "takes no seed: its samples cannot be drawn again"),
        ("n", Generation(temperature=1, num_samples=2), "takes no n: samples are asked for one by one"),
    ],
)
def test_what_a_service_does_not_know_is_learnt_once(
    service: Any, refused: str, generation: Generation, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service.refuses = (refused,)

    async def one_then_many() -> Sequence[Answer]:
        async with OpenAITeacher(settings_of(service, generation=generation)) as teacher:
            first = await teacher.answer([example("A?")])
            return [*first, *await teacher.answer([example(str(row)) for row in range(5)])]

    answers = asyncio.run(one_then_many())
    assert [len(answer.texts or ()) for answer in answers] == [generation.num_samples] * 6
    assert sum(refused in asked for asked in service.questions) == 1
    assert capsys.readouterr().err == (f"the service {said}\n" if said else "")


def test_what_no_row_can_do_without_ends_the_run(service: Any) -> None:
    service.refuses = ("temperature",)

    with pytest.raises(TeacherError, match=r"refuses temperature=0.0 .*; change --sampling-temperature"):
        ask(settings_of(service), "A?")


TRANSIENT = {
    "500": "500: the service is tired",
    "503": "503: the service is tired",
    "529": "529: the service is tired",
    "reset": "RemoteProtocolError: Server disconnected without sending a response.",
    "half": "RemoteProtocolError: peer closed connection",
    "notjson": "the answer is no JSON (",
    "html": "the answer is no JSON (Expecting value",
    "list": "the answer is a JSON list, no object",
    "none": "0 choices in the answer, 1 asked for",
    "many": "2 choices in the answer, 1 asked for",
    "text": "an answer of another shape (AttributeError",
    "surrogate": "an answer of another shape (UnicodeEncodeError",
    "other": "an answer to another request",
    "error200": "502: upstream is away",
}


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_fault_that_passes_is_asked_again_and_one_that_stays_is_an_error_row(
    service: Any, fault: str
) -> None:
    mended, broken, sound = ask(
        settings_of(service), f"a <<{fault}*2>>", f"b <<{fault}>>", "How are you, service?"
    )

    assert mended.error is None
    assert mended.texts is not None
    assert broken.error is not None
    assert broken.error.startswith(f"given up after 3 tries, the last: {TRANSIENT[fault]}")
    assert broken.texts is None
    assert sound.error is None
    assert len(service.questions) == 3 + 3 + 1


def test_a_limit_is_waited_for_longer_than_a_fault(service: Any) -> None:
    mended, broken = ask(settings_of(service), "a <<429*12>>", "b <<429>>")

    assert mended.error is None
    # Each is an eighth of one of the two retries.
    assert broken.error == "given up after 17 tries, the last: 429: slow down"
    assert len(service.questions) == 13 + 17


@pytest.mark.parametrize(
    ("fault", "said"), [("hang", "nothing came for 0.6 s"), ("slow", "the answer was not whole after 1.2 s")]
)
def test_a_service_that_is_silent_or_never_ends_is_given_up(service: Any, fault: str, said: str) -> None:
    reached = Service(base_url=service.url, max_retries=1, timeout=0.6)
    settings = replace(settings_of(service), service=reached)

    mended, broken = ask(settings, f"a <<{fault}*1>>", f"b <<{fault}>>")
    assert mended.error is None
    assert broken.error == f"given up after 2 tries, the last: {said}"


@pytest.mark.parametrize(
    ("prompt", "error", "usage"),
    [
        ("x" * 5000, "the service refused the row (400: maximum context length is 4000)", None),
        (
            "<<filter>>",
            "the service refused the row (400: the content management policy filtered this)",
            None,
        ),
        ("<<refusal>>", "the service refused to answer: I would rather not.", Usage(11, 7)),
        ("<<filtered>>", "the service's content filter kept the answer back", Usage(12, 7)),
    ],
)
def test_what_concerns_one_row_is_its_error_at_once_beside_what_it_cost(
    service: Any, prompt: str, error: str, usage: Usage | None
) -> None:
    (answer,) = ask(settings_of(service), prompt)

    assert (answer.error, answer.usage) == (error, usage)
    assert len(service.questions) == 1


def test_answers_that_cannot_be_used_are_paid_too(service: Any) -> None:
    (answer,) = ask(settings_of(service), "a <<none*2>>")

    assert answer.usage == Usage(3 * len("a <<none*2>>"), 7 * 3)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("quota", "wants to be paid (429: You exceeded your current quota)"),
        ("402", "wants to be paid (402: Insufficient balance)"),
        ("403", "refused the key in OPENAI_API_KEY (403: your country is not served)"),
    ],
)
def test_what_concerns_all_rows_ends_the_run_and_nothing_else_is_asked(
    service: Any, fault: str, said: str
) -> None:
    with pytest.raises(TeacherError) as raised:
        ask(settings_of(service), f"<<{fault}>>", *["wait <<hang>>"] * 5)

    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(service.questions) <= 6


def test_the_older_endpoint_goes_on_with_a_text(service: Any) -> None:
    settings = settings_of(service, options={"endpoint": "completions"})

    written, refused = ask(settings, "Once upon", example("x", messages=(Message("user", "Hi."),)))
    assert written.texts is not None
    assert written.texts[0].endswith(": Once upon")
    assert refused.error == "this endpoint takes no conversation; give --option endpoint=chat"
    assert service.asked[1].path == "/v1/completions"


def test_a_service_without_log_probabilities_is_refused_at_once(service: Any, tokenizer: Path) -> None:
    service.script = ["nologprobs"]
    settings = settings_of(
        service, store=("logprobs",), entries=Entries(top_k=3), options={"tokenizer": str(tokenizer)}
    )

    with pytest.raises(TeacherError, match=r"gives no log-probabilities .*: its answer has none; give a"):
        ask(settings, "a")
    assert len(service.questions) == 1


def test_a_text_of_no_tokens_is_kept(vllm: Any) -> None:
    options = {"vocab-size": "256"}
    settings = settings_of(
        vllm,
        store=("text", "logprobs"),
        entries=Entries(top_k=3),
        options=options,
        generation=Generation(max_tokens=0),
    )

    (answer,) = ask(settings, "a")
    assert answer.error is None
    assert answer.texts == ("",)
    assert answer.token_ids is not None
    assert len(answer.token_ids) == 0


def test_a_long_pause_is_told_once_and_holds_all(
    service: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teacher_cache.teachers.openai_service.pace._NOTICED", 1.0)
    service.retry_after = "1.2"

    answers = ask(settings_of(service), *(f"{row} <<429*1>>" for row in range(6)))
    assert not any(answer.error for answer in answers)
    told = "127.0.0.1 asks to be left alone for 1 s (429: slow down)\n"
    assert capsys.readouterr().err == told


def test_extra_fields_reach_the_service(service: Any) -> None:
    options = {"extra-body": json.dumps({"top_k": 4}), "reasoning-effort": "low"}
    ask(settings_of(service, options=options), "A?")

    assert service.questions[0].items() >= {"top_k": 4, "reasoning_effort": "low"}.items()


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of bytes, whose ids are the bytes' values, and one word."""
    from tokenizers import Tokenizer, decoders, models

    from teacher_cache.teachers.openai_service.vocabulary import _byte_alphabet

    alphabet = {letter: data[0] for letter, data in _byte_alphabet().items()}
    tokenizer = Tokenizer(models.BPE(alphabet, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<end>"])
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def decoded(answer: Answer, codec: str = "exact", vocab_size: int = 257) -> Any:
    assert answer.error is None
    assert answer.topk_ids is not None
    assert answer.topk_logprobs is not None
    return CODECS[codec].decode(answer.topk_ids, answer.topk_logprobs, vocab_size)


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize("dialect", ["service", "vllm"])
def test_tokens_have_their_entries(
    dialect: str, endpoint: str, tokenizer: Path, request: pytest.FixtureRequest
) -> None:
    settings = settings_of(
        request.getfixturevalue(dialect),
        store=("text", "logprobs"),
        entries=Entries(codec="exact", top_k=3),
        options={"tokenizer": str(tokenizer), "endpoint": endpoint},
    )

    (answer,) = ask(settings, "Bold?")
    top = decoded(answer)
    assert answer.texts is not None
    assert answer.token_ids is not None
    assert answer.tail_logprob is not None
    assert bytes(answer.token_ids.tolist()).decode() == answer.texts[0]
    assert top.counts.tolist() == [3] * len(answer.token_ids)
    assert top.ids[:3].tolist() == [ord("h"), ord("i"), ord("j")]
    np.testing.assert_allclose(np.exp(top.logprobs[:3]), [0.5, 0.25, 0.125], rtol=1e-6)
    np.testing.assert_allclose(np.exp(answer.tail_logprob), 0.125, rtol=1e-5)


def test_entries_end_where_the_mass_is_reached(vllm: Any) -> None:
    entries = Entries(codec="exact", top_k=5, top_p=0.75, min_k=1)
    settings = settings_of(vllm, store=("logprobs",), entries=entries, options={"vocab-size": "256"})

    (answer,) = ask(settings, "Bold?")
    assert set(decoded(answer, vocab_size=256).counts.tolist()) == {2}
    assert answer.texts is None


def test_a_sampled_token_takes_no_place_of_an_entry_at_vllm(vllm: Any) -> None:
    settings = settings_of(
        vllm,
        store=("logprobs",),
        entries=Entries(codec="exact", top_k=3),
        generation=Generation(temperature=1),
        options={"vocab-size": "256"},
    )

    (answer,) = ask(settings, "Bold?")
    assert vllm.questions[-1]["top_logprobs"] == 4
    assert set(decoded(answer, vocab_size=256).counts.tolist()) == {3}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("nan", "a log-probability of nan"),
        ("positive", "a log-probability of 0.5"),
        ("nologprobs", "no log-probabilities in the answer"),
    ],
)
def test_log_probabilities_that_are_none_are_asked_for_again(
    service: Any, tokenizer: Path, fault: str, said: str
) -> None:
    options = {"tokenizer": str(tokenizer)}
    settings = settings_of(service, store=("logprobs",), entries=Entries(top_k=3), options=options)

    mended, broken = ask(settings, f"a <<{fault}*2>>", f"b <<{fault}>>")
    assert mended.error is None
    assert broken.error == f"given up after 3 tries, the last: {said}"


def test_a_token_that_the_tokenizer_does_not_have_is_an_error_row(service: Any, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models

    tokenizer = Tokenizer(models.BPE({chr(byte): byte for byte in range(ord("!"), 127)}, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    options = {"tokenizer": str(tmp_path / "tokenizer.json")}
    settings = settings_of(service, store=("logprobs",), entries=Entries(top_k=1), options=options)

    (answer,) = ask(settings, "a")
    assert answer.error is not None
    assert answer.error.startswith("the token ' ' is not in the tokenizer of --option tokenizer")
    assert answer.usage is not None


@pytest.mark.parametrize("dialect", ["service", "vllm"])
def test_more_entries_than_the_service_gives_are_refused_at_once(
    dialect: str, tokenizer: Path, request: pytest.FixtureRequest
) -> None:
    service = request.getfixturevalue(dialect)
    options = {"tokenizer": str(tokenizer)}
    settings = settings_of(service, store=("logprobs",), entries=Entries(top_k=21), options=options)

    with pytest.raises(TeacherError, match=r"logprobs of 21, which is greater than 20\).* --top-k"):
        ask(settings, "a", "b")
    assert len(service.questions) == 1


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_a_given_answer_is_scored_and_nothing_else(vllm: Any, endpoint: str) -> None:
    settings = settings_of(
        vllm,
        store=("logprobs",),
        entries=Entries(codec="exact", top_k=1, given_answers=True),
        options={
            "vocab-size": "256",
            "endpoint": endpoint,
            "extra-body": '{"chat_template_kwargs": {"a": 1}}',
        },
    )

    answer, without = ask(settings, example("Q?", answer_to_score="Yes"), example("Q?"))
    assert answer.token_ids is not None
    assert bytes(answer.token_ids.tolist()) == b"Yes"
    assert answer.token_logprobs is not None
    np.testing.assert_allclose(np.exp(answer.token_logprobs), 0.25, rtol=1e-6)
    # The tokens themselves are second here, so the one entry that is kept is another.
    assert decoded(answer, vocab_size=256).ids.tolist() == [byte - 1 for byte in b"Yes"]
    assert without.error == "there is no answer to score"
    assert all(asked["chat_template_kwargs"] == {"a": 1} for asked in vllm.questions)
    sent = vllm.questions[-1] if "echo" in vllm.questions[-1] else vllm.questions[-2]
    rendered = b"[user]Q?[assistant]Yes" if endpoint == "chat" else b"Q?Yes"
    assert bytes(sent["prompt"]) == rendered


def test_a_given_answer_to_a_picture_is_scored(vllm: Any, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    here = Media("a.png", hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest())
    settings = settings_of(
        vllm,
        store=("logprobs",),
        entries=Entries(codec="exact", top_k=2, given_answers=True),
        options={"vocab-size": "256"},
        media=MediaSource(tmp_path),
    )

    (answer,) = ask(settings, example("Q?", answer_to_score="No", media=(here,)))
    assert answer.error is None
    assert answer.token_ids is not None
    assert bytes(answer.token_ids.tolist()) == b"No"
    assert decoded(answer, vocab_size=256).counts.tolist() == [2, 2]


def test_given_answers_are_scored_by_vllm_alone(service: Any, tokenizer: Path) -> None:
    settings = settings_of(
        service,
        store=("logprobs",),
        entries=Entries(given_answers=True, top_k=3),
        options={"tokenizer": str(tokenizer)},
    )

    with pytest.raises(TeacherError, match=r"^--score: 127.0.0.1 is no vLLM server"):
        ask(settings, example("Q?", answer_to_score="Yes"))
    assert not service.questions

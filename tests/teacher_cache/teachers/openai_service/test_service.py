"""Before the first row of a service: what is refused, who answers, which key is used and never shown."""

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ArmadaError, ConfigError, TeacherError
from schemas.example import Example
from teacher_cache.teachers.openai_service.address import Address, Key
from teacher_cache.teachers.openai_service.service import OpenAITeacher
from teacher_cache.teachers.openai_service.vocabulary import Vocabulary
from teacher_cache.teachers.teacher import Entries, Generation, Service, TeacherSettings
from tests.teacher_cache.service import FaultyService

KEY = "sk-proj-AbCdEf0123456789xyz"


@pytest.fixture
def service() -> Iterator[Any]:
    with FaultyService() as service:
        yield service


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teacher_cache.teachers.openai_service.pace.FIRST_WAIT", 0.001)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def settings_of(url: str | None, **more: Any) -> TeacherSettings:
    reached = Service(base_url=url, max_retries=2, timeout=2)
    return replace(TeacherSettings(name="parrot", store=("text",), concurrency=4, service=reached), **more)


def enter(settings: TeacherSettings, *prompts: str) -> Any:
    async def entered() -> Any:
        async with OpenAITeacher(settings) as teacher:
            return await teacher.answer(
                [Example(id=p, task="free", split="train", fields={}, prompt=p) for p in prompts]
            )

    return asyncio.run(entered())


def refusal(settings: TeacherSettings, *prompts: str) -> str:
    with pytest.raises(ArmadaError) as raised:
        enter(settings, *prompts)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_wrong_model_is_refused_with_those_that_there_are(service: Any) -> None:
    said = refusal(settings_of(service.url, name="ara"), "a")

    assert said == "--model openai:ara: 127.0.0.1 has no such model; it has parrot"
    assert not service.questions


def test_a_wrong_model_of_a_service_without_a_list_is_refused_at_its_first_row(service: Any) -> None:
    service.lists_models = False
    said = refusal(settings_of(service.url, name="ara"), *"abcd")

    assert "404: The model ara does not exist" in said
    assert len(service.questions) <= 4
    assert enter(settings_of(service.url), "a")[0].error is None


def test_a_dead_service_is_one_line_at_once(service: Any) -> None:
    with FaultyService() as gone:
        url = gone.url
    said = refusal(settings_of(url, service=Service(base_url=url, max_retries=10_000)), "a")

    assert said.startswith(f"no service answers at {url} (ConnectError: ")


def test_a_service_that_wakes_up_late_is_waited_for(service: Any) -> None:
    service.script = ["get-503", "get-503"]

    assert enter(settings_of(service.url), "a")[0].error is None


def test_a_page_is_no_service(service: Any) -> None:
    said = refusal(settings_of(service.url.removesuffix("/v1") + "/picture.png"), "a")

    assert said.startswith("127.0.0.1 does not have what was asked for (404: Not Found)")


def test_a_missing_key_is_named_unless_the_server_is_this_machine(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = Service(base_url="https://models.example/v1", api_key_env="MODELS_KEY")
    said = refusal(settings_of(None, service=reached), "a")
    monkeypatch.setenv("MODELS_KEY", "two words")
    odd = refusal(settings_of(None, service=reached), "a")

    assert said.startswith(
        "models.example needs a key, the environment has none in MODELS_KEY; set MODELS_KEY"
    )
    assert odd == "the key in MODELS_KEY holds a blank or a character that no key has; set it again"
    assert enter(settings_of(service.url), "a")[0].error is None
    assert service.asked[-1].headers["authorization"] == "Bearer none"


def test_a_refused_key_ends_the_run_and_is_not_shown(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service.key = "another"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    said = refusal(settings_of(service.url), "a")

    assert said == (
        "127.0.0.1 refused the key in OPENAI_API_KEY (401: Incorrect API key provided: [key], or [key]); "
        "set a valid one, then run the same command"
    )
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"bad key {KEY}.", "bad key [key]"),
        (f"bad key {KEY[:9]}... there", "bad key [key] there"),
        ("bad key sk-pr*****9xyz, sir", "bad key [key], sir"),
        (f"{KEY}{KEY} \n{KEY[3:12]}", "[key] \n[key]"),
        ("nothing of a key", "nothing of a key"),
        ("bad key sk-...9xyz, sir", "bad key [key], sir"),
        ("bad key sk-p…, sir... and more", "bad key [key], sir... and more"),
        (f"bad {base64.b64encode(KEY.encode()).decode()}, sir", "bad [key] sir"),
        (f"Basic {base64.b64encode(f':{KEY}'.encode()).decode()} is bad", "Basic [key] is bad"),
    ],
)
def test_a_key_and_its_parts_are_taken_out(text: str, left: str) -> None:
    assert Key("K", KEY).scrub(text) == left


def test_a_short_word_as_a_key_leaves_other_words_alone() -> None:
    assert Key("K", "token").scrub("max_tokens: a token") == "max_tokens: a [key]"
    assert Key("K", "").scrub("nothing") == "nothing"


@pytest.mark.parametrize(
    ("url", "name", "root"),
    [
        ("http://localhost:8000/v1/", "local", "http://localhost:8000"),
        ("http://127.0.0.5:1/v1", "local", "http://127.0.0.5:1"),
        ("http://[::1]:80/v1", "local", "http://[::1]:80"),
        ("https://api.example.com:444/openai/v1", "api.example.com", "https://api.example.com:444/openai"),
        (None, "api.openai.com", "https://api.openai.com"),
    ],
)
def test_an_address_is_known_by_its_host_alone(url: str | None, name: str, root: str) -> None:
    address = Address.parse(url)

    assert (address.name, address.root) == (name, root)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "ftp://a/v1",
        "http:///v1",
        "http://a b/v1",
        "http://[::1/v1",
        "https://me:hunter22@a.example/v1",
        "https://me@a.example/v1",
        "https://a.example/v1?key=hunter22",
    ],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--base-url") as raised:
        Address.parse(url)
    assert "hunter22" not in str(raised.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"name": ""}, "--model openai: no model is named"),
        ({"options": {"endpoint": "talk"}}, "--option endpoint: Input should be 'chat', 'completions'"),
        ({"options": {"wings": "2"}}, "--option wings: the backend openai has no such option; it has: "),
        ({"store": ("text", "repr")}, "--store text,repr: the endpoint chat gives text, logprobs, not repr"),
        ({"store": ("repr",)}, "give --option dimensions=N"),
        ({"store": ("repr",), "options": {"endpoint": "images"}}, "give --option image-encoder=DIR"),
        ({"options": {"dimensions": "4"}}, "--option dimensions: the endpoint is chat, it goes with "),
        ({"store": ("logprobs",)}, "--store logprobs: the size of the vocabulary must be known"),
        ({"store": ("logprobs",), "entries": Entries(codec="sampled")}, "--codec sampled draws from"),
        (
            {"options": {"endpoint": "completions"}, "generation": Generation(system="Be.")},
            "--system: the endpoint completions has no conversations",
        ),
        ({"options": {"extra-body": "[1]"}}, "--option extra_body: Input should be"),
        ({"options": {"extra-body": '{"n": 2}'}}, "--option extra-body: n has an option of its own"),
        ({"options": {"extra-body": '{"a": [{"api_key": 1}]}'}}, "extra-body: api_key looks like a secret"),
        ({"options": {"extra-body": json.dumps({"user": KEY})}}, "--option extra-body holds the key"),
        (
            {"store": ("logprobs",), "options": {"vocab-size": "100"}, "service": Service()},
            "--top-k 50: api.openai.com gives 1 to 20 entries a token",
        ),
        (
            {"store": ("logprobs",), "options": {"tokenizer": "no/where.json"}},
            "--option tokenizer: no/where.json cannot be read",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_a_service_is_asked(
    more: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(ConfigError) as raised:
        OpenAITeacher(settings_of("http://localhost:1/v1", **more))

    assert message in str(raised.value)
    assert KEY not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_identity_holds_what_changes_answers_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    options = {"extra-body": '{"top_k": 4, "stop_token_ids": [1]}', "reasoning-effort": "low"}
    here = OpenAITeacher(settings_of("http://localhost:8000/v1", options=options)).identity
    moved = OpenAITeacher(settings_of("http://127.0.0.1:9/v1", options=options, concurrency=9)).identity
    other = OpenAITeacher(settings_of("https://models.example/v1", options=options)).identity

    assert here == moved
    assert here.options == {
        "service": "local",
        "endpoint": "chat",
        "reasoning_effort": "low",
        "extra_body": '{"stop_token_ids": [1], "top_k": 4}',
    }
    assert other.options["service"] == "models.example"
    assert KEY not in here.model_dump_json()


def test_a_real_tokenizer_knows_its_tokens_by_their_bytes(fetched: Path) -> None:
    from tokenizers import Tokenizer

    from teacher_cache.teachers.openai_service.options import OpenAIOptions

    folder = fetched / "models" / "smollm2-135m-instruct"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    vocabulary = Vocabulary.read(OpenAIOptions(tokenizer=folder))
    assert vocabulary is not None

    assert vocabulary.size == 49152
    for text in ("A warm, funny film — for all!", "naïve 日本 🎬 x"):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        offsets = tokenizer.encode(text, add_special_tokens=False).tokens
        spelt = {i: data for data, i in vocabulary.ids.items()}
        assert b"".join(spelt[i] for i in ids).decode() == text
        assert [vocabulary.id_of("?", list(spelt[i])) for i in ids] == ids
        assert len(offsets) == len(ids)
    assert vocabulary.id_of("<|im_end|>") == tokenizer.token_to_id("<|im_end|>")


def test_a_tokenizer_of_pieces_knows_words_before_bytes(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models

    from teacher_cache.teachers.openai_service.options import OpenAIOptions

    pieces = {"<unk>": 0, "<0x41>": 1, "<0x0A>": 2, "A": 3, "\u2581film": 4}
    tokenizer = Tokenizer(models.BPE(pieces, merges=[], unk_token="<unk>", byte_fallback=True))
    replaced = decoders.Replace("\u2581", " ")
    tokenizer.decoder = decoders.Sequence([replaced, decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    vocabulary = Vocabulary.read(OpenAIOptions(tokenizer=tmp_path / "tokenizer.json"))
    assert vocabulary is not None

    found = [vocabulary.id_of("A"), vocabulary.id_of("\n", [10]), vocabulary.id_of(" film")]
    assert found == [3, 2, 4]
    assert vocabulary.id_of("bytes:\\x41") == 3


def test_a_tokenizer_whose_texts_tell_no_ids_is_refused(fetched: Path) -> None:
    from teacher_cache.teachers.openai_service.options import OpenAIOptions

    with pytest.raises(ConfigError, match=r"is neither byte-level nor of pieces"):
        Vocabulary.read(OpenAIOptions(tokenizer=fetched / "models" / "minilm"))


def test_a_key_that_is_refused_midway_ends_the_run(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service.key, service.key_lasts = KEY, 3
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    async def one_by_one() -> None:
        async with OpenAITeacher(settings_of(service.url)) as teacher:
            for prompt in "abcdef":
                await teacher.answer(
                    [Example(id=prompt, task="free", split="train", fields={}, prompt=prompt)]
                )

    with pytest.raises(TeacherError, match=r"refused the key in OPENAI_API_KEY \(401: "):
        asyncio.run(one_by_one())
    assert len(service.questions) == 3

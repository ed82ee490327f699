"""What every teacher owes the loop; a new backend is one more row here."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.answer import Answer
from schemas.example import Example, Media
from schemas.manifest import CacheManifest, Request
from schemas.rows import Row, encode
from schemas.shard import arrow_schema
from teacher_cache.media import MediaSource
from teacher_cache.teachers import BACKENDS, Teacher, TeacherSettings, find_backend
from teacher_cache.teachers.teacher import Entries, Generation, Service
from tests.teacher_cache.service import FaultyService
from tests.tiny_pipelines import write_stable_diffusion, write_text_to_video
from tests.tiny_speech import write_pair
from tests.tiny_vision import png_of, write_resnet

TEXTS = (
    "A warm and funny film.",
    "It bored me.",
    "I would not see it twice, nor once.",
    "Two hours of my life!",
)


@dataclass(frozen=True, slots=True)
class Contract:
    """One backend under contract.

    Attributes:
        model: as `--model` has it; `{models}` is the folder of `make data`, `{made}` what `write` made.
        bad: a prompt that it must fail on; None where it is asked nothing.
        store: signals that are asked for.
        tolerance: relative, of representations that are asked in another batch. 0 where rows are answered
            alone; a matrix product over a whole batch rounds its sums in another order.
        write: makes a tiny model on the spot.
        marks: of its tests.
        options: as `--option` has them.
        served: whether a service must be there to be asked.
        base_url: of that service.
        sees: whether it is asked about a picture instead of the text; the bad prompt's is none.
    """

    model: str
    bad: str | None
    store: tuple[str, ...]
    tolerance: float = 0.0
    write: Callable[[Path], object] | None = None
    options: dict[str, str] = field(default_factory=dict)
    marks: tuple[pytest.MarkDecorator, ...] = ()
    served: bool = False
    base_url: str | None = None
    sees: bool = False


TEACHERS = {
    "none": Contract("none", None, ()),
    "speech": Contract("speech:hibari+{models}/whisper-tiny.en", "!" * 5000, ("repr",)),
    "transformers": Contract(
        "transformers:{models}/smollm2-135m-instruct",
        "word " * 9000,  # of a context of 8,192 tokens
        ("text", "logprobs", "repr"),
        tolerance=2**-9,  # two steps of float16
    ),
    "transformers, pictures": Contract(
        "transformers:{made}", "bad", ("repr",), write=write_resnet, sees=True
    ),
    "vllm": Contract(
        "vllm:{models}/smollm2-135m-instruct",
        "word " * 9000,
        ("text", "logprobs", "repr"),
        tolerance=2**-9,
        options={"kv-cache-gb": "1"},
        # vLLM and what it stands on warn of their own.
        marks=(pytest.mark.vllm, pytest.mark.filterwarnings("ignore")),
    ),
    "openai": Contract(
        "openai:parrot", "x" * 5000, ("text", "logprobs"), options={"vocab-size": "256"}, served=True
    ),
    "openai, embeddings": Contract(
        "openai:parrot",
        "x" * 5000,
        ("repr",),
        options={"endpoint": "embeddings", "dimensions": "8"},
        served=True,
    ),
    "speech, SpeechT5 and Wav2Vec2": Contract(
        "speech:{made}/tiny-t5+{made}/tiny-w2v",
        "long " * 100,  # of 64 letters
        ("repr",),
        write=write_pair,
    ),
    "diffusers, pictures": Contract(
        "diffusers:{made}",
        " ",
        ("repr",),
        tolerance=2**-6,  # guidance and twenty steps make the last bits of float32 larger
        write=write_stable_diffusion,
    ),
    "diffusers, videos": Contract(
        "diffusers:{made}",
        " ",
        ("repr",),
        tolerance=2**-6,
        write=write_text_to_video,
        options={"num-frames": "4", "steps": "5", "frames": "all", "project": "100"},
    ),
}
GENERATION = Generation(max_tokens=6)
BYTES = {text: png_of(text) for text in TEXTS} | {"bad": b"no picture"}
DIGESTS = {text: hashlib.sha256(data).hexdigest() for text, data in BYTES.items()}
PICTURES = {text: Media(f"inline/{digest}.png", digest) for text, digest in DIGESTS.items()}
MEDIA = MediaSource(inline={DIGESTS[text]: data for text, data in BYTES.items()})


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=row.marks) for name, row in TEACHERS.items()]
)
def taught(
    request: pytest.FixtureRequest, fetched: Path, tmp_path_factory: pytest.TempPathFactory, base_url: str
) -> dict[str, Any]:
    """Everything that is asked of one teacher, in one sitting, since loading it takes seconds."""
    contract = TEACHERS[request.param]
    made = tmp_path_factory.mktemp("made") / "tiny"
    if contract.write is not None:
        contract.write(made)
    contract = replace(contract, model=contract.model.format(models=fetched / "models", made=made))
    if contract.served:
        contract = replace(contract, base_url=base_url)
    teacher = make(contract, contract.store)
    found: dict[str, Any] = {"identity": teacher.identity, "contract": contract}

    rows = examples(TEXTS, pictures=contract.sees)

    async def ask() -> None:
        async with teacher:
            found["together"] = await teacher.answer(rows)
            found["alone"] = [(await teacher.answer([row]))[0] for row in rows]
            found["at once"] = await asyncio.gather(*(teacher.answer([row]) for row in rows[::-1]))
            found["nothing"] = await teacher.answer([])
            if contract.bad is not None:
                bad = examples((TEXTS[0], contract.bad, TEXTS[1]), pictures=contract.sees)
                found["with a bad one"] = await teacher.answer(bad)

    asyncio.run(ask())
    return found


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with FaultyService(vllm=True) as service:
        yield service.url


def make(contract: Contract, store: tuple[str, ...], num_workers: int = 1) -> Teacher:
    backend, _, name = find_backend(contract.model)
    return backend.make(
        TeacherSettings(
            name=name,
            store=store,
            num_workers=num_workers,
            generation=GENERATION,
            options=contract.options,
            media=MEDIA,
            service=Service(base_url=contract.base_url),
            entries=Entries(top_k=20),
        )
    )


def examples(texts: tuple[str, ...], *, pictures: bool = False) -> list[Example]:
    """Rows whose ids follow from their texts, as a teacher's noise can follow from the id."""
    return [
        Example(
            id=f"row of {text[:30]}",
            task="free",
            split="train",
            fields={"text": text},
            prompt=text,
            media=(PICTURES[text],) if pictures else (),
        )
        for text in texts
    ]


def same(one: Answer, other: Answer, tolerance: float) -> bool:
    return (
        close(one.repr, other.repr, tolerance)
        and close(one.token_ids, other.token_ids, 0)
        and close(one.token_logprobs, other.token_logprobs, tolerance)
        and (one.texts, one.usage, one.finish_reason, one.error)
        == (other.texts, other.usage, other.finish_reason, other.error)
    )


def close(one: NDArray[Any] | None, other: NDArray[Any] | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    if not tolerance:
        return np.array_equal(one, other)
    return one.shape == other.shape and np.allclose(one, other, rtol=tolerance, atol=tolerance)


def test_answers_stand_in_the_order_of_the_examples(taught: dict[str, Any]) -> None:
    tolerance = taught["contract"].tolerance
    assert len(taught["together"]) == len(TEXTS)
    assert all(same(*pair, tolerance) for pair in zip(taught["together"], taught["alone"], strict=True))


def test_an_answer_does_not_depend_on_when_it_was_asked(taught: dict[str, Any]) -> None:
    """Each row is alone in its call both times, so it is the same bit for bit."""
    alone = zip(taught["at once"][::-1], taught["alone"], strict=True)
    assert all(same(one, other, 0) for (one,), other in alone)


def test_no_examples_have_no_answers(taught: dict[str, Any]) -> None:
    assert list(taught["nothing"]) == []


def test_a_failing_example_is_a_value_and_its_neighbours_are_answered(taught: dict[str, Any]) -> None:
    contract = taught["contract"]
    if contract.bad is None:
        pytest.skip("it is asked nothing, so nothing fails")
    first, bad, last = taught["with a bad one"]
    assert bad.error
    assert bad.repr is None
    assert "\n" not in bad.error
    assert same(first, taught["alone"][0], contract.tolerance)
    assert same(last, taught["alone"][1], contract.tolerance)


def test_answers_are_what_the_identity_promises(taught: dict[str, Any]) -> None:
    identity = taught["identity"]
    request = Request(task="free", source="x", splits={"train": 4}, prompts_digest="", rows_per_shard=4)
    schema = arrow_schema(CacheManifest(teacher=identity, request=request))
    rows = [Row(e, e.prompt or "", a) for e, a in zip(examples(TEXTS), taught["together"], strict=True)]

    stored = encode(rows, schema).column("teacher_repr")
    assert stored.null_count == (0 if identity.repr_dim else len(TEXTS))
    for answer in taught["together"]:
        if answer.repr is not None:
            assert answer.repr.dtype == np.dtype(identity.repr_dtype)
            assert np.isfinite(answer.repr).all()
            assert answer.repr.astype(np.float64).std() > 0


def test_the_identity_is_known_before_anything_is_loaded_and_does_not_change(taught: dict[str, Any]) -> None:
    again = make(taught["contract"], store=(), num_workers=3)

    assert again.identity == taught["identity"]


def test_every_backend_is_under_contract() -> None:
    assert {contract.model.partition(":")[0] for contract in TEACHERS.values()} == set(BACKENDS)


def test_a_missing_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from schemas.errors import TeacherError

    absent: Callable[[str], None] = lambda _name: None  # noqa: E731
    monkeypatch.setattr("teacher_cache.teachers.find_spec", absent)
    with pytest.raises(
        TeacherError, match=r'hibari is not installed; run: pip install "armada-distill\[speech\]"'
    ):
        find_backend("speech:hibari+whisper-tiny.en")

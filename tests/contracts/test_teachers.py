"""What every teacher owes the loop; a new backend is one more row here."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.answer import Answer
from schemas.example import Example
from schemas.manifest import CacheManifest, Request
from schemas.rows import Row, encode
from schemas.shard import arrow_schema
from teacher_cache.teachers import BACKENDS, Teacher, TeacherSettings, find_backend

TEXTS = (
    "A warm and funny film.",
    "It bored me.",
    "I would not see it twice, nor once.",
    "Two hours of my life!",
)
# Backend, then a name for it (below the folder that `make data` fills), then what it must fail on.
TEACHERS = {"none": ("none", None), "speech": ("speech:hibari+{models}/whisper-tiny.en", "!" * 5000)}


@pytest.fixture(scope="module", params=TEACHERS)
def taught(request: pytest.FixtureRequest, fetched: Path) -> dict[str, Any]:
    """Everything that is asked of one teacher, in one sitting, since loading it takes seconds."""
    model, bad = TEACHERS[request.param]
    backend, _, name = find_backend(model.format(models=fetched / "models"))
    teacher = backend.make(TeacherSettings(name=name, store=backend.default_signals, num_workers=1))
    found: dict[str, Any] = {"identity": teacher.identity, "bad": bad}

    async def ask() -> None:
        async with teacher:
            found["together"] = await teacher.answer(examples(TEXTS))
            found["alone"] = [(await teacher.answer([example]))[0] for example in examples(TEXTS)]
            found["at once"] = await asyncio.gather(*(teacher.answer([e]) for e in examples(TEXTS[::-1])))
            found["nothing"] = await teacher.answer([])
            if bad is not None:
                found["with a bad one"] = await teacher.answer(examples((TEXTS[0], bad, TEXTS[1])))

    asyncio.run(ask())
    return found


def examples(texts: tuple[str, ...]) -> list[Example]:
    return [
        Example(id=f"row-{i}", task="free", split="train", fields={"text": text}, prompt=text)
        for i, text in enumerate(texts)
    ]


def same(one: Answer, other: Answer) -> bool:
    equal = np.array_equal(one.repr, other.repr) if one.repr is not None else other.repr is None
    return equal and (one.texts, one.error, one.finish_reason) == (
        other.texts,
        other.error,
        other.finish_reason,
    )


def test_answers_stand_in_the_order_of_the_examples(taught: dict[str, Any]) -> None:
    assert len(taught["together"]) == len(TEXTS)
    assert all(map(same, taught["together"], taught["alone"]))


def test_an_answer_does_not_depend_on_its_neighbours_or_on_when_it_was_asked(taught: dict[str, Any]) -> None:
    assert all(
        same(one, other) for (one,), other in zip(taught["at once"][::-1], taught["alone"], strict=True)
    )


def test_no_examples_have_no_answers(taught: dict[str, Any]) -> None:
    assert list(taught["nothing"]) == []


def test_a_failing_example_is_a_value_and_its_neighbours_are_answered(taught: dict[str, Any]) -> None:
    if taught["bad"] is None:
        pytest.skip("it is asked nothing, so nothing fails")
    first, bad, last = taught["with a bad one"]
    assert bad.error
    assert bad.repr is None
    assert "\n" not in bad.error
    assert same(first, taught["alone"][0])
    assert same(last, taught["alone"][1])


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
            assert answer.repr.std() > 0


def test_the_identity_is_known_before_anything_is_loaded_and_does_not_change(
    taught: dict[str, Any], fetched: Path
) -> None:
    model, _ = TEACHERS[taught["identity"].backend]
    backend, _, name = find_backend(model.format(models=fetched / "models"))
    again: Teacher = backend.make(TeacherSettings(name=name, store=(), num_workers=3))

    assert again.identity == taught["identity"]


def test_every_backend_is_under_contract() -> None:
    assert set(TEACHERS) == set(BACKENDS)


def test_a_missing_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from schemas.errors import TeacherError

    absent: Callable[[str], None] = lambda _name: None  # noqa: E731
    monkeypatch.setattr("teacher_cache.teachers.find_spec", absent)
    with pytest.raises(
        TeacherError, match=r'hibari is not installed; run: pip install "armada-distill\[speech\]"'
    ):
        find_backend("speech:hibari+whisper-tiny.en")

"""SpeechT5 and Wav2Vec2, tiny and real: what a text sounds like, and what is refused."""

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from schemas.answer import Answer
from schemas.errors import ArmadaError, ConfigError, TeacherError
from schemas.example import Example
from teacher_cache.teachers.speech.choice import make_speech_teacher
from teacher_cache.teachers.speech.pair_models import resampled
from teacher_cache.teachers.teacher import TeacherSettings
from tests.devices import on_each_device
from tests.tiny_speech import SPEAKER, write_pair, write_speecht5, write_vocoder, write_wav2vec2

TEXTS = ("A warm film.", "It bored me.", "Two hours of my life!")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    made = tmp_path_factory.mktemp("speech")
    write_pair(made)
    return made


def teacher_of(folder: Path, *, store: str = "repr", **options: Any) -> Any:
    given = {name: str(value) for name, value in options.items()}
    name = f"{folder / 'tiny-t5'}+{folder / 'tiny-w2v'}"
    return make_speech_teacher(TeacherSettings(name=name, store=(store,), options=given))


def ask(folder: Path, texts: Sequence[str], **options: Any) -> list[Answer]:
    async def answers() -> list[Answer]:
        async with teacher_of(folder, **options) as teacher:
            return list(await teacher.answer(examples(texts)))

    return asyncio.run(answers())


def examples(texts: Sequence[str]) -> list[Example]:
    return [
        Example(id=f"row-{at}", task="free", split="train", fields={}, prompt=text)
        for at, text in enumerate(texts)
    ]


def values(answer: Answer) -> np.ndarray:
    assert answer.error is None
    assert answer.repr is not None
    return answer.repr


def test_a_text_is_spoken_resampled_heard_and_pooled_as_by_hand(folder: Path) -> None:
    from scipy.signal import resample_poly
    from transformers import (
        AutoFeatureExtractor,
        SpeechT5ForTextToSpeech,
        SpeechT5HifiGan,
        SpeechT5Tokenizer,
        Wav2Vec2Model,
    )

    (found,) = ask(folder, TEXTS[:1])
    speaks, hears = folder / "tiny-t5", folder / "tiny-w2v"
    ids = SpeechT5Tokenizer.from_pretrained(speaks)(TEXTS[0], return_tensors="pt").input_ids
    torch.manual_seed(0)
    sound = SpeechT5ForTextToSpeech.from_pretrained(speaks).generate_speech(
        ids, torch.zeros(1, SPEAKER), vocoder=SpeechT5HifiGan.from_pretrained(speaks / "vocoder")
    )
    heard = resample_poly(sound.numpy(), 2, 1)
    inputs = AutoFeatureExtractor.from_pretrained(hears)(heard, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        states = Wav2Vec2Model.from_pretrained(hears).eval()(**inputs).last_hidden_state

    assert values(found).shape == (32,)
    assert np.array_equal(values(found), states[0].mean(dim=0).numpy().astype(np.float16))


def test_a_row_is_the_same_bit_for_bit_alone_in_any_order_and_again(folder: Path) -> None:
    together, turned = ask(folder, TEXTS), ask(folder, TEXTS[::-1])
    alone = [ask(folder, [text])[0] for text in TEXTS]

    for one, other, third in zip(together, turned[::-1], alone, strict=True):
        assert np.array_equal(values(one), values(other))
        assert np.array_equal(values(one), values(third))
    assert not np.array_equal(values(together[0]), values(together[1]))


@on_each_device
def test_a_text_sounds_the_same_again_on_each_device(folder: Path, device: str) -> None:
    """Not as on another device: the dropout that SpeechT5 speaks with is drawn there."""
    first, again = (ask(folder, texts, device=device) for texts in (TEXTS, TEXTS[::-1]))
    for one, other in zip(first, again[::-1], strict=True):
        assert values(one).shape == (32,)
        np.testing.assert_allclose(values(one), values(other), rtol=1e-2, atol=1e-2)
    assert not np.allclose(values(first[0]), values(first[1]), rtol=1e-2, atol=1e-2)


def test_asking_leaves_the_random_numbers_of_others_alone(folder: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)

    async def found() -> torch.Tensor:
        async with teacher_of(folder) as teacher:
            torch.manual_seed(5)
            await teacher.answer(examples(TEXTS))
            return torch.rand(3)

    assert torch.equal(asyncio.run(found()), wanted)


def test_speaker_seed_and_vocoder_change_the_sound_and_the_identity(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "speaker.npy", np.linspace(-1, 1, SPEAKER, dtype=np.float32)[None])
    options = [{"speaker": tmp_path / "speaker.npy"}, {"seed": 1}, {"vocoder": tmp_path / "other"}]
    shutil.copytree(folder / "tiny-t5" / "vocoder", tmp_path / "other")
    write_vocoder(tmp_path / "other", rate=16000)
    plain = ask(folder, TEXTS[:1])[0]

    for changed in options:
        assert not np.array_equal(values(plain), values(ask(folder, TEXTS[:1], **changed)[0]))
        assert teacher_of(folder, **changed).identity != teacher_of(folder).identity
    identity = teacher_of(folder, device="cpu").identity
    assert identity == teacher_of(folder).identity
    assert (identity.name, identity.repr_dim, identity.modality) == ("tiny-t5+tiny-w2v", 32, "audio")


def test_sound_is_resampled_without_changing_its_pitch() -> None:
    time = np.arange(22050) / 22050
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    found = resampled(tone, 22050, 16000)

    assert len(found) == 16000
    assert int(np.abs(np.fft.rfft(found)).argmax()) == 440


def test_texts_that_cannot_be_spoken_are_errors_and_long_sound_is_cut(tmp_path: Path) -> None:
    write_pair(tmp_path)
    write_vocoder(tmp_path / "tiny-t5" / "vocoder", rate=160)  # so slow that 30 s are 300 frames
    good, empty, long, cut = ask(tmp_path, ["Go.", "  ", "word " * 40, "word " * 6])

    assert (good.error, good.finish_reason) == (None, None)
    assert empty.error == "the prompt is empty"
    assert long.error == "the text has 201 tokens, SpeechT5 reads at most 64"
    assert (cut.error, cut.finish_reason) == (None, "cut at 30 s")


def spoiled(name: str) -> Callable[[Path], object]:
    def change(path: Path, **more: Any) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | more))

    def lacks(path: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(path)
        weights.pop(min(weights))
        save_file(weights, path, metadata={"format": "pt"})

    return {
        "no vocoder": lambda made: shutil.rmtree(made / "tiny-t5" / "vocoder"),
        "pickled": lambda made: (made / "tiny-w2v" / "model.safetensors").rename(made / "tiny-w2v" / "a.bin"),
        "not speech": lambda made: change(made / "tiny-t5" / "config.json", model_type="bert"),
        "not hearing": lambda made: change(made / "tiny-w2v" / "config.json", conv_stride=None),
        "no extractor": lambda made: (made / "tiny-w2v" / "preprocessor_config.json").unlink(),
        "lacks": lambda made: lacks(made / "tiny-t5" / "model.safetensors"),
        "other bands": lambda made: write_vocoder(made / "tiny-t5" / "vocoder", mel_bands=9),
        "gone": lambda made: shutil.rmtree(made / "tiny-w2v"),
    }[name]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no vocoder", r"vocoder: no such folder; give --option vocoder=DIR"),
        ("pickled", r"a.bin is a pickle"),
        ("not speech", r"its model_type is bert, wanted is speecht5"),
        ("not hearing", r"is of no encoder of sound such as Wav2Vec2 \(model_type wav2vec2\)"),
        ("no extractor", r"no preprocessor_config.json in it"),
        ("lacks", r"its weights lack .* and 0 more"),
        ("other bands", r"it reads 9 mel bands, tiny-t5 gives 8"),
        ("gone", r"no folder .*tiny-w2v; give SPEECHT5_DIR\+WAV2VEC2_DIR"),
    ],
)
def test_a_pair_that_cannot_be_asked_is_refused_in_one_line(tmp_path: Path, fault: str, said: str) -> None:
    write_speecht5(tmp_path / "tiny-t5")
    write_wav2vec2(tmp_path / "tiny-w2v")
    spoiled(fault)(tmp_path)

    with pytest.raises(TeacherError, match=said) as caught:
        ask(tmp_path, TEXTS[:1])
    assert "\n" not in str(caught.value)


def test_options_that_cannot_be_right_are_refused(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", np.zeros(3))
    for options, said in [
        ({"speaker": tmp_path / "short.npy"}, "it has 3 values of float64, wanted are 16 finite numbers"),
        ({"speaker": tmp_path / "none.npy"}, "No such file"),
        ({"colour": "red"}, "has no such option"),
    ]:
        with pytest.raises(ArmadaError, match=said):
            teacher_of(folder, **options)
    with pytest.raises(ConfigError, match="this pair makes no transcripts"):
        teacher_of(folder, store="text")


def test_a_plus_in_a_path_is_no_end_of_it(tmp_path: Path) -> None:
    from teacher_cache.teachers.speech.pair import split_name

    for name in ("a+b", "c"):
        (tmp_path / name).mkdir()
    one, other = split_name(f"{tmp_path}/a+b+{tmp_path}/c")
    assert (one.path, other.path) == (tmp_path / "a+b", tmp_path / "c")

"""Text-to-image and text-to-video pipelines, tiny and real: latents, pictures, and all that is refused."""

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
from schemas.example import Example, Media, Message
from teacher_cache.kept_pictures import picture_name
from teacher_cache.teachers.diffusion.model import DiffusionTeacher
from teacher_cache.teachers.teacher import TeacherSettings
from tests.tiny_pipelines import write_adapter, write_stable_diffusion, write_text_to_video

TEXTS = ("a warm and funny film", "it bored me", "two hours of my life")
LONG = "word " * 40
# Relative, of a whole vector: what another batch changes in float32 after twenty steps with guidance 7.5 was
# measured as 2e-6; float16 rounds at 5e-4.
TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_stable_diffusion(tmp_path_factory.mktemp("pipelines") / "tiny-sd")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_to_video(tmp_path_factory.mktemp("pipelines") / "tiny-video")


def teacher_of(folder: Path, *, keep: Path | None = None, **options: Any) -> DiffusionTeacher:
    given = {name.replace("_", "-"): str(value) for name, value in options.items()}
    return DiffusionTeacher(
        TeacherSettings(
            name=str(folder), store=("repr",), options=given, media_folder=keep, keep_media=keep is not None
        )
    )


def ask(folder: Path, rows: Sequence[Example], **options: Any) -> list[Answer]:
    async def answers() -> list[Answer]:
        async with teacher_of(folder, **options) as teacher:
            return list(await teacher.answer(rows))

    return asyncio.run(answers())


def examples(texts: Sequence[str]) -> list[Example]:
    return [
        Example(id=f"row of {text[:30]}", task="free", split="train", fields={}, prompt=text)
        for text in texts
    ]


def values(answer: Answer) -> np.ndarray:
    assert answer.error is None
    assert answer.repr is not None
    return answer.repr.astype(np.float64)


def distance(one: Answer, other: Answer) -> float:
    return float(np.linalg.norm(values(one) - values(other)) / np.linalg.norm(values(one)))


def test_latents_are_those_of_the_pipeline_itself(folder: Path) -> None:
    """The teacher adds nothing: the same noise through the bare pipeline gives the same latents."""
    from diffusers import DiffusionPipeline

    from teacher_cache.teachers.diffusion.drawing import noise_of

    (found,) = ask(folder, examples(TEXTS[:1]))
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    wanted = pipeline(
        TEXTS[0],
        height=128,
        width=128,
        num_inference_steps=20,
        guidance_scale=7.5,
        generator=noise_of(0, "draw", "row of a warm and funny film"),
        output_type="latent",
    ).images

    assert found.repr is not None
    assert found.repr.shape == (1024,)
    assert wanted.shape == (1, 4, 16, 16)
    assert np.array_equal(found.repr, wanted.numpy().astype(np.float16).reshape(-1))


@pytest.mark.parametrize("way", ["direct", "image-to-image"])
def test_a_row_is_the_same_alone_in_a_batch_and_when_asked_again(folder: Path, way: str) -> None:
    options = {"way": way} if way == "direct" else {"way": way, "steps": 5}
    together, again = (ask(folder, examples(TEXTS), **options) for _ in range(2))
    alone = [ask(folder, [row], **options)[0] for row in examples(TEXTS)]

    assert all(np.array_equal(values(a), values(b)) for a, b in zip(together, again, strict=True))
    assert max(distance(a, b) for a, b in zip(together, alone, strict=True)) < TOLERANCE


def test_the_two_ways_the_seed_the_row_and_the_text_each_change_the_latents(folder: Path) -> None:
    row = examples(TEXTS[:1])
    same_text = [Example(id="another", task="free", split="train", fields={}, prompt=TEXTS[0])]
    same_id = [Example(id=row[0].id, task="free", split="train", fields={}, prompt=TEXTS[1])]
    found = [
        *ask(folder, row, steps=4),
        *ask(folder, row, steps=4, way="image-to-image"),
        *ask(folder, row, steps=4, seed=1),
        *ask(folder, same_text, steps=4),
        *ask(folder, same_id, steps=4),
    ]

    assert all(len(values(one)) == 1024 for one in found)
    assert all(distance(found[0], other) > 0.01 for other in found[1:])


def test_a_picture_is_drawn_over_as_pictures_are_scaled(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The VAE is given the small picture in -1..1, not numbers of 0 to 255."""
    from diffusers import AutoencoderKL
    from PIL import Image

    encode, seen = AutoencoderKL.encode, []

    def watched(self: Any, pixels: torch.Tensor, *more: Any, **named: Any) -> Any:
        seen.append(pixels)
        return encode(self, pixels, *more, **named)

    monkeypatch.setattr(AutoencoderKL, "encode", watched)
    (row,) = examples(TEXTS[:1])
    ask(folder, [row], way="image-to-image", steps=4, keep=tmp_path)
    with Image.open(tmp_path / picture_name(row.id)) as image:
        small = np.asarray(image.resize((128, 128), Image.Resampling.LANCZOS), np.float32)

    (pixels,) = seen
    assert pixels.shape == (1, 3, 128, 128)
    assert np.allclose(pixels[0].permute(1, 2, 0).numpy(), small / 127.5 - 1, atol=1e-5)


def test_a_text_that_the_encoder_cuts_says_so_in_its_row(folder: Path) -> None:
    fits, cut, cut_elsewhere = ask(folder, examples([TEXTS[0], LONG, LONG + "and more"]), steps=2)

    assert fits.finish_reason is None
    assert cut.finish_reason == cut_elsewhere.finish_reason == "cut at 77 tokens"


@pytest.mark.parametrize("way", ["direct", "image-to-image"])
def test_a_picture_that_the_safety_checker_blanked_is_an_error_row(tmp_path: Path, way: str) -> None:
    strict = write_stable_diffusion(tmp_path / "strict", safety=-2.0)
    mild = write_stable_diffusion(tmp_path / "mild", safety=2.0)
    rows, kept = examples(TEXTS[:2]), tmp_path / "kept"

    options = {"way": way, "steps": 2}
    blanked = ask(strict, rows, **options, keep=kept)
    passed, unchecked = ask(mild, rows, **options), ask(strict, rows, **options, safety_checker=False)

    assert {one.error for one in blanked} == {"the pipeline's safety checker blanked the picture"}
    assert not kept.exists()
    assert all(np.array_equal(values(a), values(b)) for a, b in zip(passed, unchecked, strict=True))
    identities = [teacher_of(strict, safety_checker=flag).identity for flag in (True, False)]
    assert [identity.options["safety_checker"] for identity in identities] == [True, False]
    assert identities[0].revision != identities[1].revision


@pytest.mark.parametrize("way", ["direct", "image-to-image"])
def test_keeping_pictures_changes_no_latents(folder: Path, tmp_path: Path, way: str) -> None:
    from PIL import Image

    rows = examples(TEXTS[:2])
    options = {"way": way, "steps": 3}
    kept, plain = ask(folder, rows, **options, keep=tmp_path / "media"), ask(folder, rows, **options)

    assert all(np.array_equal(values(a), values(b)) for a, b in zip(kept, plain, strict=True))
    assert {path.name for path in (tmp_path / "media").iterdir()} == {picture_name(row.id) for row in rows}
    with Image.open(tmp_path / "media" / picture_name(rows[0].id)) as image:
        assert image.size == ((128, 128) if way == "direct" else (192, 192))


@pytest.mark.parametrize(
    ("frames", "wide"), [("first", 4 * 8 * 8), ("all", 5 * 4 * 8 * 8), ("picture", 512 * 512)]
)
def test_a_video_keeps_what_is_asked_of_it(video: Path, tmp_path: Path, frames: str, wide: int) -> None:
    options = {"frames": frames, "num_frames": 5, "steps": 2}
    rows = examples(TEXTS[:2])
    identity = teacher_of(video, **options).identity
    found = ask(video, rows, **options, keep=tmp_path)
    alone = ask(video, rows[1:], **options)

    assert (identity.modality, identity.repr_dim) == ("video", wide)
    assert [len(values(one)) for one in found] == [wide, wide]
    assert distance(found[1], alone[0]) < TOLERANCE
    assert distance(*found) > 0.01
    assert len(list(tmp_path.glob("*.png"))) == 2
    if frames == "picture":
        assert values(found[0]).min() >= 0
        assert values(found[0]).max() <= 1


def test_the_frames_of_a_video_fit_each_other(video: Path) -> None:
    (first,), (every,) = (
        ask(video, examples(TEXTS[:1]), frames=frames, num_frames=3, steps=2) for frames in ("first", "all")
    )
    of_all = values(every).reshape(4, 3, 8, 8)
    assert np.array_equal(values(first).reshape(4, 8, 8), of_all[:, 0])


def test_a_wide_vector_is_projected_as_recorded(video: Path) -> None:
    from teacher_cache.teachers.random_projection import RandomProjection

    options = {"frames": "all", "num_frames": 5, "steps": 2}
    (wide,) = ask(video, examples(TEXTS[:1]), **options)
    (narrow,) = ask(video, examples(TEXTS[:1]), **options, project=64)
    recorded = teacher_of(video, **options, project=64).identity

    assert recorded.repr_dim == 64
    assert recorded.options["projection_from"] == 1280
    made = RandomProjection(1280, 64, int(str(recorded.options["projection_seed"])))
    assert np.allclose(made(values(wide)), values(narrow), rtol=2e-2, atol=2e-2)
    assert teacher_of(video, **options, project=64, project_seed=1).identity != recorded


def test_rows_that_cannot_be_drawn_are_errors_and_their_neighbours_are_answered(folder: Path) -> None:
    good, empty, spoken, seen = examples([TEXTS[0], " \n", "[...]", "look"])
    spoken = Example(
        id="b", task="free", split="train", fields={}, prompt="[...]", messages=(Message("user", "draw"),)
    )
    seen = Example(id="c", task="free", split="train", fields={}, prompt="look", media=(Media("a.png", ""),))
    answers = ask(folder, [empty, good, spoken, seen], steps=2)

    assert [answer.error is None for answer in answers] == [False, True, False, False]
    assert "empty" in str(answers[0].error)
    assert "conversation" in str(answers[2].error)
    assert "media" in str(answers[3].error)
    assert np.array_equal(values(answers[1]), values(ask(folder, [good], steps=2)[0]))


def test_an_adapter_changes_the_latents_and_one_of_another_base_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "adapter", folder)
    wider = write_stable_diffusion(tmp_path / "wider", width=48)
    row = examples(TEXTS[:1])
    (plain,), (styled,), (weaker,) = (
        ask(folder, row, steps=4, **options)
        for options in ({}, {"adapter": adapter}, {"adapter": adapter, "adapter_scale": 0.5})
    )

    assert min(distance(plain, styled), distance(plain, weaker), distance(styled, weaker)) > 0.01
    assert "adapter" in teacher_of(folder, adapter=adapter).identity.hashes
    with pytest.raises(TeacherError, match=r"it is no adapter of wider"):
        ask(wider, row, adapter=adapter)


def test_an_adapter_that_finds_no_place_for_some_layers_is_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    (file,) = write_adapter(tmp_path / "adapter", folder).glob("*.safetensors")
    weights = load_file(file)
    moved = {key.replace("down_blocks.1", "down_blocks.7"): value for key, value in weights.items()}
    save_file(moved, file)

    with pytest.raises(TeacherError, match=r"it is no adapter of tiny-sd"):
        ask(folder, examples(TEXTS[:1]), adapter=file)


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Rows of one batch stay together however often a run is stopped, so on a CPU it is bit for bit."""
    from teacher_cache.cache import cache_teacher
    from teacher_cache.config import CacheConfig
    from teacher_cache.teachers.diffusion.answers import DiffusionAnswers

    prompts = tmp_path / "rows.jsonl"
    lines = [
        {"example_id": f"r{i}", "split": "train", "fields": {}, "prompt": "so " * (i % 4 + 1)}
        for i in range(9)
    ]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = {"prompts": prompts, "batch_size": 2, "option": ("steps=3",), "quiet": True, "keep_media": True}
    asked = DiffusionAnswers.answer

    def run(name: str) -> dict[str, bytes]:
        cache_teacher(CacheConfig(model=f"diffusers:{folder}", out=tmp_path / name, **given))
        files = [*(tmp_path / name).glob("*.parquet"), *(tmp_path / name).glob("media/*.png")]
        return {file.name: file.read_bytes() for file in files}

    def breaks_at_the_third(self: DiffusionAnswers, rows: Sequence[Example]) -> list[Answer]:
        calls.append(len(rows))
        if len(calls) == 3:
            raise TeacherError("the power went")
        return asked(self, rows)

    calls: list[int] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DiffusionAnswers, "answer", breaks_at_the_third)
        with pytest.raises(TeacherError, match="the power went"):
            run("stopped")
    whole, stopped = run("whole"), run("stopped")

    assert len(whole) == 10
    assert stopped == whole


def test_pictures_are_kept_of_teachers_that_make_some(tmp_path: Path) -> None:
    from teacher_cache.cache import cache_teacher
    from teacher_cache.config import CacheConfig

    (tmp_path / "rows.jsonl").write_text('{"example_id": "a", "split": "train", "fields": {}, "prompt": "x"}')
    config = CacheConfig(model="none", prompts=tmp_path / "rows.jsonl", keep_media=True, quiet=True)
    with pytest.raises(ConfigError, match=r"--keep-media: the backend none makes no pictures; leave it out"):
        cache_teacher(config)


@pytest.mark.gpu
def test_a_gpu_gives_the_latents_of_a_cpu(folder: Path) -> None:
    """The same noise is drawn for both, so in float32 only the order of sums differs."""
    rows = examples(TEXTS)
    on_cpu = ask(folder, rows, device="cpu", dtype="float32")
    on_gpu = ask(folder, rows, device="cuda", dtype="float32")
    half = ask(folder, rows, device="cuda")

    assert max(distance(*pair) for pair in zip(on_cpu, on_gpu, strict=True)) < 0.05
    assert all(np.isfinite(values(one)).all() for one in half)
    assert teacher_of(folder, device="cuda").identity.options["dtype"] == "float16"


def damaged(name: str) -> Callable[[Path], None]:
    """Ways to spoil a pipeline's folder."""

    def pickled(path: Path) -> None:
        (path / "unet" / "diffusion_pytorch_model.safetensors").rename(
            path / "unet" / "diffusion_pytorch_model.bin"
        )

    def changed(path: Path, **more: Any) -> None:
        index = json.loads((path / "model_index.json").read_text())
        (path / "model_index.json").write_text(json.dumps(index | more))

    def lacking(path: Path, part: str, file: str) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(path / part / file)
        weights.pop(min(weights))
        save_file(weights, path / part / file, metadata={"format": "pt"})

    return {
        "pickled": pickled,
        "no index": lambda path: (path / "model_index.json").unlink(),
        "no vae": lambda path: changed(path, vae=[None, None]),
        "not from text": lambda path: changed(path, _class_name="StableDiffusionImg2ImgPipeline"),
        "needs a picture": lambda path: changed(path, _class_name="StableDiffusionControlNetPipeline"),
        "audio": lambda path: changed(path, _class_name="StableAudioPipeline"),
        "unknown": lambda path: changed(path, _class_name="NoSuchPipeline"),
        "own code": lambda path: changed(path, _class_name=["my_pipeline", "MyPipeline"]),
        "part missing": lambda path: shutil.rmtree(path / "text_encoder"),
        "unet lacks": lambda path: lacking(path, "unet", "diffusion_pytorch_model.safetensors"),
        "text encoder lacks": lambda path: lacking(path, "text_encoder", "model.safetensors"),
    }[name]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("pickled", r"unet: diffusion_pytorch_model.bin is a pickle"),
        ("no index", r"no model_index.json in it; give a folder"),
        ("no vae", r"has no VAE, so it has no latents to keep"),
        ("not from text", r"StableDiffusionImg2ImgPipeline makes no picture of a text alone"),
        ("needs a picture", r"StableDiffusionControlNetPipeline makes no picture of a text alone"),
        ("audio", r"StableAudioPipeline makes no picture of a text alone"),
        ("unknown", r"diffusers has no pipeline NoSuchPipeline"),
        ("own code", r"my_pipeline.py is code of the pipeline's own; .* trust-remote-code=true"),
        ("part missing", r"model_index.json names text_encoder, and there is no such folder"),
        ("unet lacks", r"unet: its weights lack .* and 0 more"),
        ("text encoder lacks", r"text_encoder: its weights lack .* and 0 more"),
    ],
)
def test_a_pipeline_that_cannot_be_asked_is_refused_in_one_line(
    folder: Path, tmp_path: Path, fault: str, said: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    damaged(fault)(copy)

    with pytest.raises(TeacherError, match=said) as caught:
        ask(copy, examples(TEXTS[:1]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"way": "sideways"}, r"--option way"),
        ({"steps": 0}, r"--option steps"),
        ({"size": 100}, r"--option size=100: tiny-sd draws in steps of 8 pixels; give 96"),
        ({"frames": "all"}, r"--option frames: tiny-sd makes pictures"),
        ({"strength": 0.5}, r"--option strength is of the way image-to-image"),
        ({"way": "image-to-image", "strength": 0.1, "steps": 5}, r"leaves none of 5 steps"),
        ({"project": 1024}, r"--option project=1024: there are 1024 values"),
        ({"project_seed": 1}, r"--option project-seed: nothing is projected"),
        ({"adapter_scale": 1}, r"--option adapter-scale: there is no adapter"),
        ({"adapter": "nowhere"}, r"--option adapter=nowhere: no such folder"),
        ({"colour": "red"}, r"the backend diffusers has no such option"),
        ({"revision": "main"}, r"is a folder, which has none"),
    ],
)
def test_options_that_cannot_be_right_are_refused_in_one_line(
    folder: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ArmadaError, match=said) as caught:
        teacher_of(folder, **options)
    assert "\n" not in str(caught.value)


def test_options_of_pictures_are_refused_for_videos_and_missing_folders_named(video: Path) -> None:
    with pytest.raises(ConfigError, match=r"--option way: tiny-video makes videos"):
        teacher_of(video, way="direct")
    with pytest.raises(TeacherError, match=r"--model diffusers:nowhere: no such folder"):
        teacher_of(Path("nowhere"))


def test_what_changes_latents_is_in_the_identity_and_what_does_not_is_not(folder: Path) -> None:
    plain = teacher_of(folder).identity
    assert (plain.repr_dim, plain.modality, plain.options["way"]) == (1024, "image", "direct")
    assert teacher_of(folder, device="cpu").identity == plain
    for changed in ({"steps": 5}, {"guidance": 1}, {"seed": 3}, {"size": 64}, {"way": "image-to-image"}):
        assert teacher_of(folder, **changed).identity != plain

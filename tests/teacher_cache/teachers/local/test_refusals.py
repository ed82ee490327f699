"""What is no local model that can be asked is refused in one line, before anything is asked."""

import asyncio
import json
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from schemas.answer import Answer
from schemas.errors import ConfigError, TeacherError
from schemas.example import Example
from teacher_cache.teachers.local import answers as local_answers
from teacher_cache.teachers.local.loading import is_out_of_memory
from teacher_cache.teachers.local.model import LocalModelTeacher
from teacher_cache.teachers.teacher import Entries, TeacherSettings

Ask = Callable[..., Sequence[Answer]]
Rows = Callable[..., list[Example]]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def teacher(folder: Path | str, store: str = "text", **settings: Any) -> LocalModelTeacher:
    return LocalModelTeacher(TeacherSettings(name=str(folder), store=tuple(store.split(",")), **settings))


async def enter(made: LocalModelTeacher) -> None:
    async with made:
        pass


@pytest.fixture
def copy(causal: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(causal, tmp_path / "copy"))


def edit(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@pytest.mark.parametrize("name", ["no/such/folder/anywhere", "./missing", "data/models/missing", ""])
def test_a_folder_that_is_not_there(name: str) -> None:
    with pytest.raises(
        TeacherError, match=r"no such folder; give one with a model, or owner/name of the hub"
    ):
        teacher(name)


@pytest.mark.parametrize(
    ("without", "message"),
    [
        (["config.json"], "no config.json in it; give a folder with config.json, tokenizer and"),
        (["tokenizer.json", "tokenizer_config.json"], "no tokenizer in it"),
        (["model.safetensors"], "no *.safetensors in it"),
    ],
)
def test_a_folder_without_a_part(without: list[str], message: str, copy: Path) -> None:
    for name in without:
        (copy / name).unlink()
    with pytest.raises(TeacherError) as caught:
        teacher(copy)
    assert message in str(caught.value)


def test_pickles_are_not_opened(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(TeacherError, match=r"pytorch_model.bin is a pickle, .* convert the weights"):
        teacher(copy)


def test_an_adapter_alone_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(TeacherError, match=r"no config.json in it; .*, merge the adapter first"):
        teacher(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "4"}, r"--option layer=4: .* has hidden states 0 to 3"),
        ({"layer": "-5"}, r"--option layer=-5: .* has hidden states 0 to 3"),
        ({"pooling": "max"}, r"--option pooling: .*'mean', 'last' or 'first'"),
        (
            {"quant": "4"},
            r"--option quant: .* transformers has no such option; it has: dtype, device, pooling",
        ),
        ({"revision": "main"}, r"--option revision=main: .* is a folder, which has none"),
        ({"device": "cuda"}, r"--option device=cuda: torch finds no CUDA device"),
    ],
)
def test_an_option_that_cannot_be(
    options: dict[str, str], message: str, causal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=message):
        teacher(causal, options=options)


def test_a_template_that_is_not_there(make_causal: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--option chat=true: plain has no chat template"):
        teacher(make_causal(tmp_path / "plain", chat=None), options={"chat": "true"})


def test_entries_that_the_codec_cannot_hold(causal: Path) -> None:
    with pytest.raises(ConfigError, match=r"packed refuses a full vocabulary \(262 entries a token\)"):
        teacher(causal, "logprobs", entries=Entries(codec="packed", top_k=-1))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model_type": "t5", "is_encoder_decoder": True}, "t5 is an encoder with a decoder"),
        ({"model_type": "of-the-future"}, "is no model that transformers knows"),
        (
            {"model_type": "clip", "architectures": ["CLIPModel"]},
            "clip is no model that a text alone goes into",
        ),
        (
            {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}},
            "this model runs code of its own; read it, then give --option trust-remote-code=true",
        ),
    ],
)
def test_a_model_of_another_kind(changed: dict[str, Any], message: str, copy: Path) -> None:
    edit(copy / "config.json", **changed)
    with pytest.raises(TeacherError) as caught:
        teacher(copy)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_without_a_head_writes_nothing(copy: Path) -> None:
    edit(copy / "config.json", architectures=["LlamaModel"])
    with pytest.raises(ConfigError, match=r"copy is of type llama without a causal language-model head"):
        teacher(copy)
    identity = teacher(copy, "repr").identity
    assert identity.vocab_size is None
    assert identity.options["pooling"] == "last"


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def without_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def with_a_tokenizer_of_nothing(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "the model cannot be loaded"),
        (without_a_layer, "its weights lack model.layers.1.mlp.up_proj.weight"),
        (with_a_tokenizer_of_nothing, "the model cannot be loaded"),
    ],
)
def test_a_damaged_model_is_refused_when_it_is_loaded(
    damage: Callable[[Path], None], message: str, copy: Path
) -> None:
    damage(copy)
    with pytest.raises(TeacherError) as caught:
        asyncio.run(enter(teacher(copy)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_memory_is_one_line_that_names_the_batch(
    causal: Path, ask: Ask, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_answers, "pool", lambda *_: torch.empty(1 << 60))
    with pytest.raises(TeacherError) as caught:
        ask(causal, rows(["a", "b", "c", "d"]), "repr")
    assert str(caught.value) == (
        "tiny-llama: no memory on cpu for a batch of 4 rows; run the same command with a lower --batch-size, "
        "such as 2"
    )


@pytest.mark.parametrize(
    ("said", "is_it"),
    [
        ("CUDA error: out of memory\nCompile with ...", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("CUDA error: device-side assert triggered", False),
    ],
)
def test_a_devices_own_words_for_no_memory_are_known(*, said: str, is_it: bool) -> None:
    assert is_out_of_memory(RuntimeError(said)) is is_it


def test_a_fault_of_ours_is_not_taken_for_a_users(
    causal: Path, ask: Ask, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_answers, "pool", lambda *_: {}["absent"])
    with pytest.raises(KeyError):
        ask(causal, rows(["a"]), "repr")


def test_a_folder_never_touches_the_network(
    causal: Path, ask: Ask, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    (answer,) = ask(causal, rows(["Hi"]), "repr")
    assert answer.error is None


def test_what_the_hub_does_not_give_is_one_line() -> None:
    with pytest.raises(TeacherError) as caught:
        teacher("nobody/nothing")
    assert "--model transformers:nobody/nothing: the hub does not give it (" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def hub(causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache in which the tiny model was fetched before."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--owner--tiny"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(causal, model / "snapshots" / COMMIT))


def test_a_model_of_the_hub_is_named_by_its_commit(hub: Path, ask: Ask, rows: Rows) -> None:
    identity = teacher("owner/tiny").identity
    assert (identity.name, identity.revision) == ("owner/tiny", COMMIT)
    (answer,) = ask(Path("owner/tiny"), rows(["Hi"]), "repr")
    assert answer.error is None


def test_pickles_of_the_hub_are_not_opened(hub: Path) -> None:
    (hub / "model.safetensors").rename(hub / "pytorch_model.bin")
    with pytest.raises(TeacherError, match=r"pytorch_model.bin is a pickle"):
        asyncio.run(enter(teacher("owner/tiny")))


def save_changed_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("revision", save_changed_weights),
        ("config", lambda folder: edit(folder / "config.json", rms_norm_eps=0.5)),
        ("generation", lambda folder: edit(folder / "generation_config.json", eos_token_id=7)),
        ("tokenizer", lambda folder: edit(folder / "tokenizer.json", decoder=None)),
        ("tokenizer_settings", lambda folder: edit(folder / "tokenizer_config.json", eos_token="<s>")),
        ("chat_template", lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}")),
    ],
)
def test_every_file_that_answers_pass_through_is_part_of_the_identity(
    part: str, change: Callable[[Path], None], copy: Path
) -> None:
    before = teacher(copy).identity
    change(copy)
    after = teacher(copy).identity
    hashes = {**before.hashes, "revision": before.revision}, {**after.hashes, "revision": after.revision}

    assert {name for name in hashes[0] if hashes[0][name] != hashes[1][name]} == {part}


def test_the_identity_has_what_changes_answers_and_nothing_else(causal: Path) -> None:
    plain = teacher(causal).identity
    assert teacher(causal, options={"device": "cpu", "dtype": "float32", "layer": "-1"}).identity == plain
    assert teacher(causal, options={"dtype": "bfloat16"}).identity.options["dtype"] == "bfloat16"
    inner = teacher(causal, options={"layer": "1", "chat": "false", "pooling": "mean"}).identity
    assert inner.repr_dtype == "float32"
    assert inner.options == {"dtype": "float32", "pooling": "mean", "layer": 1, "chat": False}
    assert "chat_template" not in inner.hashes


def test_bfloat16_is_loaded_as_such(causal: Path, ask: Ask, rows: Rows) -> None:
    exact, rounded = (
        ask(causal, rows(["Hi"]), "repr", options={"dtype": dtype})[0].repr
        for dtype in ("float32", "bfloat16")
    )
    assert exact is not None
    assert rounded is not None
    assert 1e-4 < abs(exact.astype(float) - rounded).max() < 0.5


def test_a_vocabulary_of_another_size_is_one_line(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(copy / "config.json", vocab_size=300)
    with pytest.raises(TeacherError) as caught:
        asyncio.run(enter(teacher(copy)))
    assert "lm_head.weight is 262 x 32 in its weights and 300 x 32 by its config.json; give" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)
    assert "REPORT" not in "".join(capfd.readouterr())

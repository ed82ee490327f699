"""The profile `paper`: its own models, teachers and tasks, as docs/reproducing.md says how to get them."""

from collections.abc import Callable
from typing import Any

from distill.studies.profile import Profile, Student, Task, Teacher
from schemas.manifest import TeacherIdentity


def _drawn(identity: TeacherIdentity, *, adapted: bool) -> bool:
    has_adapter = "adapter" in identity.hashes
    return identity.backend == "diffusers" and identity.modality == "image" and has_adapter == adapted


def _is(modality: str) -> Callable[[TeacherIdentity], bool]:
    return lambda identity: identity.modality == modality and identity.repr_dim is not None


_STABLE_DIFFUSION = "diffusers:models/stable-diffusion-v1-4"
# Test files have no labels, and nothing is learnt from them or reported of them.
_SPLITS = "--splits train,validation"
_DRAWN = f"--option way=image-to-image {_SPLITS}"

# As docs/reproducing.md has them, which is held equal by a test.
_TEACHERS = {
    "stable-diffusion-v1-4": Teacher(
        fits=lambda identity: _drawn(identity, adapted=False),
        model=_STABLE_DIFFUSION,
        options=_DRAWN,
        folder="data/shards/stable-diffusion",
        wants="latents of a text-to-image pipeline without an adapter",
    ),
    "midjourney": Teacher(
        fits=lambda identity: _drawn(identity, adapted=True),
        model=_STABLE_DIFFUSION,
        options=f"--option adapter=models/midjourney-lora {_DRAWN}",
        folder="data/shards/midjourney",
        wants="latents of a text-to-image pipeline with an adapter",
    ),
    "text-to-image": Teacher(
        fits=lambda identity: identity.backend == "diffusers" and identity.modality == "image",
        model=_STABLE_DIFFUSION,
        options=_DRAWN,
        folder="data/shards/text-to-image",
        wants="latents of a text-to-image pipeline",
    ),
    "text-to-video": Teacher(
        fits=_is("video"),
        model="diffusers:models/text-to-video",
        options=f"--option frames=picture --option project=1024 {_SPLITS}",
        folder="data/shards/text-to-video",
        wants="latents of a text-to-video pipeline",
    ),
    "text-to-audio": Teacher(
        fits=_is("audio"),
        model="speech:models/speecht5+models/wav2vec2-base",
        options=_SPLITS,
        folder="data/shards/text-to-audio",
        wants="states of a speech encoder",
    ),
    "resnet50": Teacher(
        fits=lambda identity: identity.backend == "transformers" and identity.modality == "image",
        model="transformers:models/resnet-50",
        options=f"--store repr {_SPLITS}",
        folder="data/shards/resnet-50",
        wants="states of an image encoder on the posters",
    ),
    "not-stated": Teacher(
        fits=_is("image"),
        model="transformers:models/resnet-50",
        options=f"--store repr {_SPLITS}",
        folder="data/shards/resnet-50",
        wants="states of an image encoder on the pictures",
    ),
    "llama-3.1-8b": Teacher(
        fits=lambda identity: identity.modality == "text",
        model="vllm:models/llama-3.1-8b",
        options=f"--store text --max-tokens 512 --batch-size 1024 {_SPLITS}",
        folder="data/shards/llama-3.1-8b",
        wants="texts that a language model wrote",
    ),
}

_LORA: dict[str, Any] = {"lora_rank": 8}
_STUDENTS = {
    "bert-6l": Student(options={"lr": 2e-5}),
    "bert-base": Student(options={"lr": 2e-5}),
    "deberta-v2-xxlarge": Student(options={"lr": 3e-6}),
    "opt-1.3b": Student(options={"lr": 3e-6}),
    "llama-7b": Student(options=_LORA),
    "llama-3.2-3b": Student(options=_LORA),
    "llama-3.1-8b": Student(options=_LORA),
}


def _reasoning(task: str, names: tuple[str, ...]) -> dict[str, Task]:
    return {name: Task(name=task, part=name.casefold(), metric="exact_answer") for name in names}


_TASKS = {
    "CoLA": Task(name="glue/cola"),
    "MRPC": Task(name="glue/mrpc"),
    "RTE": Task(name="glue/rte"),
    "STS-B": Task(name="glue/stsb"),
    "SST-2": Task(name="glue/sst2"),
    "QNLI": Task(name="glue/qnli"),
    "QQP": Task(name="glue/qqp"),
    # The paper does not say which of its two validation sets it reports.
    "MNLI": Task(name="glue/mnli", part="matched"),
    "CB": Task(name="superglue/cb"),
    "COPA": Task(name="superglue/copa"),
    "BoolQ": Task(name="superglue/boolq"),
    "WiC": Task(name="superglue/wic"),
    **_reasoning("reasoning/commonsense", ("HellaSwag", "WinoGrande", "ARC-c", "ARC-e", "OpenBookQA")),
    **_reasoning("reasoning/math", ("MultiArith", "SingleEq", "AQuA")),
    **{
        name: Task(name="instructions/all", part=name.casefold())
        for name in ("Dolly", "SelfInst", "Vicuna", "SNI", "UNI")
    },
    "MM-IMDb": Task(name="mm-imdb"),
    "Hateful Memes": Task(name="hateful-memes"),
}

PAPER = Profile(
    name="paper",
    students=_STUDENTS,
    tasks=_TASKS,
    teachers=_TEACHERS,
    # Of the two sets that were published one is named, since the reader takes neither by itself.
    rows={
        "reasoning/commonsense": "--source data/tasks/llm-adapters/ft-training_set/commonsense_15k.json",
    },
    remarks=(
        (
            "Checkpoints are chosen on a seeded tenth of the training split and reported on the validation "
            "split (protocol held-out); the authors' code chooses and reports on the validation split."
        ),
    ),
)

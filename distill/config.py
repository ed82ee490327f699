"""The configuration of a run: frozen, checked once, saved whole.

Imports nothing heavy, so that --help answers at once.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from distill.methods import METHODS
from distill.readings import READINGS
from distill.recipes import MAX_NEW_TOKENS, recipe_for
from distill.rules import RULES, Formulation
from schemas.errors import ConfigError
from schemas.tasks import TASKS, LabelKind


class _Checked:
    __slots__ = ()

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            accepts, wanted = RULES.get(field.name, (lambda _: True, ""))
            if value is not None and not accepts(value):
                raise ConfigError(f"--{field.name.replace('_', '-')} {value}: wanted {wanted}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationConfig(_Checked):
    """All that an undistilled run does not have.

    Attributes:
        aligner: reading of the aligner's architecture.
        hidden_dim: H, width of the aligner.
        manifold_dim: P; None takes the width of the representation.
        manifold: name of the manifold loss, or `none`.
        formulation: of the manifold and matching losses.
        schedule: which tower trains when.
        alpha: share of the matching loss against the task loss.
        beta: weight of the manifold loss.
        gamma: weight of the auxiliary heads.
        temperature: of the matching loss.
        standardise: representations by the training split's mean and variance.
        control: what is done to the representations: `none`, `shuffle`, `noise:SIGMA`.
        aligner_lr: learning rate of the aligner.
    """

    aligner: str = "reference"
    hidden_dim: int = 768
    manifold_dim: int | None = None
    manifold: str = "euclid"
    formulation: Formulation = Formulation.REFERENCE
    schedule: str = "alternating"
    alpha: float = 0.5
    beta: float = 1.0
    gamma: float = 1.0
    temperature: float = 5.0
    standardise: bool = False
    control: str = "none"
    aligner_lr: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConfig(_Checked):
    """How a student learns from what the teacher said of each token.

    Attributes:
        kd_weight: of the divergence, beside the language-modelling loss.
        kd_divergence: `forward`, `reverse` or `jsd:B`.
        kd_temperature: of both distributions.
    """

    kd_weight: float = 1.0
    kd_divergence: str = "forward"
    kd_temperature: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig(_Checked):
    """An adapter that is trained in place of the student's weights; heads are trained whole.

    Attributes:
        lora_rank: of the two matrices of each layer.
        lora_alpha: their product counts alpha / rank times; under rsLoRA, alpha / sqrt(rank) times.
        lora_dropout: before them.
        lora_targets: names of the modules that get them, with commas between, or `all-linear`; None takes
            peft's own choice for the model type, and `all-linear` where it has none.
        dora: magnitude and direction apart.
        rslora: the scaling above.
    """

    lora_rank: int
    lora_alpha: float = 16.0
    lora_dropout: float = 0.1
    lora_targets: str | None = None
    dora: bool = False
    rslora: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig(_Checked):
    """One run of stage two.

    Attributes:
        task: name of the task.
        student: folder of the student's weights, or a hub name.
        method: row of METHODS.
        seed: of weights, order, dropout, selection and controls.
        epochs: over the training rows, for each tower.
        batch_size: rows a batch.
        accumulate: batches an optimiser step.
        lr: learning rate of the student.
        lr_schedule: how the learning rate of either tower goes over its steps.
        warmup: share of a tower's steps over which its rate rises first.
        weight_decay: on matrices of both towers.
        patience: epochs without a better student after which training stops; None never stops early.
        max_length: tokens of a text or pair; of prompt and answer where the task is generative.
        max_new_tokens: of an answer that the student writes; None where it writes none.
        limit_train: rows to train on; None is all.
        protocol: which rows select the checkpoint and which are reported.
        precision: of the training passes; `auto` is bf16 where the device has it natively.
        device: `auto`, `cpu`, `cuda`.
        compile: the student's forward goes through torch.compile; None is no.
        lora: None trains all of the student.
        tokens: None for a method that does not match the teacher's tokens.
        distillation: None for a method that does not distil.
    """

    task: str
    student: str
    method: str = "armada"
    seed: int = 42
    epochs: int = 2
    batch_size: int = 32
    accumulate: int = 1
    lr: float = 5e-5
    lr_schedule: str = "constant"
    warmup: float = 0.0
    weight_decay: float = 0.01
    patience: int | None = None
    max_length: int = 128
    max_new_tokens: int | None = None
    limit_train: int | None = None
    protocol: str = "held-out"
    precision: str = "auto"
    device: str = "auto"
    compile: bool | None = None
    lora: LoraConfig | None = None
    tokens: TokenConfig | None = None
    distillation: DistillationConfig | None = None

    @property
    def label(self) -> str:
        """Method, manifold loss and control, as in folder names and tables."""
        if self.distillation is None:
            return f"{self.method}-none"
        control = self.distillation.control.replace(":", "")
        parts = [self.method, self.distillation.manifold, *([control] if control != "none" else [])]
        return "-".join(parts)


_DISTILLATION_OPTIONS = frozenset(field.name for field in fields(DistillationConfig))
_TOKEN_OPTIONS = frozenset(field.name for field in fields(TokenConfig))
_LORA_OPTIONS = frozenset(field.name for field in fields(LoraConfig))
_RUN_OPTIONS = frozenset(field.name for field in fields(RunConfig)) - {"distillation", "lora", "tokens"}


def resolve(given: Mapping[str, Any], modality: str) -> RunConfig:
    """Fill what was not given from the task's recipe, and check all of it once.

    Args:
        given: options by name, with task and student; None where not given.
        modality: of the cache's teacher; speech is standardised unless told otherwise, latents are not.

    Raises:
        ConfigError: a value cannot be right, or an option has no effect with this method.
    """
    given = {name: value for name, value in given.items() if value is not None}
    method = given.get("method", "armada")
    if method not in METHODS:
        raise ConfigError(f"--method {method}: wanted {RULES['method'][1]}")
    lora = _lora(given)
    recipe = asdict(recipe_for(given["task"], lora=lora is not None))
    if _is_generative(given["task"]):
        recipe["max_new_tokens"] = recipe["max_new_tokens"] or MAX_NEW_TOKENS
    distillation = None
    if METHODS[method].distils:
        values = {"standardise": modality == "audio", **recipe, **_of_aligner(given), **given}
        distillation = DistillationConfig(**_only(_DISTILLATION_OPTIONS, values))
    elif idle := sorted(_DISTILLATION_OPTIONS & set(given)):
        raise ConfigError(f"--{idle[0].replace('_', '-')} has no effect with --method {method}; leave it out")
    return RunConfig(
        **_only(_RUN_OPTIONS, {**recipe, **given}),
        lora=lora,
        tokens=_tokens(given, method),
        distillation=distillation,
    )


def _is_generative(task: str) -> bool:
    return task in TASKS and TASKS[task].label_kind is LabelKind.GENERATIVE


def _tokens(given: Mapping[str, Any], method: str) -> TokenConfig | None:
    if METHODS[method].matches_tokens:
        return TokenConfig(**_only(_TOKEN_OPTIONS, given))
    if idle := sorted(_TOKEN_OPTIONS & set(given)):
        raise ConfigError(f"--{idle[0].replace('_', '-')} has no effect with --method {method}; leave it out")
    return None


def _lora(given: Mapping[str, Any]) -> LoraConfig | None:
    if "lora_rank" in given:
        return LoraConfig(**_only(_LORA_OPTIONS, given))
    if idle := sorted(name for name in _LORA_OPTIONS if given.get(name)):
        raise ConfigError(f"--{idle[0].replace('_', '-')} has no effect without --lora-rank; give both")
    return None


def _of_aligner(given: Mapping[str, Any]) -> dict[str, Any]:
    """What an aligner has where nothing else is given, and a refusal of what it cannot have."""
    name = given.get("aligner", "reference")
    if name not in READINGS:
        raise ConfigError(f"--aligner {name}: wanted {RULES['aligner'][1]}")
    reading = READINGS[name]
    widths = {"hidden_dim": reading.hidden_dim, "manifold_dim": reading.manifold_dim}
    if reading.projected != "nothing":
        return widths
    if idle := [option for option in ("manifold_dim", "gamma") if given.get(option)]:
        flag = idle[0].replace("_", "-")
        raise ConfigError(
            f"--{flag} has no effect with --aligner {name}, which projects nothing; leave it out"
        )
    return {**widths, "gamma": 0.0}


def _only(names: frozenset[str], values: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {name: value for name, value in values.items() if name in names}
    if chosen.get("formulation") in tuple(Formulation):
        chosen["formulation"] = Formulation(chosen["formulation"])
    return chosen


def options_of(run: RunConfig) -> dict[str, Any]:
    """The run as flat options, those left at None out: what `--config` reads back."""
    nested = asdict(run)
    parts = [nested.pop(name) or {} for name in ("lora", "tokens", "distillation")]
    flat = {**nested, **parts[0], **parts[1], **parts[2]}
    return {name: value for name, value in flat.items() if value is not None}


def digest_of_run(run: RunConfig, cache_digest: str, student_digest: str) -> str:
    """Digest of all that changes a run's results; two runs with one digest need not both be made."""
    from schemas.manifest import digest_of

    settings = {name: value for name, value in options_of(run).items() if name not in ("student", "device")}
    return digest_of({"settings": settings, "cache": cache_digest, "student": student_digest})

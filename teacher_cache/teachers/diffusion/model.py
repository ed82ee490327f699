"""`diffusers:`, a text-to-image or text-to-video pipeline on this machine: its latents are kept.

`diffusers:NAME` names a folder, one below data/models, or `owner/name` of the hub, with safetensors.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from schemas.answer import Answer
from schemas.errors import ConfigError, TeacherError
from schemas.example import Example
from schemas.files import sha256_of
from schemas.manifest import TeacherIdentity
from teacher_cache.teachers.diffusion.answers import DiffusionAnswers
from teacher_cache.teachers.diffusion.drawing import Drawer
from teacher_cache.teachers.diffusion.folder import PipelineFolder
from teacher_cache.teachers.diffusion.loading import find_adapter, hush, load_adapter, load_pipeline
from teacher_cache.teachers.diffusion.options import DiffusionOptions
from teacher_cache.teachers.diffusion.plan import plan_drawing
from teacher_cache.teachers.local.folder import find_model
from teacher_cache.teachers.local.loading import is_out_of_memory
from teacher_cache.teachers.local.model_thread import ModelThread
from teacher_cache.teachers.local.options import Device, LocalOptions, find_device
from teacher_cache.teachers.random_projection import RandomProjection
from teacher_cache.teachers.teacher import TeacherSettings, parse_options

_PACKAGES = ("diffusers", "torch", "transformers", "tokenizers", "pillow", "numpy")


class DiffusionTeacher:
    """Answers with the latents that a pipeline makes of a prompt.

    One thread asks it. A row's noise follows from `--option seed` and its id, on every device. Equal
    batches give equal bytes on a CPU with the same number of threads, and a row in another batch the same up
    to the error of the arithmetic, which denoising makes larger.

    Raises:
        ConfigError: an option that this pipeline cannot have.
        TeacherError: the folder is missing or holds no pipeline that can be asked.
    """

    num_retries = 0

    def __init__(self, settings: TeacherSettings) -> None:
        options = parse_options(DiffusionOptions, "diffusers", settings.options)
        options.check()
        self._settings, self._options = settings, options
        self._device: Device = find_device(LocalOptions(device=options.device))
        found = find_model(settings.name, options.revision, backend="diffusers")
        self._folder = PipelineFolder(found, checks=options.safety_checker)
        self._folder.check(trust_remote_code=options.trust_remote_code)
        hush()
        self._plan = plan_drawing(self._folder, options)
        self._adapter: Path | None = None if options.adapter is None else find_adapter(options.adapter)
        self._projection = _projection(options, self._plan.num_values)
        self._thread = ModelThread()
        self._answers: DiffusionAnswers | None = None

    @cached_property
    def identity(self) -> TeacherIdentity:
        """Digests of all files that latents pass through, and all options that change them."""
        options, folder = self._options, self._folder
        hashes = folder.hashes(code=options.trust_remote_code)
        if self._adapter is not None:
            hashes["adapter"] = sha256_of(self._adapter)
        return TeacherIdentity(
            backend="diffusers",
            name=folder.name,
            revision=folder.revision(),
            modality=self._plan.kind,
            repr_dim=options.project or self._plan.num_values,
            repr_dtype="float16",
            hashes=hashes,
            versions={name: version(name) for name in _PACKAGES},
            options={
                "dtype": options.find_dtype(self._device),
                "steps": options.steps,
                "guidance": options.guidance,
                "seed": options.seed,
                "safety_checker": folder.has_checker(),
                **self._plan.options,
                **({} if self._projection is None else self._projection.options),
                **({} if self._adapter is None else {"adapter_scale": options.adapter_scale or 1.0}),
                **({"variant": options.variant} if options.variant else {}),
                **({"trust_remote_code": True} if options.trust_remote_code else {}),
            },
        )

    async def __aenter__(self) -> Self:
        self._answers = await self._thread.enter("diffusion", self._load)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing after the next step, and free the pipeline."""
        self._answers = None
        await self._thread.stop()

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """Draw the rows in one batch."""
        if not examples:
            return []
        assert self._answers is not None, "the teacher is entered before it is asked"
        answers = self._answers
        try:
            return await self._thread.run(lambda: answers.answer(examples))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise TeacherError(
                f"{self._folder.name}: no memory on {self._device} for a batch of {len(examples)} rows; "
                f"run the same command with a lower --batch-size, such as {max(1, len(examples) // 2)}"
            ) from None

    def _load(self) -> DiffusionAnswers:
        options, folder = self._options, self._folder
        folder.download_weights(options.variant)
        pipeline = load_pipeline(folder, options, self._device, options.find_dtype(self._device))
        if self._adapter is not None:
            load_adapter(pipeline, self._adapter, options.adapter_scale or 1.0, folder.name)
        keeps = self._settings.media_folder if self._settings.keep_media else None
        drawer = Drawer(
            pipeline=pipeline,
            redraw=_sibling(pipeline, folder) if self._plan.way == "image-to-image" else None,
            plan=self._plan,
            steps=options.steps,
            guidance=options.guidance,
            seed=options.seed,
            # Whether a row is an error must not depend on whether its picture is kept.
            looks=keeps is not None or folder.has_checker(),
            left=self._thread.left,
        )
        return DiffusionAnswers(drawer, self._projection, keeps)


def _projection(options: DiffusionOptions, num_values: int) -> RandomProjection | None:
    if options.project is None:
        return None
    if options.project >= num_values:
        raise ConfigError(
            f"--option project={options.project}: there are {num_values} values, which it would not make "
            "fewer; leave it out"
        )
    return RandomProjection(num_values, options.project, options.project_seed or 0)


def _sibling(pipeline: Any, folder: PipelineFolder) -> Any:
    from diffusers.pipelines.auto_pipeline import AutoPipelineForImage2Image

    try:
        made = AutoPipelineForImage2Image.from_pipe(pipeline)
    except ValueError:
        raise TeacherError(
            f"{folder.path}: diffusers has no image-to-image pipeline beside {folder.class_name}; give "
            "--option way=direct"
        ) from None
    made.set_progress_bar_config(disable=True)
    return made

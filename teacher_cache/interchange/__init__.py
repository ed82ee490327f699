"""The foreign formats, one row each: a cache to other people's files, and theirs to a cache."""

from schemas.errors import ConfigError
from teacher_cache.interchange import axolotl, distillkit, openai_batch, trl
from teacher_cache.interchange.formats import Format

__all__ = ["FORMATS", "Format", "find_format"]

FORMATS: dict[str, Format] = {
    "distillkit": Format(
        exporter=distillkit.DistillkitExporter,
        reader=distillkit.read_distillkit,
        schema=distillkit.SCHEMA,
        needs=("logprobs",),
        holds_entries=True,
        holds_tokens=True,
        has_one_length=True,
    ),
    "axolotl": Format(
        exporter=axolotl.AxolotlExporter,
        reader=axolotl.read_axolotl,
        schema=axolotl.SCHEMA,
        needs=("logprobs",),
        holds_entries=True,
        holds_tokens=True,
        needs_vocabulary=True,
    ),
    "openai-batch": Format(
        exporter=openai_batch.OpenAIBatchExporter,
        reader=openai_batch.read_openai_batch,
        suffixes=(".jsonl",),
        needs=("text",),
        holds_entries=True,
    ),
    "trl": Format(
        exporter=trl.TrlExporter,
        reader=trl.read_trl,
        schema=trl.SCHEMA,
        suffixes=(".parquet", ".jsonl"),
        needs=("text",),
    ),
}


def find_format(name: str) -> Format:
    """The format of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in FORMATS:
        raise ConfigError(f"--format {name}: no such format; choose from {', '.join(FORMATS)}")
    return FORMATS[name]

"""`distill`: train a student beside an aligner that reads a teacher cache."""

from pathlib import Path
from typing import Any

import click

from distill.arguments import HERE
from distill.config import digest_of_run, resolve
from distill.environment import settle
from distill.methods import METHODS
from distill.processes import joined, speaks
from distill.rules import (
    ALIGNERS,
    DEVICES,
    LR_SCHEDULES,
    MANIFOLDS,
    PRECISIONS,
    PROTOCOLS,
    SCHEDULES,
    Formulation,
)
from distill.running import check_processes, folder_of, made
from distill.session import RESUME, SHARDINGS, TRACKERS, Session, every_of, trackers_of
from distill.telling import ask_again, tell
from schemas.console import read_config_file, run_command
from schemas.errors import ConfigError

DEFAULT_STUDENT = "data/models/minilm"


def _choice(values: Any) -> click.Choice:
    return click.Choice([str(value) for value in values])


@click.command(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "show_default": True,
    }
)
@click.option(
    "--shards",
    required=True,
    metavar="DIR|URL",
    help="Folder of a teacher cache, or an object store's, s3://...",
)
@click.option("--student", default=DEFAULT_STUDENT, help="Folder of a model, or a hub name.")
@click.option("--out", type=HERE, help="Folder to write. [default: data/results/TASK/RUN]")
@click.option("--method", type=_choice(METHODS), default="armada", help="How to train.")
@click.option("--manifold", type=_choice(MANIFOLDS), help="Manifold loss. [default: euclid]")
@click.option(
    "--formulation", type=_choice(Formulation), help="Losses as in the authors' code, or the paper."
)
@click.option("--aligner", type=_choice(ALIGNERS), help="Architecture of the aligner. [default: reference]")
@click.option("--hidden-dim", type=int, help="Width of the aligner. [default: its own]")
@click.option("--manifold-dim", type=int, help="Width of the shared space. [default: the aligner's own]")
@click.option("--schedule", type=_choice(SCHEDULES), help="Which tower trains when. [default: alternating]")
@click.option(
    "--alpha", type=float, help="Share of matching against the task, 0 to 1. [default: the recipe's]"
)
@click.option("--beta", type=float, help="Weight of the manifold loss. [default: the recipe's]")
@click.option("--gamma", type=float, help="Weight of the auxiliary heads. [default: the recipe's]")
@click.option("--temperature", type=float, help="Of the matching loss. [default: the recipe's]")
@click.option("--kd-weight", type=float, help="Of the divergence from the teacher's tokens. [default: 1]")
@click.option("--kd-divergence", help="forward, reverse or jsd:B. [default: forward]")
@click.option("--kd-temperature", type=float, help="Of both distributions. [default: 1]")
@click.option("--standardise/--raw", default=None, help="Representations. [default: standardised for audio]")
@click.option("--control", help="none, shuffle, or noise:SIGMA on the representations. [default: none]")
@click.option("--epochs", type=int, help="Passes over the rows. [default: the recipe's]")
@click.option("--batch-size", type=int, help="Rows a batch, of all processes. [default: the recipe's]")
@click.option("--accumulate", type=int, default=1, help="Batches an optimiser step.")
@click.option("--lr", type=float, help="Learning rate of the student. [default: the recipe's]")
@click.option("--aligner-lr", type=float, help="Learning rate of the aligner. [default: the recipe's]")
@click.option("--lr-schedule", type=_choice(LR_SCHEDULES), default="constant", help="Of both towers.")
@click.option("--warmup", type=float, default=0.0, help="Share of the steps over which rates rise, 0 to 1.")
@click.option("--weight-decay", type=float, help="On matrices. [default: the recipe's]")
@click.option(
    "--patience", type=int, help="Stop after this many epochs without a better one. [default: never]"
)
@click.option("--max-length", type=int, help="Tokens of a text. [default: the recipe's]")
@click.option("--max-new-tokens", type=int, help="Of an answer that is written. [default: the recipe's]")
@click.option("--seed", type=int, default=42, help="Of weights, order, dropout, selection and controls.")
@click.option("--limit-train", type=int, help="Train on this many rows. [default: all]")
@click.option("--protocol", type=_choice(PROTOCOLS), default="held-out", help="How the checkpoint is chosen.")
@click.option("--precision", type=_choice(PRECISIONS), default="auto", help="Of the training passes.")
@click.option("--device", type=_choice(DEVICES), default="auto", help="To compute on.")
@click.option("--lora-rank", type=int, help="Train an adapter of this rank. [default: all of the student]")
@click.option("--lora-alpha", type=float, help="It counts alpha / rank times. [default: 16]")
@click.option("--lora-dropout", type=float, help="Before the adapter. [default: 0.1]")
@click.option("--lora-targets", help="Modules, with commas between, or all-linear. [default: peft's]")
@click.option("--dora", is_flag=True, default=None, help="Adapt magnitude and direction apart.")
@click.option("--rslora", is_flag=True, default=None, help="Let the adapter count alpha / sqrt(rank) times.")
@click.option("--merge", is_flag=True, help="Write adapter and base as one plain model to merged/ too.")
@click.option("--gradient-checkpointing", is_flag=True, help="Less memory, a third more time.")
@click.option("--compile", is_flag=True, default=None, help="Compile the student with torch.compile.")
@click.option("--resume", type=_choice(RESUME), default="auto", help="Go on from the last checkpoint.")
@click.option(
    "--checkpoint-every", default="60s", help="Batches (100) or seconds (60s, then under 5 % of the time)."
)
@click.option("--evaluate-only", is_flag=True, help="Measure a finished run's student again on --split.")
@click.option("--split", help="Split that --evaluate-only reads.  [default: validation]")
@click.option("--predict", type=HERE, help="Answer for a JSONL, CSV or Parquet file's rows.")
@click.option(
    "--evaluate-with", metavar="lm-eval:TASK[,TASK]", help="Have lm-eval measure a finished run's student."
)
@click.option("--lm-eval-include", type=HERE, help="Folder with task files for lm-eval of your own.")
@click.option("--sharding", type=_choice(SHARDINGS), default="none", help="full: FSDP2 in place of DDP.")
@click.option("--tracker", multiple=True, help=f"Log there too: {' or '.join(TRACKERS)}; repeatable.")
@click.option("--loader-workers", type=click.IntRange(min=0), default=0, help="Threads that prepare batches.")
@click.option(
    "--config",
    type=HERE,
    is_eager=True,
    expose_value=False,
    callback=read_config_file,
    metavar="FILE.toml",
    help="Options from a file; flags win.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def distill(
    *,
    shards: str,
    out: Path | None,
    resume: str,
    checkpoint_every: str,
    loader_workers: int,
    sharding: str,
    tracker: tuple[str, ...],
    evaluate_only: bool,
    split: str | None,
    predict: Path | None,
    evaluate_with: str | None,
    lm_eval_include: Path | None,
    merge: bool,
    gradient_checkpointing: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a student on a teacher cache, and measure it.

    Writes run.json, metrics.jsonl, curves.png, predictions.parquet, student/ and aligner.safetensors. A run
    that is finished already is not repeated; one that was stopped or killed goes on from its last checkpoint.
    SIGTERM (status 143) and Ctrl-C (130) write one and stop. With --evaluate-only, --predict or
    --evaluate-with the same command asks the finished run's student. torchrun --nproc-per-node N -m distill
    trains in N processes: docs/many-processes.md.
    """
    settle()
    session = Session(
        resume=resume,
        every=every_of(checkpoint_every),
        loader_workers=loader_workers,
        gradient_checkpointing=gradient_checkpointing,
        sharding=sharding,
        trackers=trackers_of(tracker),
    )
    from distill.harness import request_of
    from distill.signals import check_signals
    from distill.store import default_folder
    from distill.weights import digest_of_student
    from schemas.cache import open_cache

    if split is not None and not evaluate_only:
        raise ConfigError("--split has no effect without --evaluate-only; leave it out")
    harness = request_of(evaluate_with, lm_eval_include)
    shards_folder = folder_of(shards, quiet=quiet)
    cache = open_cache(shards_folder, verify=False)
    run = resolve({"task": cache.manifest.request.task, **options}, cache.manifest.teacher.modality)
    check_signals(run, cache.manifest, cache.folder)
    if merge and run.lora is None:
        raise ConfigError("--merge has no effect without --lora-rank; leave it out")
    digest = digest_of_run(run, cache.manifest.digest, digest_of_student(run.student))
    folder = out or default_folder(run, digest)
    with joined() as processes:
        check_processes(run, session, digest, processes)
        if evaluate_only or predict is not None or harness is not None:
            # One process can, and as fast.
            if processes.is_main:
                ask_again(
                    run,
                    cache,
                    folder,
                    digest,
                    split=(split or "validation") if evaluate_only else None,
                    source=predict,
                    harness=harness,
                    as_json=as_json,
                )
            return
        quiet = quiet or not processes.is_main
        result = made(run, shards_folder, folder, digest, session=session, processes=processes, quiet=quiet)
        if processes.is_main:
            tell(run, folder, result, merge=merge, quiet=quiet, as_json=as_json)


def main() -> None:
    """Entry point of the command."""
    run_command(distill, speaks)


if __name__ == "__main__":
    main()

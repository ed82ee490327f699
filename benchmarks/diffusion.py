"""Diffusion: latents through cache-teacher against the same pipeline called in a plain loop.

Weights are random: what a step costs does not depend on them. On a CPU the pipeline is a small one, and only
the ratio means anything, of seconds that one thread of the processor worked. On CUDA it has the sizes of
Stable Diffusion v1, in float16, and seconds are the clock's. Both ways load the pipeline once and draw the
same texts in the same batches: 20 steps, guidance 7.5, 128 x 128 pixels.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Claim, claim_of, seconds_of
from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig

_ROUNDS, _STEPS, _SIZE = 3, 20, 128
_SMALL = {"widths": (32, 64), "attention": (False, True), "text": (64, 2), "vae": (16, 16, 32, 32)}
_REAL = {
    "widths": (320, 640, 1280, 1280),
    "attention": (True, True, True, False),
    "text": (768, 12),
    "vae": (128, 256, 512, 512),
}


def run() -> list[Claim]:
    """Measure on this machine; without CUDA the pipeline of real size is not run."""
    import torch

    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        print("  not run: Stable Diffusion v1's sizes in float16, there is no CUDA device")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = _write(Path(folder) / "pipeline", _REAL if on_gpu else _SMALL)
        return [_claim(Path(folder), pipeline, *((256, 32) if on_gpu else (32, 8)), on_gpu=on_gpu)]


def _claim(folder: Path, pipeline: Path, rows: int, batch: int, *, on_gpu: bool) -> Claim:
    texts = [f"a film about the number {index}, seen twice" for index in range(rows)]
    prompts = folder / "rows.jsonl"
    lines = [
        {"example_id": f"row-{at}", "split": "train", "fields": {}, "prompt": text}
        for at, text in enumerate(texts)
    ]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    seconds = seconds_of if on_gpu else _worked
    _bare(pipeline, texts[:batch], batch, on_gpu=on_gpu)  # what is loaded for the first time
    pairs = [
        (
            seconds(lambda at=at: _cached(pipeline, prompts, folder / f"cache-{at}", batch)),
            seconds(lambda: _bare(pipeline, texts, batch, on_gpu=on_gpu)),
        )
        for at in range(_ROUNDS)
    ]
    ours, bare = (rows / min(one) for one in zip(*pairs, strict=True))
    what = "Stable Diffusion v1's sizes, float16, CUDA" if on_gpu else "a small pipeline, float32, one thread"
    other = "" if on_gpu else "; the pipeline of real size on CUDA: not run"
    return claim_of(
        "cache-teacher against the bare pipeline, seconds for the same latents",
        [through / alone for through, alone in pairs],
        at_most=1.1,
        detail=f"{ours:.2f} against {bare:.2f} latents a second ({what}), loading included{other}",
    )


def _worked(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _cached(pipeline: Path, prompts: Path, out: Path, batch: int) -> None:
    config = CacheConfig(
        model=f"diffusers:{pipeline}", prompts=prompts, out=out, batch_size=batch, quiet=True
    )
    cache_teacher(config)


def _bare(pipeline: Path, texts: list[str], batch: int, *, on_gpu: bool) -> None:
    import torch
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

    dtype, device = (torch.float16, "cuda") if on_gpu else (torch.float32, "cpu")
    loaded: Any = DiffusionPipeline.from_pretrained(pipeline, dtype=dtype, use_safetensors=True)
    loaded.to(device).set_progress_bar_config(disable=True)
    for start in range(0, len(texts), batch):
        some = texts[start : start + batch]
        latents = loaded(
            some,
            height=_SIZE,
            width=_SIZE,
            num_inference_steps=_STEPS,
            guidance_scale=7.5,
            generator=[torch.Generator("cpu").manual_seed(start + at) for at in range(len(some))],
            output_type="latent",
        ).images
        latents.flatten(1).half().cpu()


def _write(folder: Path, sizes: dict[str, Any]) -> Path:
    """A Stable Diffusion of these sizes with random weights."""
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
    from diffusers.schedulers.scheduling_pndm import PNDMScheduler

    torch.manual_seed(0)
    width, attention = sizes["text"][0], sizes["attention"]
    unet: Any = UNet2DConditionModel(
        block_out_channels=sizes["widths"],
        down_block_types=tuple("CrossAttnDownBlock2D" if one else "DownBlock2D" for one in attention),
        up_block_types=tuple("CrossAttnUpBlock2D" if one else "UpBlock2D" for one in attention[::-1]),
        cross_attention_dim=width,
        attention_head_dim=8,
        sample_size=64,
    )
    blocks: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    vae = AutoencoderKL(
        block_out_channels=sizes["vae"],
        **blocks,
        latent_channels=4,
        norm_num_groups=16,
    )
    noise: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    tokenizer, text_encoder = _reader(*sizes["text"])
    scheduler: Any = PNDMScheduler(**noise, skip_prk_steps=True, steps_offset=1)
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def _reader(width: int, num_layers: int) -> tuple[Any, Any]:
    """A tokenizer that knows bytes, and a text encoder."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<|startoftext|>", "<|endoftext|>", *alphabet, *(f"{letter}</w>" for letter in alphabet)]
    tokenizer = CLIPTokenizer(
        vocab={name: index for index, name in enumerate(names)}, merges=[], model_max_length=77
    )
    config = CLIPTextConfig(
        vocab_size=len(names),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=num_layers,
        num_attention_heads=width // 16,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return tokenizer, CLIPTextModel(config)

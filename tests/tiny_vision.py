"""Tiny encoders of pictures, and pictures for them."""

import io
from pathlib import Path
from typing import Any

import torch


def png_of(text: str) -> bytes:
    """A picture that follows from a text: noise of 24 by 20."""
    import numpy as np
    from PIL import Image

    seed = int.from_bytes(text.encode()[:8], "little")
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def write_resnet(folder: Path) -> Path:
    """A ResNet of 20 features."""
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(0)
    model = ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 20], depths=[1, 1], layer_type="basic")
    )
    return _written(model, folder)


def write_clip(folder: Path, *, tower: bool) -> Path:
    """A CLIP of 12 features, or its vision tower of 16."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(0)
    small: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    vision = CLIPVisionConfig(image_size=32, patch_size=16, **small)
    text = CLIPTextConfig(vocab_size=9, max_position_embeddings=8, bos_token_id=0, eos_token_id=1, **small)
    both = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=12)
    return _written(CLIPVisionModel(vision) if tower else CLIPModel(both), folder)


def _written(model: Any, folder: Path) -> Path:
    from transformers import CLIPImageProcessorPil

    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size=size, do_center_crop=False).save_pretrained(folder)
    return folder

"""Tiny pipelines made on the spot: random weights, a tokenizer that knows bytes, seconds to draw with."""

from pathlib import Path
from typing import Any

import torch

BYTES = 512


def quiet() -> None:
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging

    for library in (logging, of_diffusers):
        library.set_verbosity_error()
        library.disable_progress_bar()


def tokenizer() -> Any:
    """Each byte is a token, beside one at the beginning and one at the end."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    marks = ["<|startoftext|>", "<|endoftext|>"]
    names = [*marks, *alphabet, *(f"{letter}</w>" for letter in alphabet)]
    vocabulary = {name: index for index, name in enumerate(names)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def text_encoder(**changed: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes = {"hidden_size": 32, "intermediate_size": 40, "num_attention_heads": 4, "num_hidden_layers": 2}
    marks = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    return CLIPTextModel(CLIPTextConfig(vocab_size=BYTES + 2, **sizes, **marks, **changed))


def vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
    )


def unet(width: int = 32) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=(16, width),
        layers_per_block=1,
        sample_size=24,  # 192 pixels at full size
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        norm_num_groups=8,
        attention_head_dim=8,
    )


def checker(limit: float) -> Any:
    """A safety checker that blanks every picture (limit below -1) or none (above 1)."""
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    made = StableDiffusionSafetyChecker(
        CLIPConfig(vision_config=vision | {"image_size": 32, "patch_size": 16}, projection_dim=16)
    )
    made.concept_embeds_weights.data.fill_(limit)
    made.special_care_embeds_weights.data.fill_(2.0)
    return made


def write_stable_diffusion(folder: Path, *, safety: float | None = None, width: int = 32) -> Path:
    """A Stable Diffusion of 100 thousand parameters with the scheduler of the real one."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline
    from transformers import CLIPImageProcessorPil

    quiet()
    torch.manual_seed(0)
    seen = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    StableDiffusionPipeline(
        vae=vae(),
        text_encoder=text_encoder(),
        tokenizer=tokenizer(),
        unet=unet(width),
        scheduler=PNDMScheduler(**_noise(), skip_prk_steps=True, steps_offset=1),
        safety_checker=None if safety is None else checker(safety),
        feature_extractor=None if safety is None else seen,
        requires_safety_checker=safety is not None,
    ).save_pretrained(folder)
    return folder


def write_text_to_video(folder: Path) -> Path:
    """A ModelScope of the same size."""
    from diffusers import DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel

    quiet()
    torch.manual_seed(0)
    frames = UNet3DConditionModel(
        block_out_channels=(8, 8),
        layers_per_block=1,
        sample_size=8,  # 64 pixels
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=32,
        norm_num_groups=2,
        attention_head_dim=4,
    )
    TextToVideoSDPipeline(
        vae=vae(),
        text_encoder=text_encoder(),
        tokenizer=tokenizer(),
        unet=frames,
        scheduler=DDIMScheduler(**_noise(), clip_sample=False, set_alpha_to_one=False),
    ).save_pretrained(folder)
    return folder


def write_adapter(folder: Path, base: Path) -> Path:
    """A LoRA adapter of the base's UNet, with weights that are not zero."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig, get_peft_model_state_dict

    quiet()
    pipeline = StableDiffusionPipeline.from_pretrained(base)
    torch.manual_seed(1)
    pipeline.unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipeline.unet))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return folder


def _noise() -> dict[str, Any]:
    return {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def write_sdxl(folder: Path) -> Path:
    """A Stable Diffusion XL: two tokenizers, two text encoders, sizes as a condition."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    quiet()
    torch.manual_seed(0)
    first = text_encoder()
    sizes = {"hidden_size": 32, "intermediate_size": 40, "num_attention_heads": 4, "num_hidden_layers": 2}
    marks = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "projection_dim": 32}
    StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=first,
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=BYTES + 2, **sizes, **marks)),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=UNet2DConditionModel(
            block_out_channels=(16, 32),
            layers_per_block=1,
            sample_size=24,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=64,
            norm_num_groups=8,
            attention_head_dim=8,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=80,
            use_linear_projection=True,
        ),
        scheduler=EulerDiscreteScheduler(**_noise()),
    ).save_pretrained(folder)
    return folder


def write_flux(folder: Path) -> Path:
    """A Flux: a transformer, latents packed into tokens, CLIP beside T5."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    quiet()
    torch.manual_seed(0)
    encoder = T5EncoderModel(
        T5Config(vocab_size=300, d_model=32, d_kv=8, d_ff=40, num_layers=1, num_heads=4, pad_token_id=0)
    )
    coder = AutoencoderKL(
        block_out_channels=(8, 8),  # so that its own size is 256 pixels, not 1,024
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.06,
        scaling_factor=1.5,
        sample_size=64,
    )
    FluxPipeline(
        vae=coder,
        text_encoder=text_encoder(),
        tokenizer=tokenizer(),
        text_encoder_2=encoder,
        tokenizer_2=_t5_tokenizer(),
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    ).save_pretrained(folder)
    return folder


def _t5_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {name: index for index, name in enumerate(names)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
    )

"""SpeechT5, its vocoder and Wav2Vec2 in memory: a text to a spectrogram to sound to states, row by row.

Letters: T tokens of a text, N samples of sound, F frames that are heard, d width of a state, E of a speaker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, prod
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.answer import Answer
from schemas.errors import ConfigError, TeacherError
from schemas.example import Example
from teacher_cache.teachers.local.folder import ModelFolder
from teacher_cache.teachers.local.options import Device
from teacher_cache.teachers.local.prompts import one_line

MAX_SECONDS = 30
# Of transformers: most frames of a spectrogram for each token.
_MOST_FRAMES = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PairModels:
    """Three models on one device.

    Attributes:
        tokenizer: of SpeechT5.
        speaker: SpeechT5.
        voice: embedding of who speaks, (1, E).
        vocoder: makes sound of spectrograms.
        extractor: what stands before the listener.
        listener: Wav2Vec2.
        seed: of SpeechT5's dropout, which is part of its speaking: the same at each row, so that equal texts
            sound alike.
    """

    tokenizer: Any
    speaker: Any
    voice: Tensor
    vocoder: Any
    extractor: Any
    listener: Any
    seed: int

    def answer(self, examples: Sequence[Example], left: Event) -> list[Answer]:
        """Answer each row alone, until nobody wants more."""
        device = self.voice.device
        # SpeechT5 drops at random, Wav2Vec2 draws numbers that it does not use: both from what all share.
        with torch.inference_mode(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            return [self._answer(example.prompt or "") for example in examples if not left.is_set()]

    def _answer(self, text: str) -> Answer:
        ids = self.tokenizer(text)["input_ids"] if text.strip() else []
        if not ids:
            return Answer(error="the prompt is empty")
        if len(ids) > (most := self.speaker.config.max_text_positions):
            return Answer(error=f"the text has {len(ids)} tokens, SpeechT5 reads at most {most}")
        sound_N, cut = self._spoken(ids)
        heard_N = resampled(sound_N, self.vocoder.config.sampling_rate, self.extractor.sampling_rate)
        if int(self.listener._get_feat_extract_output_lengths(torch.tensor(len(heard_N)))) < 1:  # noqa: SLF001 - no public name
            return Answer(error="the text gives no sound that can be heard")
        stored_d = self._heard(heard_N).astype(np.float16)
        if not np.isfinite(stored_d).all():
            return Answer(error="the states are not all finite numbers of 16 bits")
        return Answer(repr=stored_d, finish_reason=f"cut at {MAX_SECONDS} s" if cut else None)

    def _spoken(self, ids: list[int]) -> tuple[NDArray[np.float32], bool]:
        """Sound, (N,), and whether it was cut."""
        config = self.vocoder.config
        most_frames = MAX_SECONDS * config.sampling_rate / prod(config.upsample_rates)
        ratio = min(_MOST_FRAMES, most_frames / len(ids))
        torch.manual_seed(self.seed)
        sound_N = self.speaker.generate_speech(
            torch.tensor([ids], device=self.voice.device),
            self.voice,
            vocoder=self.vocoder,
            maxlenratio=ratio,
        )
        limit = MAX_SECONDS * config.sampling_rate
        # A spectrogram grows by several frames a step, so what was cut can be that much shorter.
        step = self.speaker.config.reduction_factor * prod(config.upsample_rates)
        return sound_N.float().cpu().numpy()[:limit], len(sound_N) > limit - step

    def _heard(self, sound_N: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = self.extractor(sound_N, sampling_rate=self.extractor.sampling_rate, return_tensors="pt")
        states_1Fd = self.listener(inputs["input_values"].to(self.voice.device)).last_hidden_state
        return states_1Fd[0].mean(dim=0).cpu().numpy()


def resampled(sound_N: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """Sound at another rate, hertz."""
    if rate == wanted:
        return sound_N
    from scipy.signal import resample_poly

    shared = gcd(rate, wanted)
    return resample_poly(sound_N, wanted // shared, rate // shared).astype(np.float32)


def read_speaker(file: Path | None, width: int) -> NDArray[np.float32]:
    """A speaker's embedding, (E,).

    Raises:
        ConfigError: the file holds none of this width.
    """
    if file is None:
        return np.zeros(width, np.float32)
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--option speaker={file}: {one_line(error)}; give a .npy file of {width} numbers"
        ) from None
    if found.size != width or not np.issubdtype(found.dtype, np.number) or not np.isfinite(found).all():
        raise ConfigError(
            f"--option speaker={file}: it has {found.size} values of {found.dtype}, wanted are {width} "
            "finite numbers; give another"
        )
    return found.reshape(-1).astype(np.float32)


def load_pair(
    speaks: ModelFolder,
    hears: ModelFolder,
    vocoder: ModelFolder,
    *,
    speaker: NDArray[np.float32],
    device: Device,
    seed: int,
) -> PairModels:
    """Load all three in float32.

    Raises:
        TeacherError: one cannot be loaded whole, or the vocoder does not fit.
    """
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    speaking = _load(transformers.SpeechT5ForTextToSpeech, speaks, device)
    sounding = _load(transformers.SpeechT5HifiGan, vocoder, device)
    if speaking.config.num_mel_bins != sounding.config.model_in_dim:
        raise TeacherError(
            f"{vocoder.path}: it reads {sounding.config.model_in_dim} mel bands, {speaks.name} gives "
            f"{speaking.config.num_mel_bins}; give --option vocoder=DIR with another"
        )
    return PairModels(
        tokenizer=_made(transformers.SpeechT5Tokenizer, speaks),
        speaker=speaking,
        voice=torch.from_numpy(speaker)[None].to(device),
        vocoder=sounding,
        extractor=_made(transformers.AutoFeatureExtractor, hears),
        listener=_load(transformers.AutoModel, hears, device),
        seed=seed,
    )


def _load(kind: Any, folder: ModelFolder, device: Device) -> Any:
    model, report = _made(kind, folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True)
    # What masks states in training has no part in reading them.
    missing = sorted(name for name in report["missing_keys"] if not name.endswith("masked_spec_embed"))
    if wrong := [*missing, *sorted(map(str, report["mismatched_keys"]))]:
        raise TeacherError(
            f"{folder.path}: its weights lack {wrong[0]} and {len(wrong) - 1} more that the model needs; "
            "give a folder that has them all"
        )
    return model.to(device).eval().requires_grad_(requires_grad=False)


def _made(kind: Any, folder: ModelFolder, **settings: Any) -> Any:
    try:
        return kind.from_pretrained(folder.path, local_files_only=True, **settings)
    except Exception as error:  # noqa: BLE001 - several libraries read here, each with errors of its own
        raise TeacherError(
            f"{folder.path}: the model cannot be loaded ({one_line(error)}); give another folder"
        ) from None

"""What a process of the speech teacher does: text to sound to mel to states, row by row, on one thread.

Letters: M mel bands, F frames of 10 ms, d width of the encoder's states.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from schemas.answer import Answer

SEED = 0
# hibari needs seconds for a page, and Whisper hears 30 seconds of it, which is about 500 characters.
MAX_CHARACTERS = 2000
MAX_SECONDS = 30
_SPOKEN_RATE, _HEARD_RATE = 24_000, 16_000
# The mel is padded to a whole second of its own length, so a row's answer does not depend on its neighbours.
_PAD_FRAMES = 100
_MAX_TRANSCRIPT_TOKENS = 224


@dataclass(frozen=True, slots=True)
class Voice:
    """What a worker loads.

    Attributes:
        folder: of the Whisper model.
        compute_type: of CTranslate2.
        num_mels: M.
        transcribe: whether texts are wanted too.
    """

    folder: str
    compute_type: str
    num_mels: int
    transcribe: bool


def start_worker() -> None:
    """Leave Ctrl-C to the parent, use one thread, and end when the parent ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def answer_texts(voice: Voice, texts: Sequence[str]) -> list[Answer]:
    """Answer each text alone; a text that cannot be spoken or heard is an error row."""
    models = _load(voice)
    return [_answer(models, text) for text in texts]


def _answer(models: "_Models", text: str) -> Answer:
    if len(text) > MAX_CHARACTERS:
        return Answer(
            error=f"the text has {len(text)} characters, the speech teacher reads at most {MAX_CHARACTERS}"
        )
    try:
        return models.answer(text)
    # hibari and onnxruntime raise what they like; a row that fails must not end the run.
    except Exception as error:  # noqa: BLE001
        return Answer(error=f"{type(error).__name__}: {error}".splitlines()[0])


@cache
def _load(voice: Voice) -> "_Models":
    return _Models(voice)


class _Models:
    def __init__(self, voice: Voice) -> None:
        import ctranslate2
        import torch
        from hibari import Hibari
        from transformers import WhisperFeatureExtractor

        # The mel is computed by torch where it is installed, and its sums depend on the number of threads.
        torch.set_num_threads(1)
        self._speaker = Hibari(threads=1)
        self._mel = WhisperFeatureExtractor(feature_size=voice.num_mels)
        self._listener = ctranslate2.models.Whisper(
            voice.folder, device="cpu", compute_type=voice.compute_type, intra_threads=1
        )
        self._tokenizer = _tokenizer(voice.folder) if voice.transcribe else None

    def answer(self, text: str) -> Answer:
        import numpy as np
        from ctranslate2 import StorageView

        sound, cut = self._speak(text)
        if len(sound) < _HEARD_RATE // 100:
            return Answer(error="the text gives no sound")
        mel_MF = self._mel(
            sound, sampling_rate=_HEARD_RATE, padding="do_not_pad", return_tensors="np"
        ).input_features[0]
        frames = mel_MF.shape[1]
        padded_MF = np.pad(mel_MF, ((0, 0), (0, -frames % _PAD_FRAMES)), constant_values=mel_MF.max() - 2)
        states = self._listener.encode(StorageView.from_array(padded_MF[None]))
        # The encoder halves the frames; what follows the text is padding and stays out of the mean.
        mean_d = np.asarray(states)[0, : -(-frames // 2)].mean(axis=0)
        return Answer(
            repr=mean_d.astype(np.float16),
            texts=None if self._tokenizer is None else (self._transcript(states),),
            finish_reason=f"cut at {MAX_SECONDS} s" if cut else None,
        )

    def _speak(self, text: str) -> tuple[Any, bool]:
        import numpy as np
        from scipy.signal import resample_poly

        limit, spoken, parts = MAX_SECONDS * _SPOKEN_RATE, 0, []
        for part in self._speaker.stream(text, seed=SEED):
            parts.append(part)
            spoken += len(part)
            if spoken > limit:
                break
        sound = np.concatenate([np.zeros(0, np.float32), *parts])[:limit]
        return resample_poly(sound, 2, 3).astype(np.float32), spoken > limit

    def _transcript(self, states: Any) -> str:
        assert self._tokenizer is not None
        prompt = ["<|startoftranscript|>", "<|notimestamps|>"]
        (result,) = self._listener.generate(states, [prompt], beam_size=1, max_length=_MAX_TRANSCRIPT_TOKENS)
        return self._tokenizer.decode(result.sequences_ids[0], skip_special_tokens=True).strip()


def _tokenizer(folder: str) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))

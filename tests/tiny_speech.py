"""A tiny SpeechT5 with its vocoder, and a tiny Wav2Vec2: random weights, milliseconds to speak with."""

from pathlib import Path
from typing import Any

import torch

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,!?'0123456789"
MEL_BANDS, SPEAKER = 8, 16


def quiet() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def write_speecht5(folder: Path, **changed: Any) -> Path:
    """A SpeechT5 whose every letter is a token, with a vocoder inside; it speaks until it is stopped."""
    from transformers import SpeechT5Config, SpeechT5ForTextToSpeech

    quiet()
    torch.manual_seed(0)
    sizes = {
        f"{part}_{name}": value
        for part in ("encoder", "decoder")
        for name, value in {"layers": 2, "attention_heads": 2, "ffn_dim": 32}.items()
    }
    model = SpeechT5ForTextToSpeech(
        SpeechT5Config(
            vocab_size=len(LETTERS) + 10,
            hidden_size=24,
            speech_decoder_prenet_units=16,
            speech_decoder_postnet_units=16,
            speech_decoder_postnet_layers=2,
            speaker_embedding_dim=SPEAKER,
            num_mel_bins=MEL_BANDS,
            initializer_range=0.3,
            **sizes | {"max_text_positions": 64} | changed,
        )
    )
    model.speech_decoder_postnet.prob_out.bias.data.fill_(-20.0)
    model.save_pretrained(folder)
    _tokenizer(folder)
    write_vocoder(folder / "vocoder")
    return folder


def write_vocoder(folder: Path, mel_bands: int = MEL_BANDS, rate: int = 8000) -> Path:
    """A vocoder of another rate than the listener's, so that its sound is resampled."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(0)
    config = SpeechT5HifiGanConfig(
        model_in_dim=mel_bands,
        sampling_rate=rate,
        upsample_initial_channel=16,
        upsample_rates=[4, 4],
        upsample_kernel_sizes=[8, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        initializer_range=0.1,
    )
    SpeechT5HifiGan(config).save_pretrained(folder)
    return folder


def write_wav2vec2(folder: Path) -> Path:
    """A Wav2Vec2 of 32 features."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    quiet()
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=40,
        conv_dim=(16, 16, 16),
        conv_stride=(5, 4, 4),
        conv_kernel=(10, 8, 4),
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def write_pair(folder: Path) -> str:
    """Both, as `--model speech:` names them."""
    return f"{write_speecht5(folder / 'tiny-t5')}+{write_wav2vec2(folder / 'tiny-w2v')}"


def _tokenizer(folder: Path) -> None:
    import sentencepiece
    from transformers import SpeechT5Tokenizer

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([LETTERS] * 20),
        model_prefix=str(folder / "spm_char"),
        model_type="char",
        vocab_size=len(LETTERS) + 10,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "spm_char.vocab").unlink()
    SpeechT5Tokenizer(str(folder / "spm_char.model")).save_pretrained(folder)

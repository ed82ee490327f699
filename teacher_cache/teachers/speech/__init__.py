"""Texts spoken and heard: hibari and Whisper, or the paper's SpeechT5 and Wav2Vec2."""

"""How fast the two networks of the speech teacher compute on one thread, by CPU time, beside 8-bit products.

What hibari's network multiplies is counted by onnxruntime's own profile of one run; what Whisper's encoder
does follows from its shape.
"""

import json
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT

TEXT = "It is a warm and funny film, whose four young actors hold every scene of its slow middle part."
# Layers, width and mel bands of whisper-tiny.en, and the frames of eight seconds.
LAYERS, WIDTH, BANDS, FRAMES = 4, 384, 80, 800
_ROUNDS = 15


def rates() -> dict[str, tuple[float, float]]:
    """Operations and seconds, by what computes."""
    import torch

    torch.set_num_threads(1)
    left = torch.randint(-9, 9, (1024, 384), dtype=torch.int8)
    right = torch.randint(-9, 9, (384, 1536), dtype=torch.int8)
    multiply = torch.ops.aten._int_mm  # noqa: SLF001 - torch has no other name for it
    return {
        "products of 8-bit matrices, 1024 × 384 × 1536 (torch)": (
            2.0 * 1024 * 384 * 1536,
            _shortest(lambda: multiply(left, right)),
        ),
        "Whisper's encoder, 8 s of sound": (_encoder_operations(), _encoder_seconds()),
        f"network of the voice, {len(TEXT)} characters": _voice(),
    }


def _encoder_operations() -> float:
    heard = FRAMES // 2
    convolutions = 2.0 * 3 * WIDTH * (BANDS * FRAMES + WIDTH * heard)
    # Query, key, value, output and two layers of four times the width; scores and their use.
    layer = 2.0 * 12 * WIDTH * WIDTH * heard + 4.0 * heard * heard * WIDTH
    return convolutions + LAYERS * layer


def _encoder_seconds() -> float:
    import ctranslate2
    import numpy as np

    model = ctranslate2.models.Whisper(
        str(ROOT / "data/models/whisper-tiny.en"), device="cpu", compute_type="int8", intra_threads=1
    )
    mel = np.random.default_rng(0).normal(size=(1, BANDS, FRAMES)).astype(np.float32)
    return _shortest(lambda: np.asarray(model.encode(ctranslate2.StorageView.from_array(mel))))


def _voice() -> tuple[float, float]:
    import numpy as np
    import onnxruntime
    from hibari import Hibari

    voice = Hibari(threads=1)
    (spoken,) = voice.phonemize(TEXT)
    given = {"ids": np.asarray([voice.ids(spoken)], np.int64), "speed": np.ones(1, np.float32)}
    spec = find_spec("hibari")
    assert spec is not None
    assert spec.origin is not None
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.enable_profiling = 1, True
        options.profile_file_prefix = str(Path(folder) / "nodes")
        model = Path(spec.origin).parent / "assets" / "hibari.onnx"
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        session.run(None, given)
        nodes = json.loads(Path(session.end_profiling()).read_text())
    operations = sum(operations_of(node["args"]) for node in nodes if node["name"].endswith("_kernel_time"))
    return operations, _shortest(lambda: voice.sess.run(None, given))


def operations_of(node: dict[str, Any]) -> float:
    """Twice the products that a node of onnxruntime's profile adds up; 0 where it multiplies no matrices."""
    inputs = [shape for one in node.get("input_type_shape", ()) for shape in one.values()]
    outputs = [shape for one in node.get("output_type_shape", ()) for shape in one.values()]
    if node["op_name"] == "Conv":
        return 2.0 * prod(outputs[0]) * prod(inputs[1][1:])
    if "MatMul" in node["op_name"] or node["op_name"] == "Gemm":
        return 2.0 * prod(outputs[0]) * inputs[0][-1]
    return 0.0


def _shortest(work: Callable[[], object]) -> float:
    work()
    seconds: list[float] = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)

"""One reader, in a process of its own, to write or to read: `python -m benchmarks.reader ACT WAY FOLDER`.

FOLDER has `cache`, ours, and `rows.npz`, the same training rows as arrays; a peer writes beside them. A way
that is read gives the batches of an epoch. One epoch is checked, those after it are counted, and the rows,
the seconds and the sums of the check are printed as one JSON object. Under torchrun each process reads its
share, on a core of its own, and all begin an epoch together.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

BATCH = 32
# Epochs that are counted, so that a figure stands on a second or more.
EPOCHS = {"ours": 12, "training": 12, "mosaicml-streaming": 1, "litdata": 4}
# A chunk of litdata is shared by two processes where their number does not divide that of the chunks.
CHUNKS = 8
Batch = dict[str, Any]


@cache
def _rows(folder: Path) -> dict[str, NDArray[Any]]:
    with np.load(folder / "rows.npz") as file:
        return dict(file)


def _row(folder: Path, index: int) -> Batch:
    values = {name: column[index] for name, column in _rows(folder).items()}
    return {**values, "id": str(values["id"]), "label": int(values["label"]), "text": str(values["text"])}


def _num_rows(folder: Path) -> int:
    return len(_rows(folder)["id"])


def _joined(rows: list[Batch]) -> Batch:
    """A batch, made by each peer's loader: torch's own way makes a tensor of every row first."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    values, labels = np.stack(columns.pop("values")), columns.pop("label")
    return {**columns, "label": torch.tensor(labels), "values": torch.from_numpy(values)}


def _streaming() -> Any:
    # Its ready-made data sets want torchvision, whose build for a CPU no package index but torch's own has.
    for part in ("multimodal", "text", "vision"):
        sys.modules[f"streaming.{part}"] = ModuleType(part)
    import streaming  # pyright: ignore[reportMissingImports]

    return streaming


def write_mosaicml_streaming(folder: Path) -> None:
    """MDS shards of 64 MB, the default, whose array has one type and one shape."""
    width = _rows(folder)["values"].shape[1]
    columns = {"id": "str", "label": "int", "text": "str", "values": f"ndarray:float16:{width}"}
    with _streaming().MDSWriter(out=str(folder / "mosaicml-streaming"), columns=columns) as writer:
        for index in range(_num_rows(folder)):
            writer.write(_row(folder, index))


def write_litdata(folder: Path) -> None:
    """Chunks of plain leaves, the format of its `optimize`."""
    import litdata  # pyright: ignore[reportMissingImports]

    litdata.optimize(
        fn=partial(_row, folder),
        inputs=list(range(_num_rows(folder))),
        output_dir=str(folder / "litdata"),
        chunk_size=_num_rows(folder) // CHUNKS,
        num_workers=1,
        verbose=False,
    )


def mosaicml_streaming(folder: Path) -> Iterable[Batch]:
    """Its StreamingDataset, shuffled by its default, in its StreamingDataLoader."""
    streaming, place = _streaming(), str(folder / "mosaicml-streaming")
    rows = streaming.StreamingDataset(local=place, shuffle=True, batch_size=BATCH)
    return streaming.StreamingDataLoader(rows, batch_size=BATCH, collate_fn=_joined)


def litdata(folder: Path) -> Iterable[Batch]:
    """Its StreamingDataset, shuffled by its default, in its StreamingDataLoader."""
    import litdata  # pyright: ignore[reportMissingImports]

    rows = litdata.StreamingDataset(str(folder / "litdata"), shuffle=True)
    return litdata.StreamingDataLoader(rows, batch_size=BATCH, collate_fn=_joined)


class Ours:
    """Batches out of our cache, the same at every epoch.

    Args:
        folder: with `cache`.
        training: give tokens, as training reads, in place of ids and texts.
    """

    def __init__(self, folder: Path, *, training: bool = False) -> None:
        import pyarrow as pa

        from benchmarks.reading import material_of
        from distill.processes import Processes
        from schemas.cache import open_cache

        pa.set_cpu_count(1)
        self._material, self._training = material_of(open_cache(folder / "cache", verify=False)), training
        self._sharers = Processes(rank=_rank(), count=_count())

    def __iter__(self) -> Iterator[Batch]:
        return self._for_training() if self._training else self._with_texts()

    def _with_texts(self) -> Iterator[Batch]:
        from benchmarks.reading import windows

        # Labels are in memory, as they are for training.
        stream: Any = self._material.train
        for batches, pick, table in windows(self._material, self._sharers, ["example_id", "fields"]):
            fields = table["fields"].combine_chunks()
            ids, texts, start = table["example_id"].to_pylist(), fields.flatten().field("text").to_pylist(), 0
            for rows_B in batches:
                end = start + len(rows_B)
                arrays = {
                    "label": torch.from_numpy(stream.labels[rows_B]),
                    "values": torch.from_numpy(pick(rows_B)),
                }
                yield {"id": ids[start:end], "text": texts[start:end], **arrays}
                start = end
            del batches, pick, table

    def _for_training(self) -> Iterator[Batch]:
        from benchmarks.reading import as_training_reads

        for labels_B, values_BD, tokens in as_training_reads(self._material, self._sharers):
            arrays = {"label": torch.from_numpy(labels_B), "values": torch.from_numpy(values_BD)}
            yield {"tokens": tokens, **arrays}


WRITERS = {"mosaicml-streaming": write_mosaicml_streaming, "litdata": write_litdata}
READERS = {
    "ours": Ours,
    "training": partial(Ours, training=True),
    "mosaicml-streaming": mosaicml_streaming,
    "litdata": litdata,
}


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _count() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def read(way: str, folder: Path) -> dict[str, float]:
    """Check an epoch, then count some: rows and seconds of this process, and what the rows sum to."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[_rank() % len(cores)]})
    torch.set_num_threads(1)
    if _count() > 1:
        distributed.init_process_group("gloo")
    batches, rows = READERS[way](folder), 0
    sums = _sums(batches)
    _meet()
    started = time.perf_counter()
    for _ in range(EPOCHS[way]):
        rows += sum(len(batch["label"]) for batch in batches)
        _meet()
    return {"rows": rows, "seconds": time.perf_counter() - started, **sums}


def _meet() -> None:
    if _count() > 1:
        distributed.barrier()


def _sums(batches: Iterable[Batch]) -> dict[str, float]:
    """Sums over the rows of an epoch that no order and no share changes: of its arrays and of its texts."""
    arrays = texts = 0
    for batch in batches:
        pairs = zip(batch["label"].tolist(), batch["values"].numpy(), strict=True)
        arrays += sum(crc32(values.tobytes(), label) for label, values in pairs)
        if "text" in batch:
            rows = zip(batch["id"], batch["text"], strict=True)
            texts += sum(crc32(f"{identifier} {text}".encode()) for identifier, text in rows)
    return {"arrays": arrays, "texts": texts}


if __name__ == "__main__":
    act, name, place = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if act == "write":
        WRITERS[name](place)
    else:
        # One write: two processes share the pipe.
        sys.stdout.write(f"{json.dumps(read(name, place))}\n")

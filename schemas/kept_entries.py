"""How much of the teacher's distributions a shard keeps: the mass of its entries, and what was clamped."""

import numpy as np
import pyarrow as pa

from schemas.codec import CODECS, count_clamped

CODEC_KEY, VOCAB_KEY = b"armada.codec", b"armada.vocab_size"


class KeptEntries:
    """Sums over the row groups of one shard.

    Args:
        schema: of the shard; its metadata names the codec and the vocabulary's size.
    """

    def __init__(self, schema: pa.Schema) -> None:
        metadata = schema.metadata or {}
        self._codec = metadata.get(CODEC_KEY, b"").decode()
        self._vocab_size = int(metadata.get(VOCAB_KEY, b"0"))
        self._mass, self._num_tokens = 0.0, 0
        self.num_clamped = 0

    def add(self, group: pa.Table) -> None:
        """Count one row group."""
        if not self._codec:
            return
        tail_T = group.column("tail_logprob").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        self._mass += float(-np.expm1(tail_T.astype(np.float64)).sum())
        self._num_tokens += len(tail_T)
        if self._codec == "packed":
            blobs = zip(group.column("topk_ids"), group.column("topk_logprobs"), strict=True)
            self.num_clamped += sum(
                count_clamped(CODECS["packed"].decode(ids.as_py(), logprobs.as_py(), self._vocab_size))
                for ids, logprobs in blobs
                if ids.is_valid
            )

    @property
    def mass(self) -> float | None:
        """Mean over tokens of the mass of their entries; None without tails."""
        return self._mass / self._num_tokens if self._num_tokens else None

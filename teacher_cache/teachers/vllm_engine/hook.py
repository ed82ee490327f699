"""Whole distributions, seen where vLLM chooses a token, so that none has to leave the engine.

vLLM gives the whole vocabulary too, as Python objects: megabytes a token. Here a token's entries are chosen
as soon as its logits are there, and nothing else of it is kept.

Letters: T tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from schemas.errors import TeacherError
from teacher_cache.teachers.local.batch import distributions
from teacher_cache.teachers.scored_tokens import ScoredTokens, from_distributions, joined
from teacher_cache.teachers.teacher import Entries

_KEY = "armada_watch"


@dataclass(slots=True, weakref_slot=True, eq=False, kw_only=True)
class Watch:
    """Looks at one text while it is written.

    Attributes:
        entries: which to keep.
        example_id: of the row.
        given: the tokens of a given answer, which are written whatever the model thinks; empty otherwise.
        seed: of the sample that is looked at: vLLM gives a request's samples one seed after another.
        temperature: that logits are divided by before they are looked at; 1 leaves them.
        fault: why there are no entries.
    """

    entries: Entries
    example_id: str
    given: Sequence[int] = ()
    seed: int | None = None
    temperature: float = 1.0
    fault: str | None = None
    _parts: dict[int, ScoredTokens] = field(default_factory=dict[int, ScoredTokens])

    def __call__(self, output_ids: list[int], logits_V: Tensor) -> Tensor:
        """Keep what the model thinks of the next token.

        Args:
            output_ids: written so far. vLLM looks at parts of a long prompt as well, and starts anew what it
                had to put aside: the last look at a place counts.
            logits_V: of the next token, float32.
        """
        place = len(output_ids)
        token = self.given[place] if place < len(self.given) else 0
        try:
            logprobs_1V = distributions(logits_V[None] / self.temperature)
            self._parts[place] = from_distributions(
                torch.tensor([token]).numpy(), logprobs_1V, self.entries, self.example_id, place
            )
        except TeacherError as error:
            self.fault = str(error)
        if not self.given:
            return logits_V
        return torch.full_like(logits_V, -torch.inf).index_fill_(
            0, torch.tensor([token]).to(logits_V.device), 0.0
        )

    def scored(self, num_tokens: int) -> ScoredTokens:
        """What was seen of the first T tokens."""
        return joined([self._parts[place] for place in range(num_tokens)])


class Watches:
    """The watches of the texts that are being written, found by what stands in a request's parameters.

    A watch is forgotten with the request that it belongs to, however that ends.
    """

    def __init__(self) -> None:
        self._watches: WeakValueDictionary[int, Watch] = WeakValueDictionary()

    def add(self, watch: Watch) -> dict[str, Any]:
        """Let a watch look at a request; extra arguments that the request must have."""
        self._watches[id(watch)] = watch
        return {_KEY: id(watch)}

    def processor(self) -> type:
        """The class that vLLM asks about every request, in this process."""
        from vllm.v1.sample.logits_processor import AdapterLogitsProcessor  # pyright: ignore[reportMissingImports]

        watches = self._watches

        class WatchingProcessor(AdapterLogitsProcessor):  # pyright: ignore[reportUntypedBaseClass]
            """Takes a request's logits to its watch."""

            def is_argmax_invariant(self) -> bool:
                """No: so it stands before the temperature."""
                return False

            def new_req_logits_processor(self, params: Any) -> Watch | None:
                """The watch of a request, if it has one."""
                watch = watches.get((params.extra_args or {}).get(_KEY, 0))
                return watch if watch is not None and watch.seed == params.seed else None

        return WatchingProcessor

"""What the first pass over a foreign file finds out: its rows' ids in order, and which signals there are."""

from dataclasses import dataclass, field

from schemas.codec import CODECS
from schemas.errors import SourceError
from teacher_cache.interchange.foreign import ForeignRow


@dataclass(slots=True)
class Survey:
    """Sums over rows.

    Attributes:
        ids: of the examples, in the file's order.
        has_texts: whether any row has one.
        vocab_size: of the entries; None where no row has any.
        models: that answered, by their own names, as far as rows say.
    """

    ids: list[str] = field(default_factory=list[str])
    has_texts: bool = False
    vocab_size: int | None = None
    models: set[str] = field(default_factory=set[str])

    def add(self, row: ForeignRow, identifier: str, codec: str) -> None:
        """Take one row.

        Raises:
            ConfigError: the codec cannot hold its entries.
            SourceError: its vocabulary is another than that of the rows before.
        """
        self.ids.append(identifier)
        self.has_texts |= bool(row.answer.texts)
        if row.model:
            self.models.add(row.model)
        if row.top is None:
            return
        CODECS[codec].encode(row.top)
        if self.vocab_size not in (None, row.top.vocab_size):
            raise SourceError(
                f"{row.place}: a vocabulary of {row.top.vocab_size}, rows before have {self.vocab_size}; "
                "import them apart"
            )
        self.vocab_size = row.top.vocab_size

    @property
    def store(self) -> tuple[str, ...]:
        """The signals that the cache will hold."""
        found = {"text": self.has_texts, "logprobs": self.vocab_size is not None}
        return tuple(name for name, there in found.items() if there)

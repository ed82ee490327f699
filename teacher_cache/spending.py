"""What a run costs: prices from a file, money and tokens spent, and a budget that is never passed."""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.answer import Answer, Usage
from schemas.errors import ConfigError, TeacherError
from schemas.example import Example
from schemas.manifest import Spent, TeacherIdentity
from schemas.manifest_file import first_fault
from teacher_cache.config import CacheConfig
from teacher_cache.teachers import TeacherSettings

_MILLION = 1_000_000
_Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Price(BaseModel):
    """What one model costs, in the file's currency.

    Attributes:
        prompt: a million prompt tokens.
        completion: a million completion tokens.
        image: one generated picture.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    prompt: _Money = 0.0
    completion: _Money = 0.0
    image: _Money = 0.0

    def of(self, usage: Usage, images: int = 0) -> float:
        """Money for so many tokens and pictures."""
        tokens = usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion
        return tokens / _MILLION + images * self.image


class _PriceFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    currency: str = "USD"
    models: dict[str, Price]


def read_price(path: Path, model: str) -> tuple[Price, str]:
    """The price of a model, and the currency.

    Raises:
        ConfigError: the file cannot be read, or has no price for the model.
    """
    try:
        prices = _PriceFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigError(f"--price-file {path}: {first_fault(error)}; see docs/teachers.md") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"--price-file {path}: {error}; give a readable TOML file") from None
    if model not in prices.models:
        known = ", ".join(sorted(prices.models)) or "nothing"
        raise ConfigError(
            f'--price-file {path}: no price for {model}, it has {known}; add [models."{model}"]'
        )
    return prices.models[model], prices.currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """The most that a row can be charged for.

    Attributes:
        requests: the first and its retries.
        samples: texts, each perhaps with a prompt of its own.
        completion_tokens: of all texts.
        system_bytes: of what stands before each prompt.
    """

    requests: int = 1
    samples: int = 1
    completion_tokens: int = 0
    system_bytes: int = 0


def make_spending(config: CacheConfig, settings: TeacherSettings, teacher: TeacherIdentity) -> "Spending":
    """Prices and budget as asked for.

    Raises:
        ConfigError: the price file cannot be read, or has no price for the teacher.
    """
    if config.price_file is None:
        return Spending()
    price, currency = read_price(config.price_file, teacher.name)
    samples = settings.generation.num_samples
    writes = not settings.entries.given_answers and bool({"text", "logprobs"} & set(settings.store))
    _check_complete(config.price_file, price, teacher, writes=writes)
    return Spending(
        price,
        currency,
        config.max_cost,
        most=Most(
            requests=1 + settings.service.max_retries,
            samples=samples,
            completion_tokens=settings.generation.max_tokens * samples if writes else 0,
            system_bytes=len((settings.generation.system or "").encode()),
        ),
        images=samples if teacher.modality == "image" else 0,
    )


def _check_complete(path: Path, price: Price, teacher: TeacherIdentity, *, writes: bool) -> None:
    """A price that is left out must not be taken for nothing."""
    drawn = teacher.modality == "image"
    wanted = ("image",) if drawn else ("prompt", "completion") if writes else ("prompt",)
    if missing := [name for name in wanted if name not in price.model_fields_set]:
        raise ConfigError(
            f'--price-file {path}: [models."{teacher.name}"] has no {missing[0]}; add it, as 0 if it is free'
        )


class Spending:
    """Tokens and money of a cache, over all its sessions, from the usage of its rows.

    What is in flight is reserved at the most it may cost, every retry included, so a budget is passed by
    nothing but what a service charges for requests that it never answered.

    Args:
        price: None counts tokens alone.
        currency: of the price.
        max_cost: None is no limit.
        most: that a row can be charged for.
        images: pictures that a row is charged for.
    """

    def __init__(
        self,
        price: Price | None = None,
        currency: str = "",
        max_cost: float | None = None,
        *,
        most: "Most | None" = None,
        images: int = 0,
    ) -> None:
        self._price, self._currency, self._max_cost = price or Price(), currency, max_cost
        self._priced = price is not None
        self._most = most or Most()
        self._images = images
        self._rows, self._prompt_tokens, self._completion_tokens, self._cost = 0, 0, 0, 0.0
        self._reserved = 0.0
        self._total_rows = 0

    def resume(self, total: int, left: int, prompt_tokens: int, completion_tokens: int) -> None:
        """Take over what earlier sessions spent.

        Args:
            total: rows that the teacher is asked about.
            left: of them, still to be asked.
            prompt_tokens: charged so far.
            completion_tokens: charged so far.
        """
        self._total_rows, self._rows = total, total - left
        self._prompt_tokens, self._completion_tokens = prompt_tokens, completion_tokens
        self._cost = self._price.of(Usage(prompt_tokens, completion_tokens), self._rows * self._images)

    def reserve(self, examples: Sequence[Example]) -> bool:
        """Set aside what these rows may cost at most; False where the budget has no room for it."""
        if self._max_cost is None:
            return True
        most = math.fsum(map(self._upper_bound, examples))
        if self._cost + self._reserved + most > self._max_cost:
            return False
        self._reserved += most
        return True

    def settle(self, examples: Sequence[Example], answers: Sequence[Answer]) -> None:
        """Replace what was set aside by what was charged.

        Raises:
            TeacherError: there is a budget, and the service does not say what it charged.
        """
        if self._max_cost is not None:
            self._reserved = max(0.0, self._reserved - math.fsum(map(self._upper_bound, examples)))
        for example, answer in zip(examples, answers, strict=True):
            if self._max_cost is not None and not (answer.usage or answer.error or self._images):
                raise TeacherError(
                    f"--max-cost {self._max_cost:g}: the service does not say what it charged for "
                    f"{example.id} (no usage), so the budget cannot be kept; run the same command without it"
                )
            usage = answer.usage or Usage(0, 0)
            self._rows += 1
            self._prompt_tokens += usage.prompt_tokens
            self._completion_tokens += usage.completion_tokens
            self._cost += self._price.of(usage, 0 if answer.error else self._images)

    def _upper_bound(self, example: Example) -> float:
        # A token is at least a byte; a picture, and a chat template, are taken for a thousand.
        given = (example.prompt or "") + (example.answer_to_score or "")
        prompt = len(given.encode()) + self._most.system_bytes + 1000 * (1 + len(example.media))
        # A service that gives one sample a request is paid the prompt for each.
        usage = Usage(prompt * self._most.samples, self._most.completion_tokens)
        return self._price.of(usage, self._images) * self._most.requests

    def exhausted(self) -> TeacherError:
        """The error of a budget that is used up; what was answered is kept."""
        return TeacherError(
            f"--max-cost {self._max_cost:g} {self._currency}: {self._cost:.4f} are spent on {self._rows} of "
            f"{self._total_rows} rows and the next may not fit; raise it and run the same command, it goes on"
        )

    @property
    def spent(self) -> Spent | None:
        """For the manifest; None where there are no prices and nothing was charged."""
        if not self._priced and not self._prompt_tokens + self._completion_tokens:
            return None
        return Spent(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            cost=round(self._cost, 6) if self._priced else None,
            projected_cost=self._projected() if self._priced else None,
            currency=self._currency or None,
        )

    def _projected(self) -> float | None:
        return round(self._cost / self._rows * self._total_rows, 6) if self._rows else None

    @property
    def note(self) -> str:
        """A few words for the progress line; empty where nothing was charged."""
        tokens = self._prompt_tokens + self._completion_tokens
        if not self._priced:
            return f"{tokens} tokens" if tokens else ""
        return f"{tokens} tokens, {self._cost:.4f} of about {self._projected() or 0:.4f} {self._currency}"

"""The connection to a service: its pace, its dialect, and the tries that a request gets."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from schemas.console import say
from schemas.errors import TeacherError
from teacher_cache.teachers.openai_service.address import Address, Key
from teacher_cache.teachers.openai_service.dialect import OPTIONS, Dialect
from teacher_cache.teachers.openai_service.faults import (
    Bill,
    GivenUpError,
    RefusedParameterError,
    RowError,
    TransientError,
    one_line,
)
from teacher_cache.teachers.openai_service.pace import Gate, Pace, wait_before
from teacher_cache.teachers.openai_service.transport import Transport
from teacher_cache.teachers.teacher import Service

# What a pause that the service asks for uses up of a row's tries: its limit is no fault, and where many wait,
# one of them is sent away many times.
_PAUSED = 1 / 8
Read = TypeVar("Read")
Reader = Callable[[dict[str, Any]], Read]


class Connection:
    """One service, open for as long as it is asked.

    Args:
        address: of the service.
        service: limits, retries and timeout.
        concurrency: requests in flight.
        most_bytes: of an answer.

    Attributes:
        key: to the service.
        dialect: what was learnt about the service.
        num_retries: requests that were sent again.

    Raises:
        TeacherError: the environment has no key, or a proxy or certificates that cannot be used.
    """

    def __init__(self, address: Address, service: Service, concurrency: int, most_bytes: int) -> None:
        self.address = address
        self.dialect = Dialect.guess(address)
        self.num_retries = 0
        self._max_retries = service.max_retries
        self._gate = Gate()
        self._pace = Pace(service)
        self._is_model_known = False
        self.key = Key.read(service.api_key_env, address)
        self._transport = Transport(address, self.key, service.timeout, concurrency, most_bytes)
        self.close = self._transport.close

    async def find(self, url: str) -> object | None:
        """Read a page that a service may not have; None then.

        Raises:
            TeacherError: it does not answer, or refuses the key.
        """

        async def once() -> object | None:
            try:
                return await self._transport.get(url)
            except TransientError as fault:
                if fault.is_reached:
                    raise
                raise RowError(str(fault)) from None

        try:
            return await self._retried(once)
        except RowError as fault:
            raise TeacherError(
                f"no service answers at {self.address.base_url} ({fault}); start it, or mend --base-url"
            ) from None

    async def ask(
        self, path: str, body: Mapping[str, Any], read: Reader[Read], bill: Bill, num_tokens: int = 0
    ) -> Read:
        """Send a request until there is an answer that can be read.

        Args:
            path: below the base URL, or a whole URL.
            body: in the common language; it is spoken in the service's dialect.
            read: takes the answer apart; raises `TransientError` where it is none, and may stumble over a
                shape that it does not expect.
            bill: what the answers cost, those that cannot be used too.
            num_tokens: estimate of what one will cost.

        Raises:
            RowError: this row cannot be answered.
            TeacherError: no row can.
        """
        while True:
            sent = self.dialect.spoken(body)
            try:
                return await self._retried(lambda sent=sent: self._post(path, sent, read, bill, num_tokens))
            except RefusedParameterError as refused:
                # Another request may have taught it while this one was on its way.
                if self.dialect.spoken(body) == sent and not self.dialect.learn(refused.name):
                    raise TeacherError(
                        f"{self.address.host} refuses {refused.name}={one_line(sent[refused.name])} "
                        f"({refused}); change {OPTIONS.get(refused.name, '--option')}, or ask another service"
                    ) from None

    async def fetch(self, url: str, most_bytes: int) -> bytes:
        """Read a file that an answer points to; see `Transport.fetch`.

        Raises:
            RowError: it cannot be had.
        """
        return await self._retried(lambda: self._transport.fetch(url, most_bytes))

    async def _retried(self, once: Callable[[], Awaitable[Read]]) -> Read:
        tries, used = 0, 0.0
        while True:
            await self._gate.wait()
            try:
                return await once()
            except TransientError as fault:
                tries += 1
                used += 1 if fault.retry_after is None else _PAUSED
                if used > self._max_retries:
                    raise GivenUpError(f"given up after {tries} tries, the last: {fault}") from None
                self.num_retries += 1
                await self._wait(fault, tries)

    async def _wait(self, fault: TransientError, tries: int) -> None:
        if fault.retry_after is None:
            await asyncio.sleep(wait_before(tries))
        elif self._gate.pause(fault.retry_after):
            say(f"{self.address.host} asks to be left alone for {fault.retry_after:.0f} s ({fault})")

    async def _post(
        self, path: str, sent: dict[str, Any], read: Reader[Read], bill: Bill, num_tokens: int
    ) -> Read:
        await self._pace.take(num_tokens)
        body = await self._transport.post(
            path, sent, lambda body: self._pace.settle(num_tokens, bill.add(body))
        )
        self._look_at_model(sent.get("model"), body.get("model"))
        try:
            return read(body)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
            cause = self._transport.clean(f"an answer of another shape ({error!r})")
            raise TransientError(cause) from None

    def _look_at_model(self, asked: object, told: object) -> None:
        """Tell once that another model answers: services have aliases, but not every other name is one."""
        if self._is_model_known or not isinstance(told, str) or told == asked:
            return
        self._is_model_known = True
        say(f"--model openai:{asked}: {self.address.host} answers as {self._transport.clean(told)}")

"""The peer of the loop over a service: what one writes in five minutes with AsyncOpenAI and a semaphore."""

import asyncio
from collections.abc import Sequence

from schemas.example import Example


async def ask_all(
    url: str, model: str, examples: Sequence[Example], *, in_flight: int, max_tokens: int
) -> None:
    """Ask a service for an answer to each example, and throw the answers away.

    Args:
        url: of the service, with `/v1`.
        model: by the name that the service gives it.
        examples: whose prompts are asked.
        in_flight: requests at once, at most.
        max_tokens: of one answer.
    """
    from openai import AsyncOpenAI

    turns = asyncio.Semaphore(in_flight)
    async with AsyncOpenAI(base_url=url, api_key="none") as client:

        async def ask(example: Example) -> None:
            async with turns:
                await client.chat.completions.create(
                    model=model,
                    messages=[{"role": "user", "content": example.prompt or ""}],
                    temperature=0,
                    max_tokens=max_tokens,
                )

        await asyncio.gather(*map(ask, examples))

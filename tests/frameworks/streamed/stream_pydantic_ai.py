"""The Pydantic AI example, streamed."""

import asyncio
import sys

from pydantic_ai import Agent

agent = Agent(sys.argv[1])


@agent.tool_plain
def look_up_order(order: int) -> str:
    """Say where an order is."""
    return f"order {order}: not delivered"


@agent.tool_plain
def file_note(order: int, text: str) -> str:
    """File a note about an order."""
    return f"filed: order {order}: {text}"


async def main() -> None:
    async with agent.run_stream("Is order 7 late? If so, file a note.") as stream:
        said = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert len(said) > 3, said
    print("".join(said))


asyncio.run(main())

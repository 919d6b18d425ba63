"""The Agents SDK example, streamed."""

import asyncio
import sys

from agents import Agent, Runner, function_tool, set_default_openai_api, set_tracing_disabled
from openai.types.responses import ResponseTextDeltaEvent

set_tracing_disabled(True)
set_default_openai_api(sys.argv[1])


@function_tool
def look_up_order(order: int) -> str:
    """Say where an order is."""
    return f"order {order}: not delivered"


@function_tool
def file_note(order: int, text: str) -> str:
    """File a note about an order."""
    return f"filed: order {order}: {text}"


async def main() -> None:
    agent = Agent(name="assistant", tools=[look_up_order, file_note], model="standin-1")
    ended = Runner.run_streamed(agent, "Is order 7 late? If so, file a note.")
    said = [
        event.data.delta
        async for event in ended.stream_events()
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
    ]
    assert len(said) > 3, said
    print("".join(said))


asyncio.run(main())

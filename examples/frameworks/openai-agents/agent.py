"""An agent of OpenAI's Agents SDK. It knows nothing of Quarterdeck.

Base URL and key come from the environment:

    quarterdeck exec assistant -- python agent.py [MODEL] [WIRE]
"""

import sys

from agents import Agent, Runner, function_tool, set_default_openai_api, set_tracing_disabled

MODEL = sys.argv[1] if len(sys.argv) > 1 else "standin-1"
WIRE = sys.argv[2] if len(sys.argv) > 2 else "chat_completions"

# The SDK would send its traces to OpenAI with the run's credential, which is worth nothing there.
set_tracing_disabled(True)
set_default_openai_api(WIRE)


@function_tool
def look_up_order(order: int) -> str:
    """Say where an order is."""
    return f"order {order}: left on Friday, due on Monday, not delivered"


@function_tool
def file_note(order: int, text: str) -> str:
    """File a note about an order."""
    return f"filed: order {order}: {text}"


agent = Agent(
    name="assistant",
    instructions="Look orders up, and file a note about every order that is late.",
    tools=[look_up_order, file_note],
    model=MODEL,
)
ended = Runner.run_sync(agent, "Order 7 has not come. Is it late? If so, file a note.")
print(ended.final_output)

"""A Pydantic AI agent, on OpenAI's wire or Anthropic's. It knows nothing of Quarterdeck.

Base URL and key come from the environment:

    quarterdeck exec assistant -- python agent.py [MODEL]
"""

import sys

from pydantic_ai import Agent

MODEL = sys.argv[1] if len(sys.argv) > 1 else "openai-chat:standin-1"

agent = Agent(MODEL, instructions="Look orders up, and file a note about every late one.")


@agent.tool_plain
def look_up_order(order: int) -> str:
    """Say where an order is."""
    return f"order {order}: left on Friday, due on Monday, not delivered"


@agent.tool_plain
def file_note(order: int, text: str) -> str:
    """File a note about an order."""
    return f"filed: order {order}: {text}"


print(agent.run_sync("Order 7 has not come. Is it late? If so, file a note.").output)

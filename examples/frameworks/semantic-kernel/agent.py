"""A Semantic Kernel agent. It knows nothing of Quarterdeck.

Base URL and key come from the environment:

    quarterdeck exec assistant -- python agent.py [MODEL]
"""

import asyncio
import sys

from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function

MODEL = sys.argv[1] if len(sys.argv) > 1 else "standin-1"


class Desk:
    """What the agent can do."""

    @kernel_function
    def look_up_order(self, order: int) -> str:
        """Say where an order is."""
        return f"order {order}: left on Friday, due on Monday, not delivered"

    @kernel_function
    def file_note(self, order: int, text: str) -> str:
        """File a note about an order."""
        return f"filed: order {order}: {text}"


async def main() -> None:
    """Ask once; the agent calls its tools by itself."""
    agent = ChatCompletionAgent(
        # Its own client would go past OPENAI_BASE_URL; OpenAI's reads it.
        service=OpenAIChatCompletion(ai_model_id=MODEL, async_client=AsyncOpenAI()),
        name="assistant",
        instructions="Look orders up, and file a note about every late one.",
        plugins=[Desk()],
    )
    print(await agent.get_response("Order 7 has not come. Is it late? If so, file a note."))


asyncio.run(main())

"""A LangGraph agent, on OpenAI's wire or Anthropic's. It knows nothing of Quarterdeck.

Base URL and key come from the environment:

    quarterdeck exec assistant -- python agent.py [MODEL]
"""

import sys

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.tools import tool

MODEL = sys.argv[1] if len(sys.argv) > 1 else "openai:standin-1"


@tool
def look_up_order(order: int) -> str:
    """Say where an order is."""
    return f"order {order}: left on Friday, due on Monday, not delivered"


@tool
def file_note(order: int, text: str) -> str:
    """File a note about an order."""
    return f"filed: order {order}: {text}"


agent = create_agent(init_chat_model(MODEL), tools=[look_up_order, file_note])
question = "Order 7 has not come. Is it late? If so, file a note."
ended = agent.invoke({"messages": [{"role": "user", "content": question}]})
print(ended["messages"][-1].content)

"""The LangGraph example, streamed token by token, with a checkpointer between its turns."""

import sys

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver


@tool
def look_up_order(order: int) -> str:
    """Say where an order is."""
    return f"order {order}: not delivered"


@tool
def file_note(order: int, text: str) -> str:
    """File a note about an order."""
    return f"filed: order {order}: {text}"


agent = create_agent(
    init_chat_model(sys.argv[1]),
    tools=[look_up_order, file_note],
    checkpointer=InMemorySaver(),
)
pieces = agent.stream(
    {"messages": [{"role": "user", "content": "Is order 7 late? If so, file a note."}]},
    {"configurable": {"thread_id": "1"}},
    stream_mode="messages",
)
said = [piece.text for piece, about in pieces if about["langgraph_node"] == "model" and piece.text]
assert len(said) > 3, said
print("".join(said))

"""An agent on OpenAI's SDK alone. It knows nothing of Quarterdeck.

Base URL and key come from the environment:

    quarterdeck exec assistant -- python agent.py [MODEL]
"""

import json
import sys

from openai import OpenAI

MODEL = sys.argv[1] if len(sys.argv) > 1 else "standin-1"


def look_up_order(order: int) -> str:
    """Say where an order is."""
    return f"order {order}: left on Friday, due on Monday, not delivered"


def file_note(order: int, text: str) -> str:
    """File a note about an order."""
    return f"filed: order {order}: {text}"


TOOLS = {"look_up_order": look_up_order, "file_note": file_note}
ORDER = {"order": {"type": "integer"}}
OFFERED = [
    {
        "type": "function",
        "function": {
            "name": "look_up_order",
            "description": look_up_order.__doc__,
            "parameters": {"type": "object", "properties": ORDER, "required": ["order"]},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "file_note",
            "description": file_note.__doc__,
            "parameters": {
                "type": "object",
                "properties": ORDER | {"text": {"type": "string"}},
                "required": ["order", "text"],
            },
        },
    },
]

client = OpenAI()
messages = [{"role": "user", "content": "Order 7 has not come. Is it late? If so, file a note."}]
while True:
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=OFFERED)
    said = answer.choices[0].message
    messages.append(said)
    if not said.tool_calls:
        break
    for call in said.tool_calls:
        result = TOOLS[call.function.name](**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(said.content)

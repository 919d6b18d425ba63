"""An agent on Anthropic's SDK alone, awaited and streamed. It knows nothing of Quarterdeck.

Base URL and key come from the environment:

    quarterdeck exec assistant -- python agent.py [MODEL]
"""

import asyncio
import sys

from anthropic import AsyncAnthropic

MODEL = sys.argv[1] if len(sys.argv) > 1 else "standin-2"


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
        "name": "look_up_order",
        "description": look_up_order.__doc__,
        "input_schema": {"type": "object", "properties": ORDER, "required": ["order"]},
    },
    {
        "name": "file_note",
        "description": file_note.__doc__,
        "input_schema": {
            "type": "object",
            "properties": ORDER | {"text": {"type": "string"}},
            "required": ["order", "text"],
        },
    },
]


async def main() -> None:
    """Ask until the model calls no tool any more."""
    question = "Order 7 has not come. Is it late? If so, file a note."
    messages = [{"role": "user", "content": question}]
    async with AsyncAnthropic() as client:
        while True:
            async with client.messages.stream(
                model=MODEL, max_tokens=1000, messages=messages, tools=OFFERED
            ) as stream:
                async for text in stream.text_stream:
                    print(text, end="", flush=True)
                said = await stream.get_final_message()
            messages.append({"role": "assistant", "content": said.content})
            calls = [block for block in said.content if block.type == "tool_use"]
            if not calls:
                break
            results = [
                {
                    "type": "tool_result",
                    "tool_use_id": call.id,
                    "content": TOOLS[call.name](**call.input),
                }
                for call in calls
            ]
            messages.append({"role": "user", "content": results})
    print()


asyncio.run(main())

"""A crew of one on CrewAI. It knows nothing of Quarterdeck.

Base URL and key come from the environment:

    quarterdeck exec assistant -- python agent.py [MODEL]
"""

import os
import sys

# CrewAI reports about its use to its makers unless told not to, before it is imported.
os.environ["CREWAI_DISABLE_TELEMETRY"] = "true"
os.environ["OTEL_SDK_DISABLED"] = "true"

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

MODEL = sys.argv[1] if len(sys.argv) > 1 else "standin-1"


@tool("look_up_order")
def look_up_order(order: int) -> str:
    """Say where an order is."""
    return f"order {order}: left on Friday, due on Monday, not delivered"


@tool("file_note")
def file_note(order: int, text: str) -> str:
    """File a note about an order."""
    return f"filed: order {order}: {text}"


assistant = Agent(
    role="Assistant of the desk",
    goal="Look orders up, and file a note about every late one",
    backstory="You answer in one sentence.",
    llm=LLM(model=MODEL, custom_openai=True),  # a model id CrewAI does not know needs the flag
    tools=[look_up_order, file_note],
)
task = Task(
    description="Order 7 has not come. Is it late? If so, file a note.",
    expected_output="One sentence.",
    agent=assistant,
)
print(Crew(agents=[assistant], tasks=[task]).kickoff())

"""An agent with two tools: the model calls them until it can answer."""

from typing import Literal

from reactivex import operators as ops

from rxresponses import ResponsesWebSocket, ServerEvent, ToolCallOutputEvent, run_tools
from rxresponses import operators as rops
from rxresponses.testing import url_or_embedded_server


def get_weather(city: Literal["Lisbon", "Oslo"]) -> dict[str, object]:
    """Return the weather in a city, now."""
    return {"city": city, "celsius": 21, "sky": "clear"}


async def book_table(restaurant: str, guests: int = 2) -> str:
    """Book a table in a restaurant."""
    return f"a table for {guests} in {restaurant}"


def show(event: ServerEvent) -> None:
    if isinstance(event, ToolCallOutputEvent):
        print(f"-- {event.name} took {event.seconds:.1f} s")


def main() -> None:
    with url_or_embedded_server() as url, ResponsesWebSocket(url) as socket:
        request = {"model": "gpt-5.2", "input": "Lunch outside in Lisbon?", "tool_choice": "required"}
        events = run_tools(socket, request, [get_weather, book_table])
        events.pipe(ops.do_action(show), rops.text_deltas(), ops.do_action(lambda text: print(text, end=""))).run()
        print()


if __name__ == "__main__":
    main()

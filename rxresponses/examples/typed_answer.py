"""Ask for an answer of a Python type, and show it while it grows."""

from dataclasses import dataclass, field

from reactivex import operators as ops

from rxresponses import ResponseCreate, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.testing import url_or_embedded_server


@dataclass
class Recipe:
    """A recipe.

    Attributes:
        minutes: how long it takes, with all breaks
    """

    title: str
    minutes: int
    steps: list[str] = field(default_factory=list[str])


def main() -> None:
    with url_or_embedded_server() as url, ResponsesWebSocket(url) as socket:
        request = ResponseCreate(model="gpt-5.2", input="How do I make pancakes?", text_format=Recipe)
        # Without `validate=True`, the parts are dictionaries, and the first one comes earlier.
        recipe = (
            socket.send_request(request)
            .pipe(rops.partial_output(Recipe, validate=True), ops.do_action(lambda part: print(f"so far: {part}")))
            .run()  # returns the last value, which is the whole recipe
        )
    print(f"{recipe.title}: {recipe.minutes} min, {len(recipe.steps)} step(s)")


if __name__ == "__main__":
    main()

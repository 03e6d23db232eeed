"""Give up a slow answer, or go on with another answer."""

from reactivex import operators as ops

from rxresponses import ResponseCreate, ResponsesWebSocket, TerminalTimeoutError
from rxresponses import operators as rops
from rxresponses.testing import url_or_embedded_server

TIMEOUT = 0.3  # seconds; the story takes longer


def main() -> None:
    story = ResponseCreate(
        model="gpt-5.2",
        input="Tell a long story about a clock that is always late, about the people who live by it without a "
        "complaint, and about the day when somebody from another town comes and puts it right.",
    )
    haiku = ResponseCreate(model="gpt-5.2-mini", input="A haiku about a clock, please.")
    with url_or_embedded_server() as url, ResponsesWebSocket(url) as socket:
        try:
            socket.send_request(story).pipe(
                rops.timeout_on_terminal(TIMEOUT),
                rops.text_deltas(),
                ops.do_action(lambda piece: print(piece, end="", flush=True)),
            ).run()
        except TerminalTimeoutError as error:
            print(f"\n-- {error} (delivery: {error.delivery})")

        # The same with a second choice.  It takes its own lane, because the story still holds the default lane.
        second_choice = socket.lane("short").send_request(haiku)
        text = (
            socket.lane("long")
            .send_request(story)
            .pipe(rops.timeout_on_terminal(TIMEOUT, second_choice), rops.collect_text())
            .run()
        )
        print(f"-- second choice: {text}")


if __name__ == "__main__":
    main()

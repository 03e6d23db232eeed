"""Print an answer as it is written, and its token count."""

from reactivex import operators as ops

from rxresponses import ResponseCompletedEvent, ResponseCreate, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.testing import url_or_embedded_server


def main() -> None:
    request = ResponseCreate(model="gpt-5.2", input="Explain in two sentences why the sky is blue.")
    with url_or_embedded_server() as url, ResponsesWebSocket(url) as socket:
        # One request, two subscribers: `replay` keeps the events for the second, which subscribes later.
        events = socket.send_request(request).pipe(ops.replay())
        events.connect()  # sends the request

        events.pipe(
            rops.timeout_on_terminal(60),
            rops.text_deltas(),
            ops.do_action(lambda piece: print(piece, end="", flush=True)),
        ).run()
        completed = events.pipe(rops.filter_by_type(ResponseCompletedEvent)).run()
    print(f"\n-- {completed.response.usage.total_tokens if completed.response.usage else 'unknown'} tokens")


if __name__ == "__main__":
    main()

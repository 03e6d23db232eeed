"""Show one response on a screen and write it to a log, with a single request."""

import logging
import sys

from reactivex import operators as ops

from rxresponses import ResponseCreate, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.testing import url_or_embedded_server

log = logging.getLogger("example")


def main() -> None:
    log.setLevel(logging.INFO)
    log.addHandler(logging.StreamHandler(sys.stderr))
    request = ResponseCreate(model="gpt-5.2", input="Say hello to the log.")
    with url_or_embedded_server() as url, ResponsesWebSocket(url) as socket:
        # Each subscription to `send_request` sends a request.  `replay` subscribes once, and gives all events to
        # each of its subscribers, also to late ones.
        response = socket.send_request(request).pipe(ops.replay())

        response.subscribe(
            on_next=lambda event: log.info("%3s %s", event.sequence_number, event.type),
            on_error=lambda error: log.error("%s", error),
        )
        response.connect()  # sends the request
        response.pipe(rops.accumulate_text(), ops.do_action(print)).run()


if __name__ == "__main__":
    main()

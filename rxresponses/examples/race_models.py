"""Ask two models at once and go on with the model that writes first."""

import reactivex
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import ResponseCreate, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.testing import url_or_embedded_server

PROMPT = "Name three uses of a paper clip."


def main() -> None:
    with url_or_embedded_server() as url, ResponsesWebSocket(url) as socket:

        def ask(model: str) -> Observable[tuple[str, str]]:
            """Return the answer of a model so far, on its own lane, so that the two models run side by side."""
            lane = socket.lane(model)
            return lane.send_request(ResponseCreate(model=model, input=PROMPT)).pipe(
                rops.accumulate_text(),
                ops.map(lambda text: (model, text)),
            )

        # `amb` disposes the slower request.  The protocol has no cancel message, so its response runs to its end at
        # the server; its events are dropped here.
        winner, text = reactivex.amb(ask("gpt-5.2"), ask("gpt-5.2-mini")).run()
    print(f"{winner} was first: {text}")


if __name__ == "__main__":
    main()

"""Ask several questions at once over one connection, and print the answers as they grow together."""

import reactivex
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import ResponseCreate, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.testing import url_or_embedded_server

QUESTIONS = {
    "sky": "Why is the sky blue?",
    "grass": "Why is the grass green?",
    "snow": "Why is the snow white?",
}


def main() -> None:
    with url_or_embedded_server() as url, ResponsesWebSocket(url) as socket:

        def ask(lane: str, question: str) -> Observable[str]:
            events = socket.lane(lane).send_request(ResponseCreate(model="gpt-5.2", input=question))
            return events.pipe(rops.text_deltas(), ops.map(lambda piece: f"{lane:>5}: {piece!r}"))

        answers = [ask(lane, question) for lane, question in QUESTIONS.items()]
        reactivex.merge(*answers).pipe(ops.do_action(print)).run()


if __name__ == "__main__":
    main()

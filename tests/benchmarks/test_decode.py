from __future__ import annotations

import json
import statistics
from timeit import timeit

from rxresponses.codec import decode
from rxresponses.events import ResponseTextDeltaEvent

FRAME = json.dumps(
    {
        "type": "response.output_text.delta",
        "item_id": "msg_0123456789abcdef0123456789abcdef",
        "output_index": 0,
        "content_index": 0,
        "delta": " hello",
        "logprobs": [],
        "sequence_number": 17,
        "obfuscation": "abcdefghijkl",
    }
).encode()
ROUNDS, TIMES = 15, 5_000


def test_a_text_delta_decodes_in_under_3_microseconds() -> None:
    event = decode(FRAME)
    assert isinstance(event, ResponseTextDeltaEvent)
    rounds = [timeit(lambda: decode(FRAME), number=TIMES) / TIMES * 1e6 for _ in range(ROUNDS)]
    plain = min(timeit(lambda: json.loads(FRAME), number=TIMES) / TIMES * 1e6 for _ in range(3))
    print(f"\none text delta: median {statistics.median(rounds):.2f} µs, best {min(rounds):.2f} µs", end="; ")
    print(f"json.loads alone: {plain:.2f} µs")
    assert statistics.median(rounds) < 3

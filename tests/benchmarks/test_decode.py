from __future__ import annotations

import json
import statistics
import subprocess
import sys

PROGRAM = """
import json
from time import process_time  # the time of this process, whatever else the machine does
from timeit import timeit
from rxresponses.codec import decode

frame = json.dumps({
    "type": "response.output_text.delta", "item_id": "msg_0123456789abcdef0123456789abcdef", "output_index": 0,
    "content_index": 0, "delta": " hello", "logprobs": [], "sequence_number": 17, "obfuscation": "abcdefghijkl",
}).encode()
assert type(decode(frame)).__name__ == "ResponseTextDeltaEvent"
for function in decode, json.loads:
    print([timeit(lambda: function(frame), number=5_000, timer=process_time) / 5_000 * 1e6 for _ in range(25)])
"""


def test_a_text_delta_decodes_in_under_3_microseconds() -> None:
    # In a process of its own, where no coverage measurement traces each line.
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    rounds, plain = map(json.loads, done.stdout.splitlines())
    print(f"\none text delta: median {statistics.median(rounds):.2f} µs, best {min(rounds):.2f} µs", end="; ")
    print(f"json.loads alone: median {statistics.median(plain):.2f} µs")
    assert statistics.median(rounds) < 3

"""The frames of a response, built before the clock starts, so that the client is the slow side."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

WORDS = (
    " the",
    " sky",
    " is",
    " blue",
    " because",
    " of",
    " light",
    ",",
    " and",
    " scattering",
    ".",
    " über",
    " 7",
    "\n",
)
ITEM = "msg_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b"
STAMP = "00000000000000000000"
"""Stands in a paced delta for the time at which it is written, in nanoseconds."""


@dataclass(frozen=True)
class Frames:
    opening: bytes
    deltas: Sequence[bytes]
    closing: bytes


def compression() -> PerMessageDeflate:
    """Return the compression of a response, with the settings that the server of websockets negotiates by default."""
    return PerMessageDeflate(False, False, 12, 12, {"memLevel": 5})


def text_frame(event: dict[str, Any], deflate: PerMessageDeflate | None = None) -> bytes:
    """Return an event as the service writes it: without spaces, and with its type first."""
    data = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    return Frame(Opcode.TEXT, data).serialize(mask=False, extensions=[] if deflate is None else [deflate])


def response_frames(
    deltas: int, stream_id: str | None = None, *, deflate: PerMessageDeflate | None = None, stamped: bool = False
) -> Frames:
    """Return the frames of one response, in the order of the service.  With `stamped`, all deltas are `STAMP`."""
    lane = {} if stream_id is None else {"stream_id": stream_id}
    draw = random.Random(0)

    def response(status: str) -> dict[str, Any]:
        event = {"type": f"response.{status if status == 'completed' else 'created'}"}
        number = deltas + 1 if status == "completed" else 0
        return {**event, "response": _response(status, deltas), "sequence_number": number, **lane}

    def delta(number: int) -> dict[str, Any]:
        text = STAMP if stamped else draw.choice(WORDS)
        padding = "".join(
            draw.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=16 - len(text))
        )
        return {
            "type": "response.output_text.delta",
            "content_index": 0,
            "delta": text,
            "item_id": ITEM,
            "logprobs": [],
            "obfuscation": padding,
            "output_index": 0,
            "sequence_number": number,
            **lane,
        }

    opening = text_frame(response("in_progress"), deflate)
    middle = [text_frame(delta(number), deflate) for number in range(1, deltas + 1)]
    return Frames(opening, middle, text_frame(response("completed"), deflate))


def interleaved(responses: Sequence[Frames]) -> bytes:
    """Return the deltas of responses that run side by side, a delta of each in turn."""
    return b"".join(frame for turn in zip(*(frames.deltas for frames in responses), strict=True) for frame in turn)


def slices(data: bytes, size: int) -> Iterator[memoryview]:
    """Return the data in pieces.  A frame may begin in one piece and end in the next, as on a real connection."""
    view = memoryview(data)
    for place in range(0, len(data), size):
        yield view[place : place + size]


def _response(status: str, deltas: int) -> dict[str, Any]:
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": deltas,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": deltas + 3,
    }
    return {
        "id": "resp_68af40301f4c8193a6e0d9e6c4d4f1c105438e46b5f69a3b",
        "object": "response",
        "created_at": 1764964102,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "bench",
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage if status == "completed" else None,
    }

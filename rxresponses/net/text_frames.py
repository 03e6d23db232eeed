"""Takes simple text frames straight out of the bytes that a connection reads, and leaves the rest to websockets.

The general parser of websockets takes ten times as long for such a frame, and nearly all frames of a server are simple:
a whole text message, unmasked, without reserved bits, at most 65,535 bytes long.
"""

from __future__ import annotations

from typing import Any, Protocol

from websockets.protocol import State

_TEXT = 0x81  # the first byte of a frame that is a whole text message
_LENGTH_16, _LENGTH_64 = 126, 127  # in the second byte: the length of the payload stands in the next 2, or 8, bytes
_MASKED = 0x80  # a bit of the second byte
_LARGEST = 2**16 - 1
_OPCODES = frozenset({0, 1, 2, 8, 9, 10})  # continuation, text, binary, close, ping, pong


class FrameParser(Protocol):
    """What `TextFrames` needs of the protocol of websockets."""

    debug: bool  # whether it logs each frame
    events: list[Any]

    @property
    def state(self) -> State: ...

    def receive_data(self, data: bytes) -> None:
        """Parse frames, and append them to `events`."""


class TextFrames:
    """Splits what is read from an open connection into simple text frames and bytes that go to websockets.

    The first byte that is received has to be the first byte of a frame.  From there on, `TextFrames` counts the bytes
    of each frame, and notes whether a fragmented message has begun.  So it knows where the next frame begins, also
    behind a frame that websockets parses, and does not depend on how websockets parses.
    """

    def __init__(self, parser: FrameParser, max_message_size: int) -> None:
        self._parser = parser
        self._largest = min(max_message_size, _LARGEST)
        self._limit = self._largest  # bytes of the payload of a simple frame; -1 in a fragmented message: none may come
        self._kept = bytearray()  # the beginning of a frame: a simple one, or one whose header is not complete
        self._foreign = 0  # bytes that are still to come of a frame whose beginning websockets has

    def take_kept(self) -> bytes:
        """Return the beginning of a frame that was kept, for websockets."""
        kept = bytes(self._kept)
        self._kept.clear()
        return kept

    def receive(self, data: bytes) -> bytes | None:
        """Append the messages in `data` to the events of the parser: simple text frames as `bytes`, others as frames.

        Returns `None` if there were only simple frames.  If there were others, the parser has received them, all but
        the last bytes: these are returned and have to go to the parser, even if they are empty.
        """
        parser = self._parser
        if parser.state is not State.OPEN or parser.debug:
            return self.take_kept() + data
        append = parser.events.append
        start = 0
        rest = None
        if self._kept:
            missing = self._missing()
            if missing is None:  # only a few bytes
                data = self.take_kept() + data
            elif len(data) < missing:
                self._kept += data
                return None
            else:
                start = missing
                message = self.take_kept() + data[:missing]
                append(message[2 if message[1] < _LENGTH_16 else 4 :])
        foreign, self._foreign = self._foreign, 0
        end = len(data)
        while foreign or start < end:
            if not foreign:
                limit = self._limit
                try:
                    while start < end:
                        if data[start] != _TEXT:
                            break
                        length = data[start + 1]
                        begin = start + 2
                        if length >= _LENGTH_16:
                            if length > _LENGTH_16:
                                break
                            length = data[begin] << 8 | data[begin + 1]
                            begin += 2
                        stop = begin + length
                        if stop > end or length > limit:
                            break
                        append(data[begin:stop])
                        start = stop
                except IndexError:
                    pass  # the header is cut
                if start == end:
                    break
            stop = self._skip_others(data, start + foreign)
            foreign = 0
            if stop == start:
                self._kept += data[start:]
                break
            if stop == end:
                return data[start:]
            parser.receive_data(data[start:stop])
            start = stop
            if parser.state is not State.OPEN:
                return data[start:]
            rest = b""
        return rest

    def _missing(self) -> int | None:
        """Return how many bytes the kept frame still needs, `None` if its header may be incomplete."""
        kept = self._kept
        if len(kept) < 4 or kept[1] == _LENGTH_64:
            return None
        return (2 + kept[1] if kept[1] < _LENGTH_16 else 4 + (kept[2] << 8 | kept[3])) - len(kept)

    def _skip_others(self, data: bytes, start: int) -> int:
        """Return where the frames end that are for websockets, and note what is to come of the last one.

        That is before a simple frame, before a header that is not complete, or at the end of `data`.
        """
        while start < len(data):
            header = data[start : start + 10]
            if len(header) < 2:
                return start
            first, length = header[0], header[1]
            opcode = first & 0x0F
            if length & _MASKED or opcode not in _OPCODES:
                return len(data)  # websockets fails the connection
            size = 2
            if length >= _LENGTH_16:
                size = 4 if length == _LENGTH_16 else 10
                if len(header) < size:
                    return start
                length = int.from_bytes(header[2:size], "big")
            if first == _TEXT and size < 10 and length <= self._limit:
                return start
            if opcode <= 2:
                self._limit = self._largest if first & 0x80 else -1
            start += size + length
        self._foreign = start - len(data)
        return len(data)

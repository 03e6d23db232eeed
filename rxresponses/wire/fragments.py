"""A WebSocket message that comes in fragments, put together as they come."""

from __future__ import annotations

MAX_FRAGMENTS = 2**17
"""How many fragments a message may have: 131,072, so that 64 MiB may come in fragments of 512 bytes.

The size of a message limits its memory, but not the number of its empty fragments, each of which costs time.
"""


class FragmentedMessage:
    """The fragments so far of one message.  It takes the memory of their bytes, however small each fragment is."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._count = 0

    def add(self, fragment: bytes | bytearray | memoryview) -> bool:
        """Add a fragment; return `False`, and forget the message, when it has more than `MAX_FRAGMENTS`."""
        self._count += 1
        if self._count > MAX_FRAGMENTS:
            self._data.clear()
            return False
        self._data += fragment
        return True

    def take(self) -> bytes:
        """Return the message, and be ready for the next one."""
        message = bytes(self._data)
        self._data.clear()
        self._count = 0
        return message

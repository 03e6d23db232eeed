"""Which line of an input was the first with a key, for millions of lines in little memory."""

from __future__ import annotations

from array import array

_SMALLEST = 1024  # slots
_MASK = 2**64 - 1


class FirstLines:
    """A hash table from keys of 64 bits to the line that had the key first.

    Ten million different keys take about 200 MB; a dictionary would take about 1 GB.
    """

    def __init__(self) -> None:
        self._keys = array("Q")
        self._lines = array("I")
        self._slots = array("I", bytes(4 * _SMALLEST))  # each has the number of its key, from 1, or 0 if it is free

    def of(self, key: int, line: int) -> int:
        """Return the first line with this key: that of an earlier call, or else `line`."""
        key &= _MASK
        slot = self._slot(key)
        number = self._slots[slot]
        if number:
            return self._lines[number - 1]
        self._keys.append(key)
        self._lines.append(line)
        self._slots[slot] = len(self._keys)
        if 3 * len(self._keys) > 2 * len(self._slots):
            self._grow()
        return line

    def _slot(self, key: int) -> int:
        """Return the slot of a key, or the free slot where it belongs."""
        slots, keys, last = self._slots, self._keys, len(self._slots) - 1
        slot = (key ^ key >> 32) & last
        while (number := slots[slot]) and keys[number - 1] != key:
            slot = (slot + 1) & last
        return slot

    def _grow(self) -> None:
        self._slots = array("I", bytes(8 * len(self._slots)))
        for number, key in enumerate(self._keys, 1):
            self._slots[self._slot(key)] = number

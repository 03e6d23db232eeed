"""Lines that ask for the same: one of them is sent, and the others get copies of its result."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator

from .first_lines import FirstLines
from .lines import Task, content_digest
from .results import Results

_NOWHERE = 2**64 - 1  # the place of a result that does not exist


class Copies:
    """Groups the lines of an input by what they ask for, apart from `custom_id` and the order of the keys.

    `read` goes through the input; after that, `in` tells whether a line is to be left out of the run, because another
    line of its group has a result or is sent.  `write` then gives these lines their results.  Of an earlier run, any
    result of the group is taken, and an answer rather than a failure.

    A line takes five bytes of memory, and about 40 bytes while the input is read.  Groups are told apart by digests of
    64 bits: among ten million lines, the probability that two different requests are taken for the same is about 1 in
    400,000.
    """

    def __init__(self, task_of: Callable[[int, bytes], Task], results: Results) -> None:
        self._task_of = task_of
        self._results = results
        self._groups = array("I")  # by line: the first line of its group, 0 for what is no request
        self._have_result = bytearray()  # by the first line of a group

    def read(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Yield the lines, and remember what each of them asks for."""
        first_lines = FirstLines()
        for number, line in lines:
            self._groups.frombytes(bytes(4 * (number + 1 - len(self._groups))))
            self._have_result.extend(bytes(number + 1 - len(self._have_result)))
            request = self._task_of(number, line).request
            if not isinstance(request, Exception):
                group = first_lines.of(int.from_bytes(content_digest(request), "big"), number)
                self._groups[number] = group
                if number in self._results:
                    self._have_result[group] = 1
            yield number, line

    def __contains__(self, number: int) -> bool:
        group = self._group(number)
        return group != 0 and number not in self._results and (group != number or self._have_result[group] != 0)

    def __len__(self) -> int:
        return sum(number in self for number in range(len(self._groups)))

    def write(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[bool]:
        """Write the results of lines whose group has one; yield for each whether it is a failure."""
        places = array("Q", [_NOWHERE]) * len(self._groups)
        failed = bytearray(len(self._groups))  # whether the result at this place is a failure
        for place, head in self._results.places():
            group, is_failure = self._group(head.line), self._results.is_failed(head)
            if group and (places[group] == _NOWHERE or failed[group] > is_failure):
                places[group], failed[group] = place, is_failure
        for number, line in lines:
            if number in self and (place := places[self._group(number)]) != _NOWHERE:
                yield self._results.write_copy(self._task_of(number, line), place)

    def _group(self, number: int) -> int:
        return self._groups[number] if number < len(self._groups) else 0  # a line that came during the run

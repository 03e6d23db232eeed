"""The output: a line of JSON for each result, and which lines of the input have theirs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import tempfile
from array import array
from collections.abc import Collection, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .lines import OWN, digest
from .lock import lock
from .result_lines import Head, copied_line, is_torn, json_line_of, read_head

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11

    from .lines import Task
    from .run import Result
    from .spending import Spending

_EMBEDDED = "embedded"
# Appending puts each result at the end of the file, even if another program has shortened it.  Opening a FIFO must
# not block before the check that it is no regular file.  Windows has a text mode, which changes line ends.
_OPEN = os.O_RDWR | os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Results:
    """The results file, locked for one run.

    Opening the file locks it and reads its results; `begin` makes the first change.  A result takes two bytes of
    memory.  `lines` is the highest possible line number.  With `retry_failed`, failed lines count as missing.
    Lines whose outcome is in `failing` count as failed, those of earlier runs too.  `refused` and `incomplete` count
    the answers with that outcome, and `copied` those that are copies of the answer to another line.  `model` is the
    model of lines that name none.  `embedded` says that the embedded server answers.  `spending` is told what the
    results in the file cost; that of failures that are tried again goes into `earlier_usage` of the next result.

    Raises `ConfigurationError` for a file that another run has locked, that is no file of results, or whose
    answers would be mixed with others: those of another `model`, those to another `schema` (its digest), or those that
    the embedded server made up.
    """

    def __init__(
        self,
        path: str,
        *,
        lines: int,
        retry_failed: bool = False,
        failing: Collection[str] = (),
        model: str | None = None,
        embedded: bool = False,
        schema: str | None = None,
        spending: Spending | None = None,
    ) -> None:
        self.path = path
        self._failing = failing
        self._model = model
        self._embedded = embedded
        self._schema = schema
        self._spending = spending
        self._earlier: dict[int, list[Any]] = {}  # by line: the usage of failures that are tried again
        self.answered = self.failed = self.refused = self.incomplete = self.copied = 0
        self._file = os.path.realpath(path)  # a new file must not replace a link to the old one
        self._checks = array("H")
        self._retries = 0
        self._size = 0  # bytes of whole lines
        self._ended = True  # the last line has its line break
        try:
            self._fd = _open_alone(self._file, path)
        except OSError as error:
            raise ConfigurationError(f"cannot write the results: {error}") from error
        try:
            self._scan(lines, retry_failed)
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def __contains__(self, number: int) -> bool:
        return number < len(self._checks) and self._checks[number] != 0

    def check(self, lines: Iterable[tuple[int, bytes]]) -> int:
        """Return the number of lines; raise `ConfigurationError` if the results are those of another input."""
        count = found = 0
        for number, line in lines:
            count += 1
            if number in self:
                if self._checks[number] != _check(digest(line)):
                    raise ConfigurationError(
                        f"line {number} of the input is not the one that has its result in {self.path}: give each "
                        "input its own output; after a failed line was corrected, use --retry-failed"
                    )
                found += 1
        if found < self.answered + self.failed:
            raise self._has_others()
        return count

    def recount(self, lines: Iterable[tuple[int, bytes]]) -> int:
        """Count again, from the file itself, the results of these lines; return the number of lines.

        Another program may have shortened, removed or replaced the file or the input during the run.
        """
        count = 0
        wanted = array("H")
        for number, line in lines:
            count += 1
            _put(wanted, number, _check(digest(line)))
        self.answered = self.failed = self.refused = self.incomplete = self.copied = 0
        for _, head in self.places() if self._is_in_place() else ():
            if head.line < len(wanted) and wanted[head.line] == _check(head.digest):
                wanted[head.line] = 0
                self._count(head)
        return count

    def places(self) -> Iterator[tuple[int, Head]]:
        """Yield where in the file each result begins, in bytes, and its head."""
        with open(self._fd, "rb", closefd=False) as file:
            file.seek(0)
            place = 0
            for line in file:
                head = read_head(line)
                if head is not None:
                    yield place, head
                place += len(line)

    def _line_at(self, place: int) -> bytes:
        # Without a buffer: what is written meanwhile moves the position in the file.
        os.lseek(self._fd, place, os.SEEK_SET)
        data = bytearray()
        while piece := os.read(self._fd, max(4096, len(data))):
            data += piece
            if b"\n" in piece:
                break
        return bytes(data.partition(b"\n")[0])

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._file))
        except OSError:
            return False

    def begin(self) -> None:
        """Make the file ready for new results: remove a torn last line, and failures that are tried again."""
        if self._retries:
            self._leave_failures_out()
        elif os.fstat(self._fd).st_size > self._size:
            os.ftruncate(self._fd, self._size)
        os.lseek(self._fd, 0, os.SEEK_END)
        if not self._ended:
            self._write(b"\n")

    def write(self, result: Result) -> None:
        """Add a result; raise `OSError` if the file was removed or replaced: the result would be lost."""
        earlier = self._earlier.pop(result.task.line, ())
        result = dataclasses.replace(result, earlier=(*earlier, *result.earlier)) if earlier else result
        task = result.task
        error: dict[str, Any] | None = None if result.error is None else {}
        origin = {"server": _EMBEDDED} if self._embedded else {}
        head = Head(task.line, task.digest, outcome=result.outcome, error=error)
        self._add(head, json_line_of({**result.to_dict(), **origin}))

    def write_copy(self, task: Task, place: int) -> bool:
        """Give a task the result at a place in the file, that of another task; return whether it is a failure."""
        source = self._line_at(place)
        head = read_head(source)
        if head is None:
            raise OSError(f"{self.path} was changed during the run")
        head.line, head.digest, head.copy_of = task.line, task.digest, head.line
        self._add(head, copied_line(source, task.head()))
        return self.is_failed(head)

    def _add(self, head: Head, line: bytes) -> None:
        if not self._is_in_place():
            raise OSError(f"{self.path} was removed or replaced during the run, and the results in it are lost")
        self._end_last_line()
        self._write(line + b"\n")
        self._remember(head)

    def _write(self, data: bytes) -> None:
        # One write, so that a kill leaves at most one torn line.  A full disk takes a part, and then raises.
        while data:
            data = data[os.write(self._fd, data) :]

    def _end_last_line(self) -> None:
        """Cut off a torn last line, if another program has shortened the file; later lines must not continue it."""
        size, tail = os.lseek(self._fd, 0, os.SEEK_END), b""
        for length in (1, 4096, 2**27, size):
            start = max(size - length, 0)
            os.lseek(self._fd, start, os.SEEK_SET)
            tail = os.read(self._fd, size - start)
            if not tail or tail.endswith(b"\n"):
                return
            if b"\n" in tail:
                break
        last = tail.rpartition(b"\n")[2]
        if read_head(last) is not None:
            self._write(b"\n")
        else:
            os.ftruncate(self._fd, size - len(last))

    def _scan(self, lines: int, retry_failed: bool) -> None:
        with open(self._fd, "rb", closefd=False) as file:
            for number, line in enumerate(file, 1):
                head = read_head(line)
                if head is None:
                    if is_torn(line):
                        return
                    raise ConfigurationError(
                        f"line {number} of {self.path} is no result of a batch: give another output"
                    )
                if head.line in self:
                    raise ConfigurationError(
                        f"{self.path} has two results of line {head.line}, which no run writes: give another output"
                    )
                if head.line > lines:
                    raise self._has_others()
                self._size += len(line)
                self._ended = line.endswith(b"\n")
                if self._spending is not None:
                    self._spending.add(head)
                if retry_failed and self.is_failed(head):
                    self._retries += 1
                    if head.usages:
                        self._earlier[head.line] = head.usages
                    continue
                self._check_origin(head)
                self._remember(head)

    def _check_origin(self, head: Head) -> None:
        """Raise for an answer that must not be mixed with those of this run; the file would not show the difference."""
        if head.error is not None:
            return
        made_up = head.server == _EMBEDDED
        if made_up and not self._embedded:
            raise ConfigurationError(
                f"{self.path} has answers that the embedded test server made up: give another output for the answers "
                "of a model, or delete this file"
            )
        if self._embedded and not made_up:
            raise ConfigurationError(
                f"{self.path} has answers of a service, and without a key the embedded test server would make up the "
                "missing answers: set OPENAI_API_KEY, or give another output"
            )
        if None not in (head.model, self._model) and head.model != self._model:
            raise ConfigurationError(
                f"{self.path} has answers of {head.model!r} to lines that name no model, and the missing lines would "
                f"go to {self._model!r}: go on with --model {head.model}, or give another output"
            )
        if head.schema not in (OWN, self._schema):
            which = "another schema" if head.schema else "no schema"
            raise ConfigurationError(
                f"{self.path} has answers that were asked for with {which}: go on as that run, or give another output"
            )

    def _has_others(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self.path} has results of lines that the input does not have: give each input its own output"
        )

    def is_failed(self, head: Head) -> bool:
        """Whether the line of this result has failed."""
        return head.error is not None or head.outcome in self._failing

    def _remember(self, head: Head) -> None:
        _put(self._checks, head.line, _check(head.digest))
        self._count(head)

    def _count(self, head: Head) -> None:
        if self.is_failed(head):
            self.failed += 1
            return
        self.answered += 1
        self.refused += head.outcome == "refused"
        self.incomplete += head.outcome == "incomplete"
        self.copied += head.copy_of is not None

    def in_order(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes, bytes | None]]:
        """Yield each of these lines with its number and its result as it is in the file, `None` without one."""
        places = self._places_by_line()
        for number, line in lines:
            place = places[number] if number < len(places) else 0
            yield number, line, self._line_at(place - 1) if place else None

    def sort(self) -> None:
        """Sort the file by the numbers of the lines, in one step; leave it as it is if it is sorted."""
        if not self._is_in_place():
            return  # what took the place of the file is not ours
        latest = 0
        for _, head in self.places():
            if head.line < latest:
                break
            latest = head.line
        else:
            return
        self._replace(self._line_at(place - 1) for place in filter(None, self._places_by_line()))

    def _places_by_line(self) -> array[int]:
        """Return for each line where its result begins, in bytes and plus 1, or 0."""
        places = array("Q")
        for place, head in self.places():
            _put(places, head.line, place + 1)
        return places

    def _leave_failures_out(self) -> None:
        with open(self._fd, "rb", closefd=False) as old:
            old.seek(0)
            self._replace(line for line in old if (head := read_head(line)) is not None and not self.is_failed(head))

    def _replace(self, lines: Iterable[bytes]) -> None:
        """Replace the file by one with these lines, in one step; the new file is locked before that."""
        fd, new = tempfile.mkstemp(prefix=f"{os.path.basename(self._file)}.", dir=os.path.dirname(self._file))
        os.close(fd)
        fd = os.open(new, _OPEN)
        try:
            lock(fd, self.path)
            with open(fd, "wb", closefd=False) as file:
                file.writelines(line.rstrip(b"\n") + b"\n" for line in lines)
            os.chmod(new, stat.S_IMODE(os.fstat(self._fd).st_mode))
            os.fsync(fd)
            if os.name == "nt":  # Windows does not replace a file that is open
                os.close(self._fd)
                os.close(fd)
                os.replace(new, self._file)
                self._fd = fd = _open_alone(self._file, self.path)
                self._ended = True
                return
            os.replace(new, self._file)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        os.close(self._fd)
        self._fd, self._ended = fd, True


def _check(digest: str) -> int:
    """Return 16 bits of a digest, never 0.  That is enough to notice a changed line."""
    return int(digest, 16) % 0xFFFF + 1


def _put(checks: array[int], line: int, check: int) -> None:
    if line >= len(checks):
        checks.frombytes(bytes(checks.itemsize * (line + 1 - len(checks))))
    checks[line] = check


def _open_alone(file: str, path: str) -> int:
    while True:
        fd = os.open(file, _OPEN | os.O_CREAT, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ConfigurationError(f"{path} is no regular file, so no run could be resumed: give another output")
            lock(fd, path)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), os.stat(file)):
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # another run replaced the file before the lock, and has ended

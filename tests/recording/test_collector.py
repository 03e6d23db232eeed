"""A collector takes what is noted on its tapes until it ends, and tells those that listen once."""

from __future__ import annotations

import threading

from rxresponses.recording.collector import TapeCollector
from rxresponses.recording.tape import Tape


class Collector(TapeCollector):
    def __init__(self) -> None:
        super().__init__()
        self._is_open = True

    @property
    def is_open(self) -> bool:
        return self._is_open

    def close(self) -> None:
        with self._lock:
            was_open, self._is_open = self._is_open, False
        if was_open:
            self._ended()


def test_a_tape_that_is_added_late_is_returned_and_not_taken() -> None:
    collector = Collector()
    early = collector.add(Tape())
    collector.close()
    late = Tape()
    assert collector.add(late) is late
    early.entries.append(1)
    late.entries.append(2)
    assert collector._take() == []
    assert early.entries == [1]


def test_the_frame_of_another_tape() -> None:
    class Noted(Tape):
        def request_of(self, frame: object) -> object:
            return "r" if frame == b"frame" else None

    collector = Collector()
    collector.add(Tape())
    noted = collector.add(Noted())
    assert collector.find(b"frame") == (noted, "r")
    assert collector.find(b"other") is None


def test_listeners_are_called_once() -> None:
    collector = Collector()
    calls: list[str] = []
    collector.when_ended(lambda: calls.append("early"))
    with collector:
        assert calls == []
    collector.dispose()
    assert calls == ["early"]
    collector.when_ended(lambda: calls.append("late"))
    assert calls == ["early", "late"]


def test_listeners_are_called_once_when_threads_close_it_together() -> None:
    collector = Collector()
    calls: list[int] = []
    collector.when_ended(lambda: calls.append(1))
    together = threading.Barrier(4)

    def close() -> None:
        together.wait()
        collector.close()

    threads = [threading.Thread(target=close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [1]


def test_a_block_is_taken_from_each_tape_and_closed_ones_are_forgotten_when_empty() -> None:
    collector = Collector()
    first, second = collector.add(Tape()), collector.add(Tape())
    first.entries += [1, 2, 3]
    second.is_closed = True
    assert collector._take(2) == [(first, [1, 2]), (second, [])]
    assert collector._take(2) == [(first, [3]), (second, [])]
    assert collector._take(2) == []
    collector._forget_closed()
    assert collector._tapes == [first]

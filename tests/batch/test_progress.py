from __future__ import annotations

import sys
import time
from functools import partial

import pytest

from rxresponses import ClientState, FleetMemberState, FleetState, InvalidRequestError
from rxresponses.batch.lines import Task
from rxresponses.batch.progress import Progress
from rxresponses.batch.run import Result
from tests.support.streams import Terminal

from .conftest import Clock

PATIENCE = 20  # seconds until a bar that is not drawn again is taken for broken
TASK = Task(1, "", {})
ANSWER = Result(TASK, response={"usage": {"output_tokens": 30}})
FAILURE = Result(TASK, error=InvalidRequestError("wrong"))


class DrawnTerminal(Terminal):
    def wait_for(self, wanted: str) -> None:
        until = time.monotonic() + PATIENCE
        while wanted not in self.getvalue():
            assert time.monotonic() < until, self.getvalue()[-200:]
            time.sleep(0.01)


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> DrawnTerminal:
    terminal = DrawnTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    return terminal


class TestText:
    def test_before_the_first_result(self, clock: Clock) -> None:
        progress = Progress(8, 2, 1, clock=clock)
        clock.now += 5
        assert str(progress) == "3 of 8 done, 1 failed"

    def test_more_may_be_shown(self, clock: Clock) -> None:
        progress = Progress(8, clock=clock)
        progress.show(lambda: "3 workers")
        assert str(progress) == "0 of 8 done, 0 failed, 3 workers"

    def test_rates_count_only_this_run(self, clock: Clock) -> None:
        progress = Progress(8, 2, 1, clock=clock)
        progress.add(ANSWER)
        progress.add(FAILURE)
        assert str(progress) == "5 of 8 done, 2 failed"  # no time has passed
        clock.now += 10
        assert str(progress) == "5 of 8 done, 2 failed, 3 tokens/s, 0:00:15 left"

    def test_long_runs(self, clock: Clock) -> None:
        progress = Progress(10_001, clock=clock)
        clock.now += 20
        progress.add(ANSWER)
        assert str(progress).endswith(", 2 tokens/s, 2 days, 7:33:20 left")


class TestLines:
    def test_a_line_every_ten_seconds(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        with Progress(100, clock=clock) as progress:
            for _ in range(50):
                clock.now += 1
                progress.add(ANSWER)
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines() == [
            "10 of 100 done, 0 failed, 30 tokens/s, 0:01:30 left",
            "20 of 100 done, 0 failed, 30 tokens/s, 0:01:20 left",
            "30 of 100 done, 0 failed, 30 tokens/s, 0:01:10 left",
            "40 of 100 done, 0 failed, 30 tokens/s, 0:01:00 left",
            "50 of 100 done, 0 failed, 30 tokens/s, 0:00:50 left",
        ]

    def test_on_a_terminal_without_rich(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = on_terminal(monkeypatch)
        monkeypatch.setitem(sys.modules, "rich.console", None)  # importing it is an ImportError
        with Progress(2, clock=clock) as progress:
            clock.now += 10
            progress.add(ANSWER)
        assert terminal.getvalue() == "1 of 2 done, 0 failed, 3 tokens/s, 0:00:10 left\n"


class TestWaiting:
    def test_for_a_connection(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        with Progress(9, clock=clock) as progress:
            progress.wait(ClientState(queued=9, reconnect_in=0.5))
            assert str(progress) == "0 of 9 done, 0 failed, cannot connect: trying again in 0.5 s"
            clock.now += 0.25
            assert str(progress) == "0 of 9 done, 0 failed, cannot connect: trying again in 0.2 s"
            clock.now += 1
            assert str(progress) == "0 of 9 done, 0 failed, cannot connect: trying again in 0.0 s"
            progress.wait(ClientState(queued=9, connecting=1))
            assert str(progress) == "0 of 9 done, 0 failed"
        assert capsys.readouterr().err == "cannot connect: trying again in 0.5 s\n"

    def test_after_a_rate_limit(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        with Progress(9, clock=clock) as progress:
            progress.wait(ClientState(open=1, queued=9, paused_for=7.0))
        assert capsys.readouterr().err == "paused for 7.0 s: the server asks for fewer requests\n"

    def test_not_while_there_is_another_connection(self, clock: Clock) -> None:
        progress = Progress(9, clock=clock)
        progress.wait(ClientState(open=1, reconnect_in=2.0))
        assert str(progress) == "0 of 9 done, 0 failed"

    def test_at_most_a_line_every_ten_seconds(self, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
        with Progress(9, clock=clock) as progress:
            for second in range(25):
                progress.wait(ClientState(reconnect_in=float(second)))
                progress.wait(ClientState(connecting=1))
                clock.now += 1
        waits = [line.split("again in ")[1] for line in capsys.readouterr().err.splitlines()]
        assert waits == ["0.0 s", "10.0 s", "20.0 s"]

    def test_in_the_bar(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = on_terminal(monkeypatch)
        with Progress(4, clock=clock) as progress:
            progress.wait(ClientState(reconnect_in=3.0))
        assert "0 of 4 done, 0 failed, cannot connect: trying again in 3.0 s" in terminal.getvalue()


class TestBar:
    def test_grows(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = on_terminal(monkeypatch)
        with Progress(4, 1, clock=clock) as progress:
            clock.now += 10
            progress.add(ANSWER)
            progress.add(FAILURE)
        last = terminal.getvalue().splitlines()[-2]  # below it, the cursor comes back
        assert "3 of 4 done, 1 failed, 3 tokens/s, 0:00:05 left" in last
        assert "━" in last

    def test_starts_with_the_results_of_earlier_runs(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = on_terminal(monkeypatch)
        with Progress(4, 1, clock=clock):
            pass
        assert "1 of 4 done, 0 failed" in terminal.getvalue()

    def test_goes_on_without_results(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """The seconds left are drawn again while no result comes."""
        terminal = on_terminal(monkeypatch)
        with Progress(4, clock=clock) as progress:
            progress.wait(ClientState(reconnect_in=9.0))
            for left in ("9.0 s", "8.0 s", "7.0 s"):
                terminal.wait_for(f"trying again in {left}")
                clock.now += 1

    def test_ends_with_its_context(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = on_terminal(monkeypatch)
        with pytest.raises(RuntimeError), Progress(4, clock=clock):
            raise RuntimeError
        assert terminal.getvalue().endswith("\x1b[?25h")  # the cursor is back


class TestTimeLeft:
    def test_scenario_71_does_not_grow_while_no_result_comes(self, clock: Clock) -> None:
        progress = Progress(10, clock=clock)
        clock.now += 10
        progress.add(ANSWER)
        clock.now += 1000
        assert str(progress).endswith(", 0:01:30 left")

    def test_scenario_71_is_not_told_while_the_client_cannot_connect(self, clock: Clock) -> None:
        progress = Progress(10, clock=clock)
        clock.now += 10
        progress.add(ANSWER)
        progress.wait(ClientState(reconnect_in=5.0))
        clock.now += 1
        assert str(progress).endswith(" tokens/s, cannot connect: trying again in 4.0 s")
        progress.wait(ClientState(open=1))
        assert str(progress).endswith(", 0:01:30 left")


def test_lines_that_are_copies_take_no_time(clock: Clock) -> None:
    progress = Progress(9, copies=4, clock=clock)
    clock.now += 10
    progress.add(ANSWER)
    assert str(progress) == "1 of 9 done, 0 failed, 3 tokens/s, 0:00:40 left"
    progress.add_copy(failed=False)
    progress.add_copy(failed=True)
    assert str(progress) == "3 of 9 done, 1 failed, 3 tokens/s, 0:00:40 left"


def test_a_fleet_without_a_server_that_works(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    row = partial(FleetMemberState, url="ws://127.0.0.1")
    progress = Progress(9, clock=clock)
    for members in ((), (row(trial_in=5.0), row()), (row(paused_for=3.0), row(open=1))):
        progress.wait(FleetState(members=members))
        assert str(progress) == "0 of 9 done, 0 failed"
    progress.wait(FleetState(members=(row(trial_in=5.0), row(paused_for=3.0))))
    assert str(progress) == "0 of 9 done, 0 failed, no server takes requests: trying again in 3.0 s"
    assert capsys.readouterr().err == "no server takes requests: trying again in 3.0 s\n"
    progress.wait(FleetState(members=(row(trial_in=0.0),)))
    assert str(progress).endswith("trying again in 0.0 s")

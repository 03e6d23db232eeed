"""Asks the user at the terminal whether a tool may be called."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from reactivex import Observable
from reactivex.subject import AsyncSubject

from ..conversations.events import ToolApprovalEvent
from ..redaction import terminal_line
from .event_lines import arguments_of
from .stderr import write_line


class Approvals:
    """Brings the answers of the user to the run of tools.

    The run asks on a thread of its own, with `approve`.  The user is asked on the thread of the command, by `decide`,
    where Ctrl-C ends the turn and nothing else is written meanwhile.
    """

    def __init__(self, ask: Callable[[str], str] | None = None) -> None:
        self._ask = ask
        self._always: set[str] = set()
        self._answers: dict[str, AsyncSubject[bool]] = {}
        self._lock = threading.Lock()

    def approve(self, event: ToolApprovalEvent) -> Observable[bool]:
        """Return the answer for a call, once there is one."""
        return self._answer(event.call_id)

    def decide(self, event: ToolApprovalEvent) -> None:
        """Ask the user about a call.  Without a user at a terminal, the answer is no."""
        answer = self._answer(event.call_id)
        answer.on_next(self._may_run(event))
        answer.on_completed()

    def _may_run(self, event: ToolApprovalEvent) -> bool:
        if event.name in self._always:
            return True
        if self._ask is None:
            write_line(f"tool: {event.name} needs approval, and there is no terminal to ask at: it is not called")
            return False
        answer = self._ask(f"run {event.name} {arguments_of(event.call)}? (y: yes, a: always, else no) ")
        answer = answer.strip().lower()
        if answer in ("a", "always"):
            self._always.add(event.name)
        return answer in ("y", "yes", "a", "always")

    def _answer(self, call_id: str) -> AsyncSubject[bool]:
        with self._lock:
            return self._answers.setdefault(call_id, AsyncSubject())


def terminal_question() -> Callable[[str], str] | None:
    """Return a function that asks at the terminal, `None` if the user has none.

    Standard output may be a file, so the question goes to standard error.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(question: str) -> str:
        sys.stderr.write(terminal_line(question))
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line.endswith("\n"):  # Ctrl-D, which ends no line of the terminal
            sys.stderr.write("\n")
        return line

    return ask

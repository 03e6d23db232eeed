"""A chat: reads messages and commands, and shows the answers, until the user leaves."""

from __future__ import annotations

from contextlib import closing

from .. import operators as rops
from ..conversations.conversation import Conversation
from ..conversations.events import ToolApprovalEvent
from ..errors import ResponsesError
from .answer import Answer
from .approvals import Approvals
from .branches import BranchError, Branches
from .chat_commands import ChatCommands
from .chat_lines import Command, Entry, Lines, Message, Mistake
from .chat_view import ChatView
from .ending import Ending
from .event_lines import line_of
from .line_reader import LineReader
from .values import values

_TICK = 0.1  # seconds without an event, after which text that was held back is shown


class ChatSession:
    """One run of `rxresponses chat`."""

    def __init__(
        self,
        branches: Branches[Conversation],
        commands: ChatCommands,
        reader: LineReader,
        view: ChatView,
        approvals: Approvals,
        timeout: float | None = None,
    ) -> None:
        self._branches = branches
        self._commands = commands
        self._reader = reader
        self._view = view
        self._approvals = approvals
        self._timeout = timeout
        self._lines = Lines()
        self.has_failed = False
        """Whether a message got no answer, or a command could not be carried out."""

    def run(self) -> None:
        """Read and answer until the end of the input, or until the user leaves.

        Raises `KeyboardInterrupt` for a second Ctrl-C at the prompt, and for the first if the input is no terminal.
        """
        was_interrupted = False
        while True:
            try:
                line = self._reader.read(self._prompt)
            except KeyboardInterrupt:
                if was_interrupted or not self._reader.is_interactive:
                    raise
                was_interrupted = True
                self._lines.clear()
                self._view.interrupt()
                self._view.note("Ctrl-C once more, or Ctrl-D, leaves")
                continue
            was_interrupted = False
            entry = self._lines.end() if line is None else self._lines.add(line)
            if entry is not None and not self._carry_out(entry):
                return
            if line is None:
                if self._reader.is_interactive:
                    self._view.show("")  # the prompt of the shell begins a line
                return

    @property
    def _prompt(self) -> str:
        if self._lines.are_open:
            return "... "
        return "> " if self._branches.name == "main" else f"{self._branches.name}> "

    def _carry_out(self, entry: Entry) -> bool:
        """Carry out an entry of the user; return whether the chat goes on."""
        if isinstance(entry, Command) and entry.name == "quit":
            return False
        if isinstance(entry, Message):
            try:
                self._answer(entry)
            except ResponsesError as error:
                self._fail(str(error))
        elif isinstance(entry, Mistake):
            self._fail(entry.text)
        else:
            try:
                text = self._commands.run(entry)
            except (BranchError, ResponsesError, OSError) as error:
                self._fail(str(error))
            else:
                self._view.show(text)
        return True

    def _fail(self, text: str) -> None:
        self.has_failed = True
        self._view.note(text)

    def _answer(self, message: Message) -> None:
        answer, ending = Answer(self._view.text, self._view.end), Ending()
        events = self._branches.current.send(message.text).pipe(rops.raise_on_failure())
        try:
            with closing(values(events, self._timeout, tick=_TICK)) as found:
                for event in found:
                    if event is None:
                        self._view.tick()
                        continue
                    if isinstance(event, ToolApprovalEvent):
                        self._view.end()
                        self._approvals.decide(event)
                    elif (line := line_of(event)) is not None:
                        self._view.note(line)
                    ending.see(event)
                    answer.see(event)
            answer.end()
        except KeyboardInterrupt:
            if not self._reader.is_interactive:
                raise
            self._view.interrupt()
            self._view.note("stopped; the conversation stays as it was before this message")
        finally:
            self._view.end()
        for note in ending.notes:
            self._view.note(note)

"""The meaning of the lines of a chat: messages of one or more lines, and commands."""

from __future__ import annotations

from dataclasses import dataclass

COMMANDS = {
    "help": ("", "show this list"),
    "fork": ("[NAME]", "begin a branch here, and go to it"),
    "branch": ("[NAME]", "go to a branch, or list the branches"),
    "history": ("", "show the messages of this branch"),
    "save": ("FILE", "write this branch to a file"),
    "load": ("FILE", "read a file of /save as a new branch, and go to it"),
    "usage": ("", "show the tokens that this branch has used"),
    "model": ("[NAME]", "show or change the model"),
    "system": ("[TEXT]", "show or change the instructions; - removes them"),
    "tools": ("", "list the tools"),
    "quit": ("", "leave, as Ctrl-D does"),
}
"""The commands: the argument of each, in brackets if it may be left out, and the help text."""

_QUOTES = '"""'

HELP = "\n".join(
    [
        *(f"{f'/{name} {argument}':16} {about}" for name, (argument, about) in COMMANDS.items()),
        f"A line that ends with \\ goes on with the next one, and lines between {_QUOTES} are one message.",
        "// at the beginning stands for a message that begins with /.",
    ]
)


@dataclass(frozen=True)
class Message:
    """A message for the model."""

    text: str


@dataclass(frozen=True)
class Command:
    """A command of the chat with its argument, `""` if none is given."""

    name: str
    argument: str = ""


@dataclass(frozen=True)
class Mistake:
    """A line that is no message and no valid command, with the reason."""

    text: str


Entry = Message | Command | Mistake


class Lines:
    """Makes messages and commands from lines."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._is_quoted = False

    @property
    def are_open(self) -> bool:
        """Whether the lines so far have begun a message that the next line continues."""
        return bool(self._lines) or self._is_quoted

    def add(self, line: str) -> Entry | None:
        """Read a line, which may have line breaks in it if it was pasted; return the completed entry, if any."""
        if self._is_quoted:
            return self._add_quoted(line)
        if not self._lines:
            if line.lstrip().startswith(_QUOTES):
                self._is_quoted = True
                return self._add_quoted(line.lstrip().removeprefix(_QUOTES))
            if line.startswith("/") and not line.startswith("//") and not _goes_on(line):
                return _command(line)
            line = line[1:] if line.startswith("//") else line
        goes_on = _goes_on(line)
        self._lines.append(line[:-1] if goes_on else line)
        return None if goes_on else self.end()

    def end(self) -> Message | None:
        """Return the message of the lines so far, because no further line comes; `None` for a blank one."""
        text = "\n".join(self._lines)
        self.clear()
        return Message(text) if text.strip() else None

    def clear(self) -> None:
        """Forget the lines so far."""
        self._lines.clear()
        self._is_quoted = False

    def _add_quoted(self, line: str) -> Message | None:
        is_end = line.rstrip().endswith(_QUOTES)
        line = line.rstrip().removesuffix(_QUOTES) if is_end else line
        if line or (self._lines and not is_end):  # a line with the quotes only is no line of the message
            self._lines.append(line)
        return self.end() if is_end else None


def _goes_on(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _command(line: str) -> Command | Mistake:
    name, _, argument = line[1:].strip().partition(" ")
    argument = argument.strip()
    if name in ("exit", "q"):
        name = "quit"
    if name not in COMMANDS:
        return Mistake(f"there is no command /{name}; /help lists them, and // begins a message with /")
    takes = COMMANDS[name][0]
    if argument and not takes:
        return Mistake(f"/{name} takes no argument")
    if takes and not takes.startswith("[") and not argument:
        return Mistake(f"/{name} needs an argument: /{name} {takes}")
    return Command(name, argument)

"""The commands of a chat, on its branches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import UNSET

from ..conversations.conversation import Conversation
from ..conversations.ledger_file import replace_file
from ..errors import ConfigurationError, DecodeError
from .branches import Branches
from .chat_lines import HELP, Command
from .history_lines import history_lines


class ChatCommands:
    """Carries out the commands that change or show the branches.  `load` makes a conversation of saved text."""

    def __init__(self, branches: Branches[Conversation], load: Callable[[str], Conversation]) -> None:
        self._branches = branches
        self._make = load
        self._commands: dict[str, Callable[[str], str]] = {
            "help": lambda _: HELP,
            "fork": self._fork,
            "branch": self._branch,
            "history": self._history,
            "save": self._save,
            "load": self._load,
            "usage": self._usage,
            "model": self._model,
            "system": self._system,
            "tools": self._tools,
        }

    def run(self, command: Command) -> str:
        """Carry out a command; return the text for the user.

        Raises `BranchError`, `ResponsesError` or `OSError` if the command cannot be carried out; nothing has changed
        then.
        """
        return self._commands[command.name](command.argument)

    @property
    def _conversation(self) -> Conversation:
        return self._branches.current

    def _fork(self, name: str) -> str:
        before = self._branches.name
        self._branches.add(name or self._branches.free_name(), self._conversation.fork)
        return f"on the branch {self._branches.name} now; /branch {before} goes back"

    def _branch(self, name: str) -> str:
        if not name:
            return "\n".join(f"{'*' if each == self._branches.name else ' '} {each}" for each in self._branches.names)
        self._branches.go_to(name)
        return f"on the branch {name} now, {self._length}"

    def _history(self, _: str) -> str:
        return "\n".join(history_lines(self._conversation.history)) or "nothing has been said yet"

    def _save(self, name: str) -> str:
        path = Path(name).expanduser()
        if path.exists() and not _is_conversation(path):
            raise ConfigurationError(
                f"{path} exists and is no saved conversation; nothing was written: choose another name"
            )
        try:
            replace_file(path, self._conversation.to_json())
        except OSError as error:  # its text names the temporary file
            raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error
        return f"written to {path}, {self._length}"

    def _load(self, name: str) -> str:
        path = Path(name).expanduser()
        try:
            conversation = self._make(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
        except (DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is no saved conversation: {error}") from error
        self._branches.add(self._branches.free_name(path.stem), lambda: conversation)
        return f"on the branch {self._branches.name} now, {self._length}"

    @property
    def _length(self) -> str:
        return f"with {len(self._conversation.history)} items"

    def _usage(self, _: str) -> str:
        usage: Any = self._conversation.usage
        cached = usage.input_tokens_details.cached_tokens
        reasoning = usage.output_tokens_details.reasoning_tokens
        return (
            f"{usage.input_tokens} tokens in ({cached} cached), {usage.output_tokens} out ({reasoning} reasoning), "
            f"{usage.total_tokens} in total"
        )

    def _model(self, name: str) -> str:
        if name:
            self._conversation.configure(model=name)
        return str(self._conversation.settings["model"])

    def _system(self, text: str) -> str:
        if text:
            self._conversation.configure(instructions=UNSET if text == "-" else text)
        return str(self._conversation.settings.get("instructions", "no instructions"))

    def _tools(self, _: str) -> str:
        tools = self._conversation.settings.get("tools") or ()
        return "\n".join(map(_described, tools)) or "no tools; --tools MODULE gives some"


def _described(tool: Any) -> str:
    def get(name: str) -> Any:
        return tool.get(name) if isinstance(tool, dict) else getattr(tool, name, None)

    name = str(get("name") or get("type"))
    description = get("description")
    return f"{name}: {description.strip().splitlines()[0]}" if isinstance(description, str) and description else name


def _is_conversation(path: Path) -> bool:
    if not path.is_file():  # a device may have no end
        return False
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and "chain" in data

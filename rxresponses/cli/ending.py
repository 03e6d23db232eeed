"""How the answer of `ask` or `chat` ended: the text hides that it is refused, incomplete, or a call of a function."""

from __future__ import annotations

from ..wire.client_calls import is_client_call
from ..wire.endings import RefusalReader, is_cut, reason_of, response_in
from ..wire.events import ServerEvent
from ..wire.redacted import hide_secrets


class Ending:
    """Reads the events of one response after another; `notes` are lines for the user about the end."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._calls: list[str] = []  # what the latest response calls, and nothing answers unless a response follows
        self._refusals = RefusalReader()

    @property
    def notes(self) -> list[str]:
        """What the user is to know."""
        calls = ", ".join(dict.fromkeys(self._calls))
        return [*self._notes, *([f"the model calls {calls}, and no tool of --tools answers"] if calls else [])]

    def see(self, event: ServerEvent) -> None:
        """Read an event."""
        refusal = self._refusals.read(event)
        if refusal is not None:
            self._notes.append(f"refused: {hide_secrets(event, refusal)}")
        if not event.is_terminal:
            return
        response = response_in(event)
        if is_cut(event):
            self._notes.append(f"incomplete: {hide_secrets(event, reason_of(response) or 'no reason given')}")
        calls = [item for item in getattr(response, "output", ()) if is_client_call(item)]
        self._calls = [hide_secrets(event, getattr(item, "name", item.type)) for item in calls]

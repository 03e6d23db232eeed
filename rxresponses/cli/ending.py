"""How the response of `ask` ended: the text hides that the model refused, or that the response is incomplete."""

from __future__ import annotations

from ..wire.endings import RefusalReader, is_cut, reason_of, response_in
from ..wire.events import ServerEvent
from ..wire.redacted import hide_secrets


class Ending:
    """Reads the events of a response; `notes` are what the user is to know of its end."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._refusals = RefusalReader()

    def see(self, event: ServerEvent) -> None:
        """Read an event."""
        refusal = self._refusals.read(event)
        if refusal is not None:
            self.notes.append(f"refused: {hide_secrets(event, refusal)}")
        if event.is_terminal and is_cut(event):
            reason = reason_of(response_in(event)) or "no reason given"
            self.notes.append(f"incomplete: {hide_secrets(event, reason)}")

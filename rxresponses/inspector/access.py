"""Decides who may see the page of an inspector: no request of another site, and nobody without the token."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")


@dataclass(frozen=True)
class Refusal:
    """What a request gets that may not see the page."""

    status: HTTPStatus
    text: str


class Access:
    """The rules of one inspector, which listens on this port of 127.0.0.1."""

    def __init__(self, port: int, token: str) -> None:
        self._hosts = {f"{name}:{port}" for name in _NAMES}
        self._page = f"/{token}/".encode()
        self._events = f"/{token}/events".encode()

    def answer(self, path: str, hosts: Sequence[str], origins: Sequence[str]) -> Literal["page", "events"] | Refusal:
        """Return what a request may have, by its path and the values of its headers `Host` and `Origin`.

        The host shows that the browser did not come here by a name of another site whose address was changed to this
        machine (DNS rebinding).  The origin shows that no page of another site opens the WebSocket: browsers let all
        pages do that.  The token shows that it is no other user of this machine.  Each of them is looked at alone,
        because none of them stands for another one.
        """
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return Refusal(HTTPStatus.FORBIDDEN, "The inspector is at 127.0.0.1, and at no other name.\n")
        given = path.encode("utf-8", "surrogateescape")
        if hmac.compare_digest(given, self._page):
            return "page"
        if not hmac.compare_digest(given, self._events):
            return Refusal(HTTPStatus.NOT_FOUND, "There is no such page.  The URL needs the token of the program.\n")
        if list(origins) != [f"http://{hosts[0]}"]:
            return Refusal(HTTPStatus.FORBIDDEN, "Only the page of the inspector itself may connect.\n")
        return "events"

"""`EndpointSource`: a sender whose connections all go to one URL."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from ..errors import ConfigurationError
from ..headers import Headers
from ..net.credentials import ApiKey, Credentials
from ..net.endpoint import check_credentials, endpoint, is_official
from ..net.handshake_headers import with_account_ids
from ..net.loops import keep_for_parent
from ..options import ConnectionOptions
from ..redaction import display
from .source import Source


class EndpointSource(Source):
    """Base of `ResponsesWebSocket` and `ResponsesClient`: where they connect, with which credentials."""

    _endpoint = ""  # of an object that is only half made

    def __init__(self, url: str | None, api_key: ApiKey | None, options: ConnectionOptions | None) -> None:
        super().__init__(options)
        self._url = url or os.environ.get("OPENAI_BASE_URL") or None
        has_ids = bool(self._options.organization or self._options.project)
        self._options = with_account_ids(self._options, os.environ)
        headers = () if callable(self._options.headers) else self._options.headers  # a function's are checked later
        self._credentials = Credentials(api_key, headers)
        self._endpoint = endpoint(self._url)
        check_credentials(
            self._url,
            has_key=bool(self._credentials) or has_ids,
            headers=(*headers, *self._options.subprotocols),
            allow_insecure=self._options.allow_insecure_credentials,
            proxy=self._options.proxy,
        )
        if is_official(self._url) and not self._credentials and not self._options.headers:
            raise ConfigurationError(
                "no API key: pass `api_key` or set OPENAI_API_KEY; for another service, pass `url` or set "
                "OPENAI_BASE_URL (`rxresponses serve` runs one for tests)"
            )
        # The official service has lanes.  Whether another one has, its first events show: `None` till then.
        lanes = self._options.lanes
        self._server_has_lanes = lanes if lanes is not None else is_official(self._url) or None
        self._handshake_headers: Headers | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url or '(half made)'}>"

    @property
    def url(self) -> str:  # type: ignore[override]
        """The endpoint, without its query, which may hold secrets."""
        return display(self._endpoint)

    @property
    def handshake_headers(self) -> Mapping[str, str] | None:
        """The headers with which the server accepted the latest connection, such as `x-request-id`; `None` before.

        They are there when `state` tells that the connection is open.  Names are found in any case.  The repr shows the
        names only.
        """
        return self._handshake_headers

    def _accepted(self, headers: Headers) -> None:
        self._handshake_headers = headers

    # What ends.

    def _end_requests(self) -> None:
        for connection in tuple(self._connections):
            connection.begin_close()

    def _begin_closing(self) -> None:
        for connection in tuple(self._connections):
            connection.start_closing(abrupt=self._abrupt)

    async def _wait_disconnected(self) -> None:
        for connection in tuple(self._connections):
            await connection.wait_closed()

    def _abandon_loop(self) -> Callable[[], None]:
        """Forget the connections on a loop that has ended, and return a function that ends their requests."""
        connections, self._connections = self._connections, set()

        def end() -> None:
            for connection in connections:
                connection.begin_close()

        return end

    def _forget_parent(self) -> None:
        keep_for_parent(self._connections)
        self._connections = set()
        super()._forget_parent()

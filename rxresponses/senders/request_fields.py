"""The fields of a request that decide where it is sent."""

from __future__ import annotations

from typing import NamedTuple

from ..wire.ids import id_key
from ..wire.requests import ResponseCreate


class RequestFields(NamedTuple):
    """Fields of a `ResponseCreate`, `None` for those that it does not set."""

    stream_id: str | None
    parent_id: str | None  # `previous_response_id`, as `id_key` returns it
    model: str | None
    stores: bool  # the server stores the response, unless `store` is false


def request_fields(create: ResponseCreate) -> RequestFields:
    """Return the fields that decide where a request is sent."""
    return RequestFields(
        create.stream_id if isinstance(create.stream_id, str) else None,
        id_key(create.previous_response_id) if isinstance(create.previous_response_id, str) else None,
        create.model if isinstance(create.model, str) else None,
        create.store is not False,
    )

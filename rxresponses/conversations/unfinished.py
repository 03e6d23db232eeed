"""The calls of responses that were lost before their end: how the next request tells the model of them.

A call starts while its response still streams.  If the connection is lost then, no response holds the call.  A model
that is asked again would make the same call once more, under another id.  So the calls that were attempted go with the
request that is sent again, as items of the client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from ..errors import DecodeError
from ..wire.models import Response
from ..wire.requests import InputItem
from ..wire.requests.sent import plain_json
from .client_calls import ClientCall, client_call

_NAMED_BY_ID = frozenset({"computer_call", "local_shell_call"})  # an input item of these types must have its `id`


def carried(calls: Sequence[ClientCall], outputs: Sequence[InputItem]) -> list[InputItem]:
    """Return the input items for the calls of a lost response, with their outputs behind them.

    In front of a call stands the reasoning that led to it, once for all calls that followed from it.
    """
    items: list[InputItem] = []
    for call in calls:
        items += [item for item in plain_json(call.reasoning) if item not in items]
        items.append(_as_input(call))
    return [*items, *outputs]


def in_order(calls: Sequence[ClientCall]) -> list[ClientCall]:
    """Return calls in the order of their response, in which they need not have started."""
    return sorted(calls, key=attrgetter("place"))


def _as_input(call: ClientCall) -> Mapping[str, Any]:
    item: dict[str, Any] = plain_json(call.item)
    # The server has stored neither the item nor its reasoning, because the response never ended: an id would be
    # refused.
    if item.get("call_id") and call.type not in _NAMED_BY_ID:
        item.pop("id", None)
    # A call may start before the server says that its item is completed.
    return item | {"status": "completed"} if "status" in item else item


def saved_call(call: ClientCall) -> dict[str, Any]:
    """Return the JSON data of a call."""
    return {"item": plain_json(call.item), "place": call.place, "reasoning": plain_json(call.reasoning)}


def restored_call(item: Mapping[str, Any], **fields: Any) -> ClientCall:
    """Return the call of such an item; raises `DecodeError` for an item of another type."""
    call = client_call(restored_items([item])[0], **fields)
    if call is None:
        raise DecodeError("the data are not those of a ledger: an item in place of a call has another type")
    return call


def restored_items(items: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    """Return output items from their JSON."""
    return tuple(Response.from_dict({"output": list(items)}).output)

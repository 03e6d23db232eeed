"""The settings of a conversation: all fields of its requests but the input, and whether they have changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import UNSET

from ..errors import InvalidRequestError
from ..redaction import SECRET_FIELDS, shown_field
from ..scalars import plain_scalar
from ..wire.codec import encode
from ..wire.plans import plan_of
from ..wire.requests import ResponseCreate, ResponseTextConfig
from ..wire.requests.sent import plain_json

OWN_FIELDS = frozenset({"conversation", "input", "previous_response_id"})
"""The fields of a request that a conversation sets itself, or that would make the server keep it."""

# Fields that never reach the model: names of things, and how events are sent.  `generate` is one of them because a
# warm-up would otherwise save nothing, and `tool_choice` because it is about one response only: a run of tools that
# begins with a forced call goes on without.
_LABELS = frozenset(
    {
        *("background", "extra_body", "generate", "input", "metadata", "previous_response_id", "safety_identifier"),
        *("stream", "stream_id", "stream_options", "tool_choice", "type", "user"),
    }
)
_DIGEST = 32  # hexadecimal digits
_NO_MODEL = "(none)"  # where a request is made only for its checks


class Fields(dict[str, Any]):
    """The fields of requests, as a mapping that is never changed: so their digests are made once only."""

    @cached_property
    def digests(self) -> dict[str, str]:
        """What `digests_of` returns."""
        return _digests(self)

    def on_lane(self, name: str | None) -> Fields:
        """Return the fields for a lane."""
        fields = Fields({**self, "stream_id": UNSET if name is None else name})
        fields.__dict__["digests"] = self.digests
        return fields


def copied(value: Any) -> Any:
    """Return a setting as it is now: the program may change its lists and its plain JSON later."""
    if isinstance(value, Mapping):
        return plain_json(value)
    return [copied(item) for item in value] if isinstance(value, (list, tuple)) else value


def overridden(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with changes.  `text_format` and the format in `text` are one setting: the change counts."""
    text = settings.get("text")
    if "text_format" in changes and "text" not in changes and isinstance(text, (Mapping, ResponseTextConfig)):
        rest = {name: value for name, value in plain_json(text).items() if name != "format"}
        settings = {**settings, "text": rest or UNSET}
    if isinstance(text := changes.get("text"), (Mapping, ResponseTextConfig)) and "format" in plain_json(text):
        settings = {**settings, "text_format": UNSET}
    return {**settings, **changes}


def digests_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return a digest of each setting on which the server's memory of the conversation depends, as it is sent.

    Secrets are left out: the model never sees them, a token may be renewed at any time, and a digest would give a short
    one away.
    """
    return settings.digests if isinstance(settings, Fields) else _digests(settings)


def _digests(settings: Mapping[str, Any]) -> dict[str, str]:
    create = ResponseCreate(**{name: value for name, value in settings.items() if name not in OWN_FIELDS})
    fields = {name: getattr(create, name) for name in plan_of(ResponseCreate).fields if name not in _LABELS}
    return {
        name: digest_of(without_secrets(name, plain_json(value)))
        for name, value in {**fields, **create.extra_body}.items()
        if value is not UNSET
    }


def digest_of(data: Any) -> str:
    """Return a digest of JSON data, in which the order of names counts, as it does to a model."""
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:_DIGEST]


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise `InvalidRequestError` or `TypeError` for settings that no request takes; the model may come later."""
    refuse_own_fields(settings)
    names_model = settings.get("model") or settings.get("prompt")
    ResponseCreate(**(settings if names_model else {**settings, "model": _NO_MODEL}))


def refuse_own_fields(settings: Mapping[str, Any]) -> None:
    """Raise `InvalidRequestError` for a field that a conversation sets itself."""
    for name in sorted(OWN_FIELDS & settings.keys()):
        if settings[name] is not UNSET and settings[name] is not None:
            raise InvalidRequestError(f"a conversation sets `{name}` itself; leave it out", field=name)


def saved_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the JSON of settings, and the names of those that hold credentials and are left out."""
    given = {name: value for name, value in settings.items() if value is not UNSET and name not in OWN_FIELDS}
    create = ResponseCreate(**{"model": _NO_MODEL, **given})
    fields: dict[str, Any] = json.loads(encode(create))
    del fields["type"]
    if "model" not in given:
        del fields["model"]
    known = plan_of(ResponseCreate).fields
    extra = {name: fields.pop(name) for name in tuple(fields) if name not in known}
    if extra:
        fields["extra_body"] = extra
    withheld = sorted(name for name, value in fields.items() if without_secrets(name, value) != value)
    return {name: value for name, value in fields.items() if name not in withheld}, withheld


def without_secrets(name: str, setting: Any) -> Any:
    """Return the JSON of a setting without the credentials of tools."""
    # All other fields of a request are known to hold none, and a schema in them may have properties with such names.
    if name in plan_of(ResponseCreate).fields and name not in ("tools", "extra_body"):
        return setting
    return _hidden({name: setting})[name]


def _hidden(data: Any) -> Any:
    if isinstance(data, list):
        return [_hidden(item) for item in data]
    # The definition of a function holds no credentials, but its parameters may have such names.
    if isinstance(data, dict) and data.get("type") not in ("function", "custom"):
        return {
            name: shown_field(name, value) if name in SECRET_FIELDS or name == "server_url" else _hidden(value)
            for name, value in data.items()
        }
    return data


def stores(settings: Mapping[str, Any]) -> bool:
    """Whether the server stores the responses of requests with these settings."""
    return plain_scalar(settings.get("store")) is not False


def included(settings: Mapping[str, Any]) -> Sequence[str]:
    """Return what `include` lists."""
    include = settings.get("include")
    return include if isinstance(include, (list, tuple)) else ()  # anything else is refused as no list


def model_of(settings: Mapping[str, Any]) -> str:
    """Return what names the model: `model`, or a `prompt`."""
    return str(settings.get("model") or settings.get("prompt"))

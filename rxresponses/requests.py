"""What the client sends: `response.create`, input items and tool definitions.

A field that is not given is absent on the wire; `None` given explicitly is sent as `null`.  Every
request is checked when it is made, so that a mistake shows where it was written, before anything
is sent.  Field names and types follow the `response.create` client event of the Responses API.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import msgspec
from dataclasses_json import config
from msgspec import UNSET, UnsetType

from .base import Model
from .errors import InvalidRequestError
from .models import ResponseFunctionToolCall

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11

_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")


def _is_unset(value: object) -> bool:
    return value is UNSET


def _always(value: object) -> bool:
    return True


class _Sent(Model):
    """Base of what is sent: fields that were not given stay out of the JSON and of the repr."""

    dataclass_json_config: ClassVar[dict[str, Any] | None] = config(exclude=_is_unset)["dataclasses_json"]

    def __repr__(self) -> str:
        given = (
            (one.name, getattr(self, one.name))
            for one in dataclasses.fields(self)  # type: ignore[arg-type]
        )
        inside = ", ".join(f"{name}={value!r}" for name, value in given if value is not UNSET and name != "type")
        return f"{type(self).__name__}({inside})"


@dataclass(frozen=True, kw_only=True, repr=False)
class ResponseInputText(_Sent):
    """A piece of text in a message."""

    text: str
    type: Literal["input_text"] = "input_text"


@dataclass(frozen=True, kw_only=True, repr=False)
class ResponseInputImage(_Sent):
    """An image in a message, by URL (a `data:` URL works) or by the id of an uploaded file."""

    image_url: str | None | UnsetType = UNSET
    file_id: str | None | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    type: Literal["input_image"] = "input_image"


@dataclass(frozen=True, kw_only=True, repr=False)
class ResponseInputFile(_Sent):
    """A file in a message: its id, its URL, or its base64 data with a name."""

    file_id: str | None | UnsetType = UNSET
    file_url: str | UnsetType = UNSET
    file_data: str | UnsetType = UNSET
    filename: str | UnsetType = UNSET
    type: Literal["input_file"] = "input_file"


InputContent: TypeAlias = "ResponseInputText | ResponseInputImage | ResponseInputFile | Mapping[str, Any]"


@dataclass(frozen=True, kw_only=True, repr=False)
class EasyInputMessage(_Sent):
    """A message of the conversation; `user_message` makes the common one."""

    role: str
    content: str | Sequence[InputContent]
    phase: str | None | UnsetType = UNSET
    type: Literal["message"] = "message"


@dataclass(frozen=True, kw_only=True, repr=False)
class FunctionCallOutput(_Sent):
    """The result of a function call, for the model; `function_result` makes one from any value."""

    call_id: str
    output: str | Sequence[InputContent]
    id: str | None | UnsetType = UNSET
    status: str | None | UnsetType = UNSET
    type: Literal["function_call_output"] = "function_call_output"


@dataclass(frozen=True, kw_only=True, repr=False)
class ItemReference(_Sent):
    """An item the server already stores, by its id."""

    id: str
    type: Literal["item_reference"] = "item_reference"


@dataclass(frozen=True, kw_only=True, repr=False)
class FunctionTool(_Sent):
    """A function the model may call; `parameters` is the JSON schema of its arguments."""

    name: str
    parameters: Mapping[str, Any] | None = None
    strict: bool | None | UnsetType = UNSET
    description: str | None | UnsetType = UNSET
    defer_loading: bool | UnsetType = UNSET
    type: Literal["function"] = "function"


InputItem: TypeAlias = "Model | Mapping[str, Any]"
"""One input item: a class of this module, an output item of an earlier response, or plain JSON."""


def user_message(content: str | Sequence[InputContent]) -> EasyInputMessage:
    """Return a message of the user."""
    return EasyInputMessage(role="user", content=content)


def function_result(call: ResponseFunctionToolCall | str, output: object) -> FunctionCallOutput:
    """Return the answer to a function call, given the call or its `call_id`.

    A string goes to the model as it is, any other value as its JSON.  Raises
    `InvalidRequestError` for a value that JSON cannot hold, or a call without a `call_id`.
    """
    call_id = call if isinstance(call, str) else call.call_id
    if not call_id:
        raise InvalidRequestError("the call has no call_id, so nothing can answer it", field="call_id")
    if not isinstance(output, str):
        try:
            output = json.dumps(output, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(f"the function's result is not JSON: {error}", field="output") from error
    return FunctionCallOutput(call_id=call_id, output=output)


@dataclass(frozen=True, kw_only=True, repr=False)
class ResponseCreate(_Sent):
    """Ask for one response.

    `model` or `prompt` is required.  `extra_body` is merged into the JSON, for fields this version
    does not know.  `stream_id` names the lane; `generate=False` warms up: no output, but a response
    id to chain from.  `stream` may be left out or be true, since a socket always streams;
    `background` is not available over a WebSocket.

    Raises `InvalidRequestError`, naming the field, for values that cannot be right.
    """

    model: str | None | UnsetType = UNSET
    input: str | Sequence[InputItem] | None | UnsetType = UNSET
    instructions: str | None | UnsetType = UNSET
    previous_response_id: str | None | UnsetType = UNSET
    stream_id: str | None | UnsetType = UNSET
    generate: bool | None | UnsetType = UNSET
    store: bool | None | UnsetType = UNSET
    tools: Sequence[FunctionTool | Mapping[str, Any]] | None | UnsetType = UNSET
    tool_choice: str | Mapping[str, Any] | None | UnsetType = UNSET
    parallel_tool_calls: bool | None | UnsetType = UNSET
    max_tool_calls: int | None | UnsetType = UNSET
    max_output_tokens: int | None | UnsetType = UNSET
    temperature: float | None | UnsetType = UNSET
    top_p: float | None | UnsetType = UNSET
    top_logprobs: int | None | UnsetType = UNSET
    text: Mapping[str, Any] | None | UnsetType = UNSET
    reasoning: Mapping[str, Any] | None | UnsetType = UNSET
    include: Sequence[str] | None | UnsetType = UNSET
    metadata: Mapping[str, str] | None | UnsetType = UNSET
    conversation: str | Mapping[str, Any] | None | UnsetType = UNSET
    context_management: Sequence[Mapping[str, Any]] | None | UnsetType = UNSET
    prompt: Mapping[str, Any] | None | UnsetType = UNSET
    prompt_cache_key: str | None | UnsetType = UNSET
    prompt_cache_options: Mapping[str, Any] | None | UnsetType = UNSET
    prompt_cache_retention: str | None | UnsetType = UNSET
    moderation: Mapping[str, Any] | None | UnsetType = UNSET
    image: Mapping[str, Any] | None | UnsetType = UNSET
    access_programs: Mapping[str, Any] | None | UnsetType = UNSET
    safety_identifier: str | None | UnsetType = UNSET
    service_tier: str | None | UnsetType = UNSET
    truncation: str | None | UnsetType = UNSET
    user: str | None | UnsetType = UNSET
    stream: bool | None | UnsetType = UNSET
    stream_options: Mapping[str, Any] | None | UnsetType = UNSET
    background: bool | None | UnsetType = UNSET
    background_options: Mapping[str, Any] | None | UnsetType = UNSET
    extra_body: Mapping[str, Any] = field(default_factory=dict, metadata=config(exclude=_always))
    type: Literal["response.create"] = "response.create"

    def __post_init__(self) -> None:
        for name, hint in _checks(ResponseCreate).items():
            _check(name, getattr(self, name), hint)
        _check_items("input", self.input)
        _check_items("tools", self.tools)
        if not self.model and not self.prompt:
            raise InvalidRequestError("a request needs `model`, or a `prompt` that brings one", field="model")
        if self.background is True:
            raise InvalidRequestError(
                "`background` responses do not exist over a WebSocket; leave it out", field="background"
            )
        if self.stream is False:
            raise InvalidRequestError("a WebSocket always streams; leave `stream` out", field="stream")
        if isinstance(self.stream_id, str):
            check_stream_id(self.stream_id)

    @property
    def extra(self) -> Mapping[str, Any]:
        """The same as `extra_body`."""
        return self.extra_body

    @classmethod
    def from_dict(cls, kvs: Mapping[str, Any], *, infer_missing: bool = False) -> Self:
        """Build from the JSON of a `response.create`; unknown fields become `extra_body`."""
        kind = kvs.get("type", "response.create")
        if kind != "response.create":
            raise InvalidRequestError(f"the type must be 'response.create', not {kind!r}", field="type")
        known = {one.name for one in dataclasses.fields(cls)} - {"extra_body"}
        extra = {name: value for name, value in kvs.items() if name not in known}
        return cls(**{name: value for name, value in kvs.items() if name in known}, extra_body=extra)

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """Return the JSON that is sent.

        `stream` and `background` are left out, since they mean nothing on a socket.  Output items
        of an earlier response go back without their `null` fields, which servers refuse in input.
        """
        data = super().to_dict(encode_json)
        data.pop("stream", None)
        data.pop("background", None)
        for name in ("input", "tools"):
            given = getattr(self, name)
            if isinstance(given, Sequence) and not isinstance(given, str):
                data[name] = [_plain(item) for item in given]
        return data


def create_from(request: ResponseCreate | Mapping[str, Any], stream_id: str | None = None) -> ResponseCreate:
    """Return the request as a `ResponseCreate`, bound to the lane `stream_id` when one is given.

    Raises `InvalidRequestError` when it is no request, or names another lane itself.
    """
    if isinstance(request, ResponseCreate):
        create = request
    elif isinstance(request, Mapping):
        create = ResponseCreate.from_dict(request)
    else:
        raise InvalidRequestError(
            f"a request is a ResponseCreate or a mapping with its fields, not {type(request).__name__}"
        )
    if stream_id is None:
        return create
    check_stream_id(stream_id)
    own = create.stream_id
    if own is UNSET or own is None:
        return dataclasses.replace(create, stream_id=stream_id)
    if own != stream_id:
        raise InvalidRequestError(
            f"the request names the lane {own!r}, but it is sent on the lane {stream_id!r}", field="stream_id"
        )
    return create


def check_stream_id(stream_id: object) -> None:
    """Raise `InvalidRequestError` unless this can name a lane."""
    if not isinstance(stream_id, str) or _STREAM_ID.fullmatch(stream_id) is None:
        shown = repr(stream_id) if len(repr(stream_id)) <= 80 else f"{repr(stream_id)[:77]}..."
        raise InvalidRequestError(
            f"{shown} is no lane name: it takes 1 to 256 letters, digits, '_', '-' or '.'; "
            "the default lane has no stream_id at all",
            field="stream_id",
        )


@cache
def _checks(cls: type[ResponseCreate]) -> dict[str, Any]:
    """Field name → the type its value must have when given; made on first use."""
    hints = typing.get_type_hints(cls)
    return {
        one.name: typing.Union[tuple(arg for arg in typing.get_args(hints[one.name]) if arg is not UnsetType)]
        for one in dataclasses.fields(cls)
        if one.name not in ("input", "tools", "extra_body", "type")
    }


def _check(name: str, value: object, hint: Any) -> None:
    if value is UNSET:
        return
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"`{name}`: {error}", field=name) from error


def _check_items(name: str, value: object) -> None:
    if value is UNSET or value is None or (name == "input" and isinstance(value, str)):
        return
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        wanted = "a string or a list of items" if name == "input" else "a list of tools"
        raise InvalidRequestError(f"`{name}` must be {wanted}, not {type(value).__name__}", field=name)
    for index, item in enumerate(value):
        if not isinstance(item, (Model, Mapping)):
            raise InvalidRequestError(
                f"`{name}[{index}]` must be an object, not {type(item).__name__}", field=f"{name}[{index}]"
            )


def _plain(item: InputItem) -> Any:
    if isinstance(item, _Sent):
        return item.to_dict()
    return _without_none(item.to_dict()) if isinstance(item, Model) else item


def _without_none(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _without_none(value) for name, value in data.items() if value is not None}
    return [_without_none(one) for one in data] if isinstance(data, list) else data

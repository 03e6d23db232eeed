"""What the client sends: `response.create`, input items and tool definitions.

A field that is not given is absent on the wire; `None` given explicitly is sent as `null`.  Every
request is checked when it is made, so that a mistake shows where it was written, before anything
is sent.  Field names and types follow the `response.create` client event of the Responses API.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import msgspec
from dataclasses_json import config
from msgspec import UNSET, UnsetType

from ..errors import InvalidRequestError, RequiredInput
from .base import Model, model
from .models import ResponseFunctionToolCall, ResponseInputFile, ResponseInputImage, ResponseInputText

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11

_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")


# The fields that hold items, tools or parts: lists of objects, or text.
_LISTS = {"input": "items", "tools": "tools", "content": "parts", "output": "parts"}


def _is_unset(value: object) -> bool:
    return value is UNSET


def _always(value: object) -> bool:
    return True


class _Sent(Model):
    """Base of what is sent: fields that were not given stay out of the JSON."""

    dataclass_json_config: ClassVar[dict[str, Any] | None] = config(exclude=_is_unset)["dataclasses_json"]

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for name, hint in _checks(kind).items():
            if name in _LISTS:
                _check_items(name, getattr(self, name))
            else:
                _check(name, getattr(self, name), hint)

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """Return the JSON that is sent.

        Classes of received things among the items go without their `null` fields, which mean
        "absent" there and which servers refuse in input.
        """
        return typing.cast("dict[str, Any]", _without_absent(self, super().to_dict(encode_json)))


InputContent: TypeAlias = "ResponseInputText | ResponseInputImage | ResponseInputFile | Mapping[str, Any]"


@model
class EasyInputMessage(_Sent):
    """A message of the conversation; `user_message` makes the common one."""

    role: str
    content: str | Sequence[InputContent]
    phase: str | UnsetType | None = UNSET
    type: Literal["message"] = "message"


@model
class FunctionCallOutput(_Sent):
    """The result of a function call, for the model; `function_result` makes one from any value."""

    call_id: str
    output: str | Sequence[InputContent]
    id: str | UnsetType | None = UNSET
    status: str | UnsetType | None = UNSET
    caller: Mapping[str, Any] | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    namespace: str | UnsetType | None = UNSET
    type: Literal["function_call_output"] = "function_call_output"


@model
class ItemReference(_Sent):
    """An item the server already stores, by its id."""

    id: str
    type: Literal["item_reference"] = "item_reference"


@model
class FunctionTool(_Sent):
    """A function the model may call; `parameters` is the JSON schema of its arguments."""

    name: str
    parameters: Mapping[str, Any] | None = None
    strict: bool | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    defer_loading: bool | UnsetType | None = UNSET
    allowed_callers: Sequence[str] | UnsetType | None = UNSET
    output_schema: Mapping[str, Any] | UnsetType | None = UNSET
    type: Literal["function"] = "function"


InputItem: TypeAlias = "Model | Mapping[str, Any]"
"""One input item: a class of this module, an output item of an earlier response, or plain JSON."""


def user_message(content: str | Sequence[InputContent]) -> EasyInputMessage:
    """Return a message of the user."""
    return EasyInputMessage(role="user", content=content)


def function_result(call: ResponseFunctionToolCall | RequiredInput | str, output: object) -> FunctionCallOutput:
    """Return the answer to a function call, given the call, its `call_id`, or the stub that asks for it.

    A string goes to the model as it is, any other value as its JSON.  Raises
    `InvalidRequestError` for a value that JSON cannot hold, or a call without a `call_id`.
    """
    call_id = call if isinstance(call, str) else getattr(call, "call_id", None)
    if not isinstance(call_id, str) or not call_id:
        raise InvalidRequestError(
            "nothing can answer this call without its call_id: pass a function call, or its `call_id`", field="call_id"
        )
    if not isinstance(output, str):
        try:
            output = json.dumps(output, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequestError(f"the function's result is not JSON: {error}", field="output") from error
    return FunctionCallOutput(call_id=call_id, output=output)


@model
class ResponseCreate(_Sent):
    """Ask for one response.

    `model` or `prompt` is required.  `extra_body` is merged into the JSON, for fields this version
    does not know.  `stream_id` names the lane; `generate=False` warms up: no output, but a response
    id to chain from.  `stream` may be left out or be true, since a socket always streams;
    `background` is not available over a WebSocket.

    Raises `InvalidRequestError`, naming the field, for values that cannot be right.
    """

    model: str | UnsetType | None = UNSET
    input: str | Sequence[InputItem] | UnsetType | None = UNSET
    instructions: str | UnsetType | None = UNSET
    previous_response_id: str | UnsetType | None = UNSET
    stream_id: str | UnsetType | None = UNSET
    generate: bool | UnsetType | None = UNSET
    store: bool | UnsetType | None = UNSET
    tools: Sequence[FunctionTool | Mapping[str, Any]] | UnsetType | None = UNSET
    tool_choice: str | Mapping[str, Any] | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    max_tool_calls: int | UnsetType | None = UNSET
    max_output_tokens: int | UnsetType | None = UNSET
    temperature: float | UnsetType | None = UNSET
    top_p: float | UnsetType | None = UNSET
    top_logprobs: int | UnsetType | None = UNSET
    text: Mapping[str, Any] | UnsetType | None = UNSET
    reasoning: Mapping[str, Any] | UnsetType | None = UNSET
    include: Sequence[str] | UnsetType | None = UNSET
    metadata: Mapping[str, str] | UnsetType | None = UNSET
    conversation: str | Mapping[str, Any] | UnsetType | None = UNSET
    context_management: Sequence[Mapping[str, Any]] | UnsetType | None = UNSET
    prompt: Mapping[str, Any] | UnsetType | None = UNSET
    prompt_cache_key: str | UnsetType | None = UNSET
    prompt_cache_options: Mapping[str, Any] | UnsetType | None = UNSET
    prompt_cache_retention: str | UnsetType | None = UNSET
    moderation: Mapping[str, Any] | UnsetType | None = UNSET
    image: Mapping[str, Any] | UnsetType | None = UNSET
    access_programs: Mapping[str, Any] | UnsetType | None = UNSET
    safety_identifier: str | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    truncation: str | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    stream: bool | UnsetType | None = UNSET
    stream_options: Mapping[str, Any] | UnsetType | None = UNSET
    background: bool | UnsetType | None = UNSET
    background_options: Mapping[str, Any] | UnsetType | None = UNSET
    extra_body: Mapping[str, Any] = field(default_factory=dict, metadata=config(exclude=_always))
    type: Literal["response.create"] = "response.create"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.extra_body.keys() & {one.name for one in dataclasses.fields(self)}:
            raise InvalidRequestError(f"`extra_body` holds {name!r}, which is a field of its own", field="extra_body")
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
        if not isinstance(kvs, Mapping):
            raise InvalidRequestError(f"a request is a JSON object, not {type(kvs).__name__}")
        kind = kvs.get("type", "response.create")
        if kind != "response.create":
            raise InvalidRequestError(f"the type must be 'response.create', not {kind!r}", field="type")
        known = {one.name for one in dataclasses.fields(cls)} - {"extra_body"}
        extra = {name: value for name, value in kvs.items() if name not in known}
        return cls(**{name: value for name, value in kvs.items() if name in known}, extra_body=extra)

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """Return the JSON that is sent: without what means nothing on a socket."""
        data = super().to_dict(encode_json)
        for name in ("stream", "background"):
            data.pop(name, None)
        if data.get("stream_id", UNSET) is None:
            del data["stream_id"]  # the default lane has no name, not even `null`
        return data


@model
class ResponseSteer(_Sent):
    """Give a running response new input: a string, or messages of the user.

    The target decides the lane, so there is no `stream_id`; nor is there any other field.

    Raises `InvalidRequestError`, naming the field, for values that cannot be right.
    """

    previous_response_id: str
    input: str | Sequence[InputItem]
    type: Literal["response.steer"] = "response.steer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.previous_response_id:
            raise InvalidRequestError("a steer needs the id of the response to steer", field="previous_response_id")
        if not self.input:
            raise InvalidRequestError("a steer needs input", field="input")
        for index, item in enumerate(() if isinstance(self.input, str) else self.input):
            _check_user_message(f"input[{index}]", item)

    @classmethod
    def from_dict(cls, kvs: Mapping[str, Any], *, infer_missing: bool = False) -> Self:
        """Build from the JSON of a `response.steer`."""
        if not isinstance(kvs, Mapping):
            raise InvalidRequestError(f"a steer is a JSON object, not {type(kvs).__name__}")
        for name in kvs.keys() - {one.name for one in dataclasses.fields(cls)}:
            raise InvalidRequestError(f"a steer has no field {name!r}", field=name)
        return cls(**{"previous_response_id": None, "input": None, **kvs})


def _check_user_message(name: str, item: InputItem) -> None:
    role, kind, content = (
        item.get(part) if isinstance(item, Mapping) else getattr(item, part, None)
        for part in ("role", "type", "content")
    )
    if role != "user" or kind not in (None, "message"):
        raise InvalidRequestError(f"a steer takes messages of the user only, and `{name}` is none", field=name)
    if not isinstance(content, (str, list, tuple)) or not content:
        raise InvalidRequestError(f"`{name}` needs `content`: a string or a list of parts", field=name)


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
def _checks(cls: type[Any]) -> dict[str, Any]:
    """Field name → the type its value must have when given; made on first use."""
    hints = typing.get_type_hints(cls)
    return {one.name: _given(hints[one.name]) for one in dataclasses.fields(cls)}


def _given(hint: Any) -> Any:
    args = typing.get_args(hint)
    return typing.Union[tuple(arg for arg in args if arg is not UnsetType)] if UnsetType in args else hint  # noqa: UP007


def _check(name: str, value: object, hint: Any) -> None:
    if value is UNSET:
        return
    try:
        msgspec.convert(value, hint)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # the latter from a lone surrogate in its message
        raise InvalidRequestError(f"`{name}`: {error}", field=name) from error
    _check_json(name, value)


def _check_items(name: str, value: object) -> None:
    text_too = name != "tools"
    if value is UNSET or (value is None and name in ("input", "tools")) or (text_too and isinstance(value, str)):
        return
    if not isinstance(value, (list, tuple)):
        wanted = f"{'a string or ' if text_too else ''}a list of {_LISTS[name]}"
        raise InvalidRequestError(f"`{name}` must be {wanted}, not {type(value).__name__}", field=name)
    for index, item in enumerate(value):
        if not isinstance(item, (Model, Mapping)):
            raise InvalidRequestError(
                f"`{name}[{index}]` must be an object, not {type(item).__name__}", field=f"{name}[{index}]"
            )
        _check_json(f"{name}[{index}]", item)


def _check_json(name: str, value: object) -> None:
    """Refuse what JSON cannot hold: msgspec would send NaN as `null`, and bytes and dates as some text."""
    try:
        json.dumps(value, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"`{name}` cannot be written as JSON: {error}", field=name) from error


def _plain(value: object) -> object:
    if isinstance(value, Model):
        return value.to_dict()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _without_absent(value: Any, data: Any) -> Any:
    """Drop the `null` fields of received models from their JSON, at every depth; plain JSON stays."""
    if isinstance(value, Model):
        return {
            name: one if name in value.extra else _without_absent(getattr(value, name, None), one)
            for name, one in data.items()
            if one is not None or isinstance(value, _Sent) or name in value.extra
        }
    if isinstance(value, (list, tuple)):
        return [_without_absent(one, encoded) for one, encoded in zip(value, data, strict=True)]
    if isinstance(value, Mapping):
        return {name: _without_absent(one, data[name]) for name, one in value.items()}
    return data

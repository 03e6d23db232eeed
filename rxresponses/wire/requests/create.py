"""The `response.create` message: a request for one response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal

from msgspec import UNSET, UnsetType

from ...errors import InvalidRequestError
from ...redaction import discreet
from ..base import model
from ..json_config import json_config
from ..merging import evolve
from ..plans import plan_of
from .callable_tools import Function, check_names, take_functions
from .checks import check_stream_id
from .input_items import InputItem, without_unstored_reasoning
from .sent import Sent
from .settings import (
    Reasoning,
    ResponseConversationParam,
    ResponseCreateAccessPrograms,
    ResponseCreateContextManagement,
    ResponseCreateImage,
    ResponseCreateModeration,
    ResponseCreatePromptCacheOptions,
    ResponseCreateStreamOptions,
    ResponsePrompt,
    ResponseTextConfig,
)
from .text_formats import take_text_format
from .tool_choice import ToolChoice
from .tools import Tool

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11


def _always(value: object) -> bool:
    return True


@model
class ResponseCreate(Sent):
    """A request for one response.

    `model` or `prompt` is required.  `extra_body` is merged into the JSON, for fields that this version does not know.
    `stream_id` names the lane.  `generate=False` is a warm-up: it has no output, but a response id to continue from.
    `stream` may be left out or be true, since a socket always streams; a WebSocket has no `background` responses.

    `tools` takes functions too: what `tool` has made, or a plain function.  Each function becomes its definition for
    the model here.  `run_tools` and `Conversation` call the functions; a request alone does not.

    With `store=False` a client sends the output items of earlier responses back itself.  Reasoning items without
    `encrypted_content` (and without plain `content`, as open models have it) are not sent: the service has not stored
    them, and would refuse the request.  To keep the model's reasoning, ask each response for it with
    `include=["reasoning.encrypted_content"]`.  Models that do not reason refuse that, so it is not the default.

    `text_format` is the Python type of the answer: a dataclass, a `TypedDict`, a `msgspec.Struct`, a pydantic model or
    any other type that has a JSON schema.  The request does not keep the type: it sets `text.format` to the strict
    schema of the type, and the other settings in `text` stay.  A type that is no object, such as `list[int]`, is asked
    for as an object with the only property `value`, because the service takes objects only.  A type without a strict
    schema raises `ConfigurationError`.  The operators `parse_output`, `partial_output` and `elements` make values of
    the type from the answer.

    Raises `InvalidRequestError`, which names the field, for invalid values.
    """

    model: str | UnsetType | None = UNSET
    input: str | Sequence[InputItem] | UnsetType | None = UNSET
    instructions: str | UnsetType | None = UNSET
    previous_response_id: str | UnsetType | None = UNSET
    stream_id: str | UnsetType | None = UNSET
    generate: bool | UnsetType | None = UNSET
    store: bool | UnsetType | None = UNSET
    tools: Sequence[Tool | Function] | UnsetType | None = UNSET
    tool_choice: ToolChoice | UnsetType | None = UNSET
    parallel_tool_calls: bool | UnsetType | None = UNSET
    max_tool_calls: int | UnsetType | None = UNSET
    max_output_tokens: int | UnsetType | None = UNSET
    temperature: float | UnsetType | None = UNSET
    top_p: float | UnsetType | None = UNSET
    top_logprobs: int | UnsetType | None = UNSET
    text: ResponseTextConfig | Mapping[str, Any] | UnsetType | None = UNSET
    reasoning: Reasoning | Mapping[str, Any] | UnsetType | None = UNSET
    include: Sequence[str] | UnsetType | None = UNSET
    metadata: Mapping[str, str] | UnsetType | None = UNSET
    conversation: str | ResponseConversationParam | Mapping[str, Any] | UnsetType | None = UNSET
    context_management: Sequence[ResponseCreateContextManagement | Mapping[str, Any]] | UnsetType | None = UNSET
    prompt: ResponsePrompt | Mapping[str, Any] | UnsetType | None = UNSET
    prompt_cache_key: str | UnsetType | None = UNSET
    prompt_cache_options: ResponseCreatePromptCacheOptions | Mapping[str, Any] | UnsetType | None = UNSET
    prompt_cache_retention: str | UnsetType | None = UNSET
    moderation: ResponseCreateModeration | Mapping[str, Any] | UnsetType | None = UNSET
    image: ResponseCreateImage | Mapping[str, Any] | UnsetType | None = UNSET
    access_programs: ResponseCreateAccessPrograms | Mapping[str, Any] | UnsetType | None = UNSET
    safety_identifier: str | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    truncation: str | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    stream: bool | UnsetType | None = UNSET
    stream_options: ResponseCreateStreamOptions | Mapping[str, Any] | UnsetType | None = UNSET
    background: bool | UnsetType | None = UNSET
    background_options: Mapping[str, Any] | UnsetType | None = UNSET
    text_format: Any = field(default=UNSET, metadata=json_config(exclude=_always))
    extra_body: Mapping[str, Any] = field(default_factory=dict, metadata=json_config(exclude=_always))
    type: Literal["response.create"] = "response.create"

    def __post_init__(self) -> None:
        take_functions(self)
        take_text_format(self)
        super().__post_init__()
        check_names(self.tools)
        for name in self.extra_body.keys() & plan_of(type(self)).fields.keys():
            raise InvalidRequestError(f"`extra_body` holds {name!r}, which is a field of its own", field="extra_body")
        if not self.model and not self.prompt:
            raise InvalidRequestError("a request needs `model`, or a `prompt` that names a model", field="model")
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
    @discreet
    def from_dict(cls, kvs: Mapping[str, Any], *, infer_missing: bool = False) -> Self:
        """Build from the JSON of a `response.create`; unknown fields become `extra_body`."""
        if not isinstance(kvs, Mapping):
            raise InvalidRequestError(f"a request is a JSON object, not {type(kvs).__name__}")
        kind = kvs.get("type", "response.create")
        if kind != "response.create":
            raise InvalidRequestError(f"the type must be 'response.create', not {kind!r}", field="type")
        known = plan_of(cls).fields.keys() - {"extra_body"}
        extra = {name: value for name, value in kvs.items() if name not in known}
        return cls(**{name: value for name, value in kvs.items() if name in known}, extra_body=extra)

    def as_sent(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON of all fields without those that mean nothing on a socket.

        With `store=False`, the reasoning items of the input that have no `encrypted_content` are left out too.
        """
        for name in ("stream", "background"):
            data.pop(name, None)
        if data.get("stream_id", UNSET) is None:
            del data["stream_id"]  # the default lane has no name, not even `null`
        if self.store is False and isinstance(data.get("input"), (list, tuple)):
            data["input"] = without_unstored_reasoning(data["input"])
        return data


@discreet
def create_from(request: ResponseCreate | Mapping[str, Any], stream_id: str | None = None) -> ResponseCreate:
    """Return the request as a `ResponseCreate`, for the lane `stream_id` if that is given.

    Raises `InvalidRequestError` if it is no request, or names another lane.
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
        check_stream_id(stream_id)
        return on_lane(create, stream_id)
    if own != stream_id:
        raise InvalidRequestError(
            f"the request names the lane {own!r}, but it is sent on the lane {stream_id!r}", field="stream_id"
        )
    return create


def on_lane(request: ResponseCreate, stream_id: str | UnsetType) -> ResponseCreate:
    """Return the request for another lane, whose name is valid.

    The other fields were checked when the request was made.  Checking megabytes of input again would take as long as
    sending them.
    """
    return request if request.stream_id is stream_id else evolve(request, stream_id=stream_id)

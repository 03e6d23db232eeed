from __future__ import annotations

import dataclasses
import json
from typing import Any, TypedDict

import msgspec
import pytest
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses import (
    ConfigurationError,
    OutputParseError,
    ResponseFailedError,
    ResponseIncompleteError,
    ResponseRefusedError,
    SteerPendingError,
)
from rxresponses.backoff import is_retryable
from rxresponses.known_secrets import Secrets
from rxresponses.operators import elements, parse_output, partial_output
from rxresponses.wire.base import UnknownItem
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ResponseCompletedEvent, ResponseCreatedEvent, ServerEvent
from rxresponses.wire.events.base import set_secrets
from rxresponses.wire.models import Response, ResponseOutputMessage, ResponseOutputRefusal, ResponseOutputText

from ..support.events import (
    call,
    completed,
    created,
    delta,
    error_event,
    failed,
    incomplete,
    item_added,
    item_done,
    message,
    pending,
    text_done,
    wire_event,
)
from ..support.marbles import ManualSource, Operator, marbles, run


@dataclasses.dataclass
class Place:
    city: str
    days: int = 1

    def __post_init__(self) -> None:
        if self.city == "Atlantis":
            raise ValueError("there is no such place")
        if self.city == "Nowhere":
            raise ZeroDivisionError


class Struct(msgspec.Struct):
    city: str


class Typed(TypedDict):
    city: str


ROME = '{"city": "Rome", "days": 2}'
VALUE = Place("Rome", 2)
OPERATORS: dict[str, Operator[Any]] = {
    "parse_output": parse_output(Place),
    "partial_output": partial_output(Place),
    "partial_output(validate)": partial_output(Place, validate=True),
    "elements": elements(Place, at="all"),
}
each = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())


def test_marble_of_the_docstring() -> None:
    steps = [(210, created()), (220, delta('{"city": ')), (230, delta('"Rome"}'))]
    seen = marbles(parse_output(Place), *steps, (240, completed()), (250, None))

    assert seen.timed == [(240, Place("Rome"))]
    assert seen.completions == [250]


@pytest.mark.parametrize(
    "events",
    [
        [delta(ROME[:9]), delta(ROME[9:]), text_done(ROME), completed(message(ROME))],
        [text_done(ROME), completed()],
        [item_done(message(ROME)), completed()],
        [completed(message(ROME))],
        [delta(f"```json\n{ROME}\n```"), completed()],
    ],
)
def test_every_source_of_the_text(events: list[ServerEvent]) -> None:
    assert run(parse_output(Place), created(), *events).values == [VALUE]
    assert run(partial_output(Place), created(), *events).values[-1] == {"city": "Rome", "days": 2}
    assert run(partial_output(Place, validate=True), created(), *events).values[-1] == VALUE


def test_several_responses_in_a_row() -> None:
    events = [created(), delta('{"city": "Rome"}'), completed(), created(), delta('{"city": "Oslo"}'), completed()]

    assert run(parse_output(Place), *events).values == [Place("Rome"), Place("Oslo")]
    assert run(partial_output(Place), *events).values == [{"city": "Rome"}, {"city": "Oslo"}]


def test_a_response_that_was_cut_off_leaves_nothing() -> None:
    events = [created("cut"), delta('{"city": "Ro'), created(), delta(ROME), completed()]

    assert run(parse_output(Place), *events).values == [VALUE]
    assert run(partial_output(Place), *events).values == [{"city": "Ro"}, {"city": "Rome", "days": 2}]


@each
def test_a_response_without_an_answer_emits_nothing(operator: Operator[Any]) -> None:
    for output in ((), (call(),), (message(""),)):
        seen = run(operator, created(), completed(*output))
        assert seen.values == []
        assert seen.completions == [212]


def preamble(text: str, phase: str | None) -> ResponseOutputMessage:
    content = ResponseOutputText(text=text)
    return ResponseOutputMessage(id="msg_0", role="assistant", phase=phase, content=[content])


@each
def test_the_text_before_a_call_is_no_answer(operator: Operator[Any]) -> None:
    item = preamble("Let me look.", None)
    for kind in ("custom_tool_call", "shell_call"):
        output: list[Any] = [{"type": kind, "call_id": "c", "name": "f", "input": "", "action": {"commands": []}}]
        end = wire_event("response.completed", response={"output": output})
        assert run(operator, created(), delta("Let me"), end).values == []
    assert run(operator, created(), delta("Let me"), completed(item, call())).values == []
    assert run(operator, created(), item_done(item), item_added(call(), 1), completed()).values == []


def test_a_call_that_the_server_has_answered_is_no_turn_of_tools() -> None:
    output = [
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "c", "output": []},
        {"type": "web_search_call", "id": "ws_1"},
        message(ROME).to_dict(),
    ]
    end = wire_event("response.completed", response={"id": "resp_1", "output": output})

    assert run(parse_output(Place), created(), end).values == [VALUE]


def test_the_calls_of_one_turn_are_not_those_of_the_next() -> None:
    turn = [created(), item_done(call()), completed(call())]
    cut = [created("cut"), item_added(call())]

    assert run(parse_output(Place), *turn, *cut, created(), delta(ROME), completed()).values == [VALUE]


@pytest.mark.parametrize("phase", ["commentary", None])
def test_commentary_before_the_answer_is_left_out(phase: str | None) -> None:
    """Also of models that do not say that it is commentary: the answer is the last message."""
    talk, answer = preamble("Let me look.", phase), message(ROME)
    events = [
        *(created(), item_added(preamble("", phase)), delta("Let me look.", item_id="msg_0"), item_done(talk)),
        *(delta(ROME[:12], output_index=1), delta(ROME[12:], output_index=1), item_done(answer, 1)),
    ]
    for end in (completed(talk, answer), completed()):
        assert run(parse_output(Place), *events, end).values == [VALUE]
        assert run(partial_output(Place), *events, end).values == [{"city": "Ro"}, {"city": "Rome", "days": 2}]


def test_a_last_message_that_only_the_terminal_event_has() -> None:
    events = [created(), delta("Let me look."), completed(preamble("Let me look.", None), message(ROME, "msg_2"))]

    assert run(parse_output(Place), *events).values == [VALUE]
    assert run(partial_output(Place), *events).values == [{"city": "Rome", "days": 2}]


@each
def test_a_refusal(operator: Operator[Any]) -> None:
    refusal = ResponseOutputMessage(role="assistant", content=[ResponseOutputRefusal(refusal="No.")])
    for events in ([completed(refusal)], [incomplete(refusal)], [item_done(refusal), completed()]):
        error = run(operator, created(), *events).error
        assert isinstance(error, ResponseRefusedError)
        assert (error.refusal, error.response_id, error.delivery) == ("No.", "resp_1", "started")


@each
def test_a_cut_answer(operator: Operator[Any]) -> None:
    for text in ('{"city": "Ro', '{"city": "Rome"}', "Ro"):
        error = run(operator, created(), delta(text), incomplete()).errors[0][1]
        assert isinstance(error, ResponseIncompleteError)
        assert (error.reason, error.text, error.response_id) == ("max_output_tokens", text, "resp_1")


@each
def test_a_steered_response_has_no_answer(operator: Operator[Any]) -> None:
    seen = run(operator, created(), delta("Ro"), incomplete(reason="steered"))

    assert seen.values == []
    assert seen.completions == [213]


def test_the_response_that_follows_a_steer_has_the_answer() -> None:
    target = [created(), delta('{"city": "Ro'), incomplete(reason="steered")]

    assert run(parse_output(Place), *target, created("resp_2"), delta(ROME), completed()).values == [VALUE]


@each
def test_failures(operator: Operator[Any]) -> None:
    for end in (failed(), error_event()):
        assert isinstance(run(operator, created(), delta("{"), end).errors[0][1], ResponseFailedError)
    assert isinstance(run(operator, pending()).error, SteerPendingError)
    unread = decode('{"type": "response.completed", "response": 7}')
    assert "cannot be read" in str(run(operator, created(), unread).error)


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ('{"city": "Rome", "days": "two"}', "$.days", "Expected `int`, got `str`"),
        ('{"days": 1}', "$", "missing required field `city`"),
        ('{"city": "Atlantis"}', "$", "there is no such place"),
        ('{"city": "Rome"', None, "the text is not valid JSON"),
        ("It is Rome.", None, "the text is not valid JSON"),
        ('{"city": "Rome"} {}', None, "the text is not valid JSON"),
        ("[]", "$", "Expected `object`"),
    ],
)
def test_an_answer_that_does_not_fit(text: str, path: str | None, reason: str) -> None:
    for operator in (parse_output(Place), partial_output(Place, validate=True)):
        error = run(operator, created(), delta(text), completed()).errors[0][1]
        assert isinstance(error, OutputParseError)
        assert (error.text, error.path, error.response_id, error.delivery) == (text, path, "resp_1", "started")
        assert reason in error.reason
        assert " - at " not in error.reason
        place = "" if path is None else f" - at `{path}`"
        advice = "ask for the type with `text_format`, or send the request again"
        assert str(error) == f"the answer does not fit: {error.reason}{place}; {advice}"
        assert "does not fit" in str(error)
        assert error.__cause__ is not None
        assert not is_retryable(error)


@pytest.mark.parametrize("place", ["first", "last"])
def test_the_advice_depends_on_whether_the_request_asked_for_the_type(place: str) -> None:
    text = {"format": {"type": "json_schema", "name": "Place", "schema": {}}}
    asked, plain = Response(id="resp_1", text=text), Response(id="resp_1", text={"format": {"type": "text"}})
    first = ResponseCreatedEvent(response=asked if place == "first" else plain)
    last = ResponseCompletedEvent(response=asked if place == "last" else plain)
    error = run(parse_output(Place), first, delta("{}"), last).error
    assert isinstance(error, OutputParseError)
    assert str(error) == f"the answer does not fit: {error.reason} - at `$`; send the request again"
    in_the_middle = run(elements(Place), first, delta("[{}"), completed()).error
    assert ("text_format" in str(in_the_middle)) is (place == "last")


def test_an_error_of_code_of_the_type_passes_as_it_is() -> None:
    text = '{"city": "Nowhere"}'

    assert isinstance(run(parse_output(Place), created(), delta(text), completed()).error, ZeroDivisionError)
    seen = run(partial_output(Place, validate=True), created(), delta(text), completed())
    assert isinstance(seen.errors[0][1], ZeroDivisionError)
    seen = run(elements(Place), created(), delta(f"[{text}"), completed())
    assert isinstance(seen.error, ZeroDivisionError)


def test_secrets_that_come_back_are_in_no_error() -> None:
    secrets = Secrets(["sk-secret-0123456789"])
    text = json.dumps({"city": "Rome", "days": 1, "sk": "sk-secret-0123456789"})
    for changed in (text.replace("1", '"one"'), text + "x"):
        end = completed(message(changed))
        set_secrets(end, secrets)
        error = run(parse_output(Place), created(), end).error
        assert isinstance(error, OutputParseError)
        assert "sk-secret" not in f"{error} {error.text} {error.reason} {error.__cause__}"


def test_a_type_without_a_schema_is_an_error_at_once() -> None:
    for make in (parse_output, partial_output, elements):
        with pytest.raises(ConfigurationError):
            make(object())


@pytest.mark.parametrize(("type_", "value"), [(Struct, Struct("Rome")), (Typed, {"city": "Rome"})])
def test_other_kinds_of_types(type_: Any, value: Any) -> None:
    assert run(parse_output(type_), created(), delta('{"city": "Rome"}'), completed()).values == [value]
    assert run(elements(type_), created(), delta('[{"city": "Rome"}]'), completed()).values == [value]


def test_several_mistakes_have_the_place_of_each() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Two(pydantic.BaseModel):  # type: ignore[name-defined, misc]
        name: str
        age: int

    error = run(parse_output(Two), created(), delta('{"name": 1, "age": "x"}'), completed()).error
    assert isinstance(error, OutputParseError)
    assert error.path == "$.name"
    assert [" - at `$.name`; " in error.reason, error.reason.endswith(" - at `$.age`")] == [True, True]
    assert f"{error.reason}; ask" in str(error)
    one = run(parse_output(Two), created(), delta('{"name": "Tom", "age": "x"}'), completed()).error
    assert isinstance(one, OutputParseError)
    assert (one.path, "$" in one.reason) == ("$.age", False)


def test_a_model_of_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):  # type: ignore[name-defined, misc]
        city: str
        days: int = pydantic.Field(1, ge=1)

    def seen_of(text: str) -> Any:
        return run(parse_output(Model), created(), delta(text), completed())

    assert seen_of('{"city": "Rome", "days": null}').values == [Model(city="Rome")]
    error = seen_of('{"city": "Rome", "days": 0}').errors[0][1]
    assert isinstance(error, OutputParseError)
    assert error.path == "$.days"


def test_errors_of_code_of_a_model_of_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):  # type: ignore[name-defined, misc]
        city: str

        @pydantic.field_validator("city")  # type: ignore[untyped-decorator]
        @classmethod
        def check(cls, city: str) -> str:
            raise {"Atlantis": ValueError, "Utopia": AssertionError, "Oz": TypeError}[city]

    def kind_of(city: str) -> type[Exception]:
        return type(run(parse_output(Model), created(), delta(f'{{"city": "{city}"}}'), completed()).error)

    assert [*map(kind_of, ("Atlantis", "Utopia"))] == [OutputParseError] * 2
    assert [*map(kind_of, ("Oz", "Rome"))] == [TypeError, KeyError]


def test_unknown_items_are_no_calls() -> None:
    kind: Any = "news"

    assert run(parse_output(Place), created(), completed(message(ROME), UnknownItem(type=kind))).values == [VALUE]


def test_types() -> None:
    events = ManualSource[ServerEvent]().observable
    union: Any = int | None

    assert_type(events.pipe(parse_output(Place)), Observable[Place])
    assert_type(events.pipe(parse_output(list[Place])), Observable[list[Place]])
    assert_type(events.pipe(parse_output(Struct)), Observable[Struct])
    assert_type(events.pipe(parse_output(Typed)), Observable[Typed])
    assert_type(events.pipe(parse_output(union)), Observable[Any])

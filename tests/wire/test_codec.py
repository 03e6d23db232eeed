from __future__ import annotations

import importlib
import json
import typing
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rxresponses.errors import DecodeError, FrameError
from rxresponses.wire import codec
from rxresponses.wire.events import (
    REGISTRY,
    TERMINAL_TYPES,
    ResponseCompletedEvent,
    ResponseErrorEvent,
    ResponseShellCallOutputContentDoneEvent,
    ResponseTextDeltaEvent,
    ServerEvent,
    UnknownEvent,
)
from rxresponses.wire.plans import plan_of
from tests.effort import examples
from tests.support.strategies import event_data, events, holds, json_values, models_in, wire, wrong_values

every_event = pytest.mark.parametrize("cls", REGISTRY.values(), ids=REGISTRY)
few = settings(max_examples=examples(20))
many = settings(max_examples=examples(300))

DELTA = {
    "type": "response.output_text.delta",
    "sequence_number": 4,
    "item_id": "msg_1",
    "output_index": 0,
    "content_index": 0,
    "delta": "Hello",
    "logprobs": [],
    "obfuscation": "abc",
}


def delta(**changes: object) -> str:
    return json.dumps({**DELTA, **changes})


# --- both codecs, with every event type


@every_event
@few
@given(data=st.data())
def test_both_codecs_read_the_same(cls: type[ServerEvent], data: st.DataObject) -> None:
    frame = json.dumps(data.draw(wire(cls))).encode()
    event = codec.decode(frame)
    other = ServerEvent.from_json(frame)
    assert type(event) is type(other) is cls
    assert event == other
    assert hash(event) == hash(other)
    assert repr(event) == repr(other)
    assert [model.extra for model in models_in(event)] == [model.extra for model in models_in(other)]
    assert event.raw == frame
    assert other.raw is None


@every_event
@few
@given(data=st.data())
def test_an_event_is_written_back_with_all_its_fields(cls: type[ServerEvent], data: st.DataObject) -> None:
    frame = json.dumps(data.draw(wire(cls)))
    event = codec.decode(frame)
    original = json.loads(frame)
    if cls is ResponseErrorEvent:  # its flat fields are filled from the nested ones
        original = {name: value for name, value in original.items() if value is not None}
    for text in (event.to_json(), codec.encode(event), json.dumps(event.to_dict())):
        assert holds(json.loads(text), original)
        again = codec.decode(text)
        assert again == event
        # `to_json` writes every declared field, so an absent list comes back as an empty one, never as `null`.
        assert [model.extra for model in models_in(again)] == [model.extra for model in models_in(event)]


@every_event
@few
@given(data=st.data())
def test_scenario_62_a_field_of_the_wrong_type_costs_that_field(cls: type[ServerEvent], data: st.DataObject) -> None:
    hints = typing.get_type_hints(cls)
    plan = plan_of(cls)
    name = data.draw(st.sampled_from(sorted((plan.leaves.keys() | plan.nested.keys()) - {"type"})))
    wrong = data.draw(wire(cls)) | {name: data.draw(wrong_values(hints[name]))}
    assume(name != "arguments" or not isinstance(wrong[name], dict))  # which is as good as its text
    frame = json.dumps(wrong)
    event = codec.decode(frame)
    assert type(event) is (UnknownEvent if name in plan.required or name == "stream_id" else cls)
    reason = event.__dict__["_reason"]  # some events have a field of this name
    assert name in reason
    assert holds(event.extra[name], wrong[name])
    assert event.type == wrong["type"]
    assert event.is_terminal == (cls.type in TERMINAL_TYPES)
    original = json.loads(frame)
    if cls is ResponseErrorEvent:  # its flat fields are filled from the nested ones
        original = {name: value for name, value in original.items() if value is not None}
    assert holds(event.to_dict(), original)
    assert event.raw == frame
    other = ServerEvent.from_json(frame)
    assert other == event
    assert other.__dict__["_reason"] == reason
    assert [model.extra for model in models_in(event)] == [model.extra for model in models_in(other)]


@every_event
@few
@given(data=st.data())
def test_scenario_62_integral_floats_are_integers(cls: type[ServerEvent], data: st.DataObject) -> None:
    original = data.draw(wire(cls))
    event = codec.decode(json.dumps(original))
    frame = json.dumps(_with_floats(original))
    for other in (codec.decode(frame), ServerEvent.from_json(frame)):
        assert type(other) is cls
        assert other == event
        assert repr(other.__dict__.get("_reason")) == repr(event.__dict__.get("_reason"))


def _with_floats(value: Any) -> Any:
    """Replace integers, as far as a float holds them exactly."""
    if isinstance(value, dict):
        return {name: _with_floats(element) for name, element in value.items()}
    if isinstance(value, list):
        return [_with_floats(element) for element in value]
    return float(value) if type(value) is int and abs(value) <= 2**53 else value


@every_event
@few
@given(data=st.data())
def test_a_missing_required_field_makes_an_unknown_event(cls: type[ServerEvent], data: st.DataObject) -> None:
    original = data.draw(wire(cls))
    for name in plan_of(cls).required:
        for changed in ({key: value for key, value in original.items() if key != name}, {**original, name: None}):
            frame = json.dumps(changed)
            event = codec.decode(frame)
            assert isinstance(event, UnknownEvent)
            assert event.reason is not None
            assert name in event.reason
            assert ServerEvent.from_json(frame) == event


@many
@given(data=st.dictionaries(st.text(max_size=5) | st.just("type"), json_values, max_size=4))
def test_any_object_is_an_event(data: dict[str, Any]) -> None:
    frame = json.dumps(data)
    event = codec.decode(frame)
    assert isinstance(event, UnknownEvent)
    assert holds(event.to_dict(), json.loads(frame))
    assert ServerEvent.from_json(frame) == event


@many
@given(event=events())
def test_generated_events_are_typed(event: ServerEvent) -> None:
    assert type(event) is REGISTRY[event.type]


# --- frames that are no JSON objects


@many
@given(frame=st.binary(max_size=20) | st.text(st.characters(), max_size=20) | json_values.map(json.dumps))
def test_any_frame_is_an_event_or_a_frame_error(frame: bytes | str) -> None:
    _decode_whatever(frame)


@many
@given(data=event_data(), change=st.binary(max_size=3), where=st.floats(0, 1), cut=st.integers(0, 3))
def test_a_damaged_frame_is_an_event_or_a_frame_error(
    data: dict[str, Any], change: bytes, where: float, cut: int
) -> None:
    frame = json.dumps(data).encode()
    at = int(where * len(frame))
    _decode_whatever(frame[:at] + change + frame[at + cut :])


def _decode_whatever(frame: bytes | str) -> None:
    try:
        event = codec.decode(frame)
    except FrameError as error:
        assert str(error)  # noqa: PT017
        event = codec.undecodable(frame, error)
    assert event.raw == frame
    assert json.loads(codec.encode(event))["type"] == event.type


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("", "Expecting value"),
        ("null", "null"),
        ("5", "int"),
        ('"response.completed"', "str"),
        ("[]", "list"),
        ('{"type": "response.created"', "delimiter"),
        ('{"type": "response.output_text.delta", "delta": "a"} x', "Extra data"),
        (b"\xff\x00", "Expecting value"),
        (b"{}\xff", "not UTF-8$"),
        (b"\xff\xfe{", "not UTF-8$"),
        (b'{"type": "response.output_text.delta", "delta": "\xff"}', "not UTF-8$"),
        ("[" * 100_000 + "]" * 100_000, "list"),
        ('{"type": "x", "deep": ' + "[" * 100_000, "delimiter"),
        ('{"type": "x", "deep": ' + "[" * 100_000 + "]" * 100_000 + ", x}", "property name"),
        ("1" * 5000, "str"),
    ],
)
def test_a_frame_that_is_no_json_object_raises_a_frame_error(frame: bytes | str, reason: str) -> None:
    with pytest.raises(FrameError, match=reason) as caught:
        codec.decode(frame)
    assert caught.value.frame == frame
    assert isinstance(caught.value, DecodeError)
    assert str(caught.value).startswith("the frame is no JSON object: ")


@pytest.mark.parametrize("convert", [str, str.encode], ids=["str", "bytes"])
@pytest.mark.parametrize(
    "absurd",
    ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "1" * 5000],
    ids=["lists", "objects", "integer"],
)
def test_scenario_62_values_that_python_cannot_read_do_not_cost_the_event(absurd: str, convert: Any) -> None:
    response = f'{{"id": "resp_1", "x": [{absurd}, "é"]}}'
    frame = convert(f'{{"response": {response}, "sequence_number": 3, "stream_id": "a", "type": "response.completed"}}')
    event = codec.decode(frame)
    assert isinstance(event, ResponseCompletedEvent)
    assert (event.response.id, event.sequence_number, event.stream_id) == ("resp_1", 3, "a")
    assert event.raw == frame
    assert event.reason is not None
    assert "left out" in event.reason
    (value, last) = event.response.extra["x"]
    assert last == "é"
    while value not in (None, absurd):  # so far it was read
        (value,) = value.values() if isinstance(value, dict) else value
    assert json.loads(codec.encode(event))["type"] == "response.completed"


def test_a_known_event_with_an_unknown_number_that_python_cannot_read() -> None:
    event = codec.decode(f'{{"type": "response.output_text.delta", "delta": "a", "x_new": {"1" * 5000}, "y_new": 2}}')
    assert isinstance(event, ResponseTextDeltaEvent)
    assert event.delta == "a"
    assert event.extra == {"x_new": "1" * 5000, "y_new": 2}


def test_a_frame_too_deep_for_its_class_is_kept_as_an_unknown_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_deep(data: object, problem: str | None) -> ServerEvent:
        raise RecursionError

    monkeypatch.setattr(codec, "event_from", too_deep)
    frame = '{"type": "response.completed", "response": {"id": "resp_1"}}'
    event = codec.decode(frame)
    assert isinstance(event, UnknownEvent)
    assert event.is_terminal
    assert event.raw == frame
    assert event.reason == "it is nested too deeply"


# --- events that msgspec reads directly


@pytest.mark.parametrize("convert", [str, str.encode], ids=["str", "bytes"])
def test_a_text_delta_decodes_directly(convert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_decode_slowly", None)
    frame = convert(delta())
    event = codec.decode(frame)
    assert event == ResponseTextDeltaEvent(
        delta="Hello", item_id="msg_1", output_index=0, content_index=0, sequence_number=4
    )
    assert event.raw is frame
    assert event.extra == {"obfuscation": "abc"}


def test_unknown_fields_of_log_probabilities_are_kept() -> None:
    frame = delta(logprobs=[{"token": "a", "logprob": -0.5, "x_new": 1, "top_logprobs": [{"x_new": 2}]}])
    event = codec.decode(frame)
    assert isinstance(event, ResponseTextDeltaEvent)
    assert event.logprobs[0].logprob == -0.5
    assert event.logprobs[0].extra == {"x_new": 1}
    assert event.logprobs[0].top_logprobs[0].extra == {"x_new": 2}


def test_null_for_a_list_counts_as_absent_and_is_written_back() -> None:
    event = codec.decode(delta(logprobs=None))
    assert isinstance(event, ResponseTextDeltaEvent)
    assert event.logprobs == []
    assert event.to_dict()["logprobs"] is None


def test_a_filled_list_of_models_is_read_by_build() -> None:
    frame = json.dumps(
        {
            "type": "response.shell_call_output_content.done",
            "output": [{"outcome": {"type": "exit", "exit_code": 0}, "stdout": "x"}],
        }
    )
    event = codec.decode(frame)
    assert isinstance(event, ResponseShellCallOutputContentDoneEvent)
    assert event.output[0].outcome is not None
    assert event.output[0].outcome.type == "exit"


def test_broken_utf8_in_an_unknown_field_breaks_nothing() -> None:
    frame = b'{"type": "response.refusal.delta", "delta": "no", "x_new": "\xff"}'
    event = codec.decode(frame)
    assert event.type == "response.refusal.delta"
    assert event.extra == {"x_new": "\N{REPLACEMENT CHARACTER}"}


def test_the_type_may_stand_anywhere_and_twice() -> None:
    assert codec.decode('{"delta": "a", "type": "response.refusal.delta"}').type == "response.refusal.delta"
    assert (
        codec.decode('{"type": "x", "delta": "a", "type": "response.refusal.delta"}').type == "response.refusal.delta"
    )


# --- scenarios


HALVES = "\ud83c", "\udf89"


@pytest.mark.parametrize("half", HALVES, ids=["first", "second"])
@pytest.mark.parametrize("as_text", [False, True], ids=["escaped", "in a str"])
def test_scenario_51_lone_surrogates_survive(half: str, as_text: bool) -> None:
    data = {"type": "response.output_text.delta", "delta": half, "x_new": half}
    frame = json.dumps(data, ensure_ascii=not as_text)
    event = codec.decode(frame)
    assert isinstance(event, ResponseTextDeltaEvent)
    assert event.delta == half
    assert event.extra == {"x_new": half}
    assert json.loads(codec.encode(event)) | data == json.loads(codec.encode(event))
    assert codec.decode(codec.encode(event)) == event
    repr(event).encode()  # printing it raises nothing


def test_scenario_51_halves_of_an_emoji_come_out_whole() -> None:
    halves = [codec.decode(delta(delta=half)) for half in HALVES]
    text = "".join(event.delta for event in halves if isinstance(event, ResponseTextDeltaEvent))
    assert json.loads(json.dumps(text)) == "🎉"


def test_scenario_52_long_ids_and_interleaved_calls_stay_apart() -> None:
    ids = ["fc_" + "a" * 400, "fc_" + "b" * 400]
    pieces = [(ids[number % 2], piece) for number, piece in enumerate(['{"a"', '{"b"', ": 1}", ": 2}"])]
    arguments = dict.fromkeys(ids, "")
    for item_id, piece in pieces:
        event = codec.decode(
            json.dumps({"type": "response.function_call_arguments.delta", "item_id": item_id, "delta": piece})
        )
        arguments[event.to_dict()["item_id"]] += event.to_dict()["delta"]
    assert [json.loads(text) for text in arguments.values()] == [{"a": 1}, {"b": 2}]
    completed = codec.decode(json.dumps({"type": "response.completed", "response": {"id": "resp_" + "c" * 400}}))
    assert isinstance(completed, ResponseCompletedEvent)
    assert completed.response.id == "resp_" + "c" * 400


# --- encoding


def test_encoding_takes_models_and_plain_data() -> None:
    data = {"type": "response.create", "input": "Grüße 🎉", "x": [1.5, None, True]}
    assert json.loads(codec.encode(data)) == data
    assert codec.encode(data).decode().count("🎉") == 1  # as UTF-8, not escaped
    assert json.loads(codec.encode(ResponseTextDeltaEvent(delta="a")))["delta"] == "a"


def test_encoding_escapes_lone_surrogates() -> None:
    assert codec.encode({"input": "\ud83c"}) == b'{"input":"\\ud83c"}'


@pytest.mark.parametrize("name", ["codec", "events", "models"])
def test_the_public_modules_have_the_names_of_the_wire(name: str) -> None:
    public, ours = (importlib.import_module(f"{package}.{name}") for package in ("rxresponses", "rxresponses.wire"))
    assert public.__all__
    assert all(getattr(public, each) is getattr(ours, each) for each in public.__all__)

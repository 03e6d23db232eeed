"""The type is read from the first bytes of a frame where it stands there; the event is the same as without that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.errors import FrameError
from rxresponses.wire import codec
from rxresponses.wire.base import model
from rxresponses.wire.events import REGISTRY, ResponseCancelledEvent, ResponseTextDeltaEvent, ServerEvent, UnknownEvent
from tests.effort import examples
from tests.support.strategies import models_in, wire

many = settings(max_examples=examples(2000))

ESCAPED = {"\\u0074ype": "type", "t\\u0079pe": "type"}
"""Ways to write the key, and the key."""


class Bytes(bytes):
    """Bytes whose first ones `decode` does not look at, because only frames of the transport have to be fast."""


def outcome(frame: bytes) -> Any:
    """Return all that can be seen of what a frame becomes."""
    try:
        event = codec.decode(frame)
    except FrameError as error:
        return str(error), error.frame
    assert event.raw is frame
    models = [(type(each), each.extra, getattr(each, "reason", None)) for each in models_in(event)]
    state = {name: value for name, value in vars(event).items() if name not in ("raw", "_extra")}
    # As text, because the numbers that are no numbers differ from themselves.
    return type(event), repr(state), repr(event), repr(models), event.is_terminal


def assert_same(frame: bytes) -> None:
    # Twice, because the second time the length of the first bytes is known.
    first, again, otherwise = outcome(frame), outcome(frame), outcome(Bytes(frame))
    assert first == again == otherwise


@many
@given(kind=st.sampled_from([*REGISTRY]), data=st.data())
def test_every_event_is_the_same_as_without_a_look_at_the_first_bytes(kind: str, data: st.DataObject) -> None:
    fields = list({**data.draw(wire(REGISTRY[kind])), "type": kind}.items())
    if data.draw(st.booleans()):
        fields.sort(key=lambda field: field[0] != "type")
    assert_same(data.draw(texts_of(fields)))


@st.composite
def texts_of(draw: st.DrawFn, fields: list[tuple[str, Any]]) -> bytes:
    """Draw JSON text of these fields: spaces, escapes, fields twice, a part that is cut off or changed."""
    fields = draw(st.just(fields) | st.permutations(fields))
    space = draw(st.sampled_from(["", " ", "\n\t"]))
    escape = draw(st.booleans())
    pairs = [f"{json.dumps(name)}:{space}{json.dumps(value, ensure_ascii=escape)}" for name, value in fields]
    again = st.sampled_from([*REGISTRY, "", "x_new", "response", None, 1, ["type"]])
    key = st.sampled_from(['"type"', *(f'"{key}"' for key in ESCAPED), '"delta"', '"logprobs"'])
    for name, value in draw(st.lists(st.tuples(key, again | st.text(max_size=3)), max_size=2)):
        pairs.insert(draw(st.integers(0, len(pairs))), f"{name}:{space}{json.dumps(value)}")
    before = draw(st.sampled_from(["", "", " ", "\ufeff"]))
    frame = f"{before}{{{space}{f',{space}'.join(pairs)}}}".encode("utf-8", "surrogatepass")
    damage = draw(st.sampled_from(["none", "none", "cut", "changed"]))
    if damage == "none":
        return frame
    # Half of them near the start, where the type stands.
    at = draw(st.integers(0, 60) | st.integers(0, len(frame)))
    return frame[:at] + (draw(st.binary(max_size=2)) + frame[at + 1 :] if damage == "changed" else b"")


@many
@given(
    kind=st.sampled_from([*REGISTRY, *(kind + "x" for kind in REGISTRY), *(kind[:-1] for kind in REGISTRY), "", '"']),
    rest=st.sampled_from(
        [
            '"}',
            '","delta":"a"}',
            '", "delta": "a", "x": "y"}',
            '","type":"response.refusal.delta","delta":"a"}',
            '","delta":"a","\\u0074ype":"response.refusal.delta"}',
            '","type":"response.output_text.delta","delta":"a"}',
            '","type":null,"delta":"a"}',
            '\\u0061","delta":"a"}',
            '\\","delta":"a"}',
            '", "delta": "a"} ',
            '" , "delta": "a"}',
            '","delta":"\\ud83c"}',
            '","delta":null}',
            '","response":{"status":"failed"}}',
            '","delta":"a"',
            '","delta":"a"}x',
            "",
            "x",
        ]
    ),
    start=st.sampled_from(
        ['{"type":"', '{"type": "', '{ "type":"', '{"type" :"', '{"typ\\u0065":"', '{"Type":"', '["type":"', '{"type":']
    ),
)
def test_the_first_bytes_say_the_type_only_where_they_are_those_of_the_type(kind: str, rest: str, start: str) -> None:
    assert_same((start + kind + rest).encode())


def test_a_frame_with_a_byte_order_mark_has_its_other_fields() -> None:
    event = codec.decode('\ufeff{"type":"response.refusal.delta","delta":"a","x_new":"é"}'.encode())
    assert event.extra == {"x_new": "é"}
    assert codec.decode('{"type":"response.refusal.delta","delta":"a"}'.encode("utf-16")).extra == {}


@pytest.mark.parametrize("start", ['{"type":"', '{"type": "'])
def test_the_common_event_is_read_once(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = f'{start}response.output_text.delta","delta":"a","logprobs":[]}}'.encode()
    codec.decode(frame)
    monkeypatch.setattr(codec, "read_type", None)
    monkeypatch.setattr(codec, "_decode_slowly", None)
    event = codec.decode(frame)
    assert event == ResponseTextDeltaEvent(delta="a")
    assert event.raw is frame


def test_types_that_a_server_makes_up_are_not_kept() -> None:
    for kind in REGISTRY:
        codec.decode(json.dumps({"type": kind}).encode())
    known = len(codec._by_start), len(codec._by_type)
    for number in range(100):
        for frame in (
            f'{{"type":"x.{number}","a":1}}',
            f'{{"type": "response.output_text.delta{number}", "delta": ""}}',
        ):
            assert isinstance(codec.decode(frame.encode()), UnknownEvent)
    assert (len(codec._by_start), len(codec._by_type)) == known == (2 * len(REGISTRY), len(REGISTRY))


@pytest.fixture
def own_events() -> Iterator[None]:
    """Take the events of a test out of the registry and the tables afterwards."""
    known = dict(REGISTRY)
    yield
    for kind in REGISTRY.keys() - known.keys():
        del REGISTRY[kind]
        codec._by_type.pop(kind, None)
        for start in ('{"type":"', '{"type": "'):
            codec._by_start.pop(f'{start}{kind}"'.encode(), None)


@pytest.mark.usefixtures("own_events")
def test_an_event_class_of_a_program_is_found() -> None:
    frame = b'{"type":"my.event","words":"hello"}'
    assert isinstance(codec.decode(frame), UnknownEvent)

    @model
    class MyEvent(ServerEvent):
        type: Literal["my.event"] = "my.event"
        words: str

    for _ in range(2):
        assert codec.decode(frame) == MyEvent(words="hello")
    assert b'{"type":"my.event"' in codec._by_start


@pytest.mark.usefixtures("own_events")
def test_a_class_that_takes_any_type_is_not_told_by_the_first_bytes() -> None:
    @model
    class AnyEvent(ServerEvent):
        type: str = "my.any"

    assert codec.decode(b'{"type":"my.any"}') == AnyEvent()
    event = codec.decode(b'{"type":"my.any","type":"my.other"}')
    assert isinstance(event, UnknownEvent)
    assert event.type == "my.other"


@pytest.mark.usefixtures("own_events")
def test_a_class_with_a_type_that_another_class_has_is_not_told_by_the_first_bytes() -> None:
    @model
    class MineEvent(ServerEvent):
        type: Literal["my.mine", "response.cancelled"] = "my.mine"

    assert codec.decode(b'{"type":"my.mine"}') == MineEvent()
    event = codec.decode(b'{"type":"my.mine","type":"response.cancelled","response":{"id":"r"}}')
    assert isinstance(event, ResponseCancelledEvent)

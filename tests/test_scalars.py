from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses import (
    Backoff,
    ConfigurationError,
    ConnectionOptions,
    InvalidRequestError,
    PoolOptions,
    ResponsesClient,
)
from rxresponses import operators as rops
from rxresponses.scalars import plain_scalar, with_finite_numbers
from rxresponses.wire import codec
from rxresponses.wire.requests import FunctionTool, ResponseCreate
from tests.support.recorder import Recorder
from tests.support.requests import sent


class Scalar:
    """A scalar as those of NumPy, most of which are no subclass of a Python type."""

    shape = ()

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        return self.value


class Float64(float):
    """NumPy's `float64` is a subclass of `float`."""

    shape = ()

    def item(self) -> float:
        return float(self)


class Array(Scalar):
    shape = (1,)  # type: ignore[assignment]


def test_scenario_72_scalars() -> None:
    for value in (0.5, 3, True, "text"):
        plain = plain_scalar(Scalar(value))
        assert plain == value
        assert type(plain) is type(value)
    assert type(plain_scalar(Float64(0.5))) is float


@pytest.mark.parametrize("value", [None, 0.5, "text", b"text", [1], {}, object(), Scalar(None), Scalar(1j), Array([1])])
def test_scenario_72_other_values_stay(value: object) -> None:
    assert plain_scalar(value) is value


def test_scenario_72_what_only_looks_like_a_scalar_stays() -> None:
    class Shape:
        shape = ()

    shape = Shape()
    assert plain_scalar(shape) is shape


def test_scenario_72_numbers_of_numpy_in_a_request() -> None:
    number: Any = Float64(0.7)
    create = ResponseCreate(
        model=Scalar("m"),  # type: ignore[arg-type]
        temperature=number,
        top_p=Scalar(0.5),  # type: ignore[arg-type]
        max_output_tokens=Scalar(100),  # type: ignore[arg-type]
        store=Scalar(True),  # type: ignore[arg-type]
        tools=[FunctionTool(name="f", parameters={"maximum": Scalar(3), "of": [Scalar(0.5), Float64(1.5)]})],
        extra_body={"top_k": Scalar(40)},
    )
    assert (type(create.temperature), create.max_output_tokens, create.store) == (float, 100, True)
    data = sent(create)
    assert (data["model"], data["temperature"], data["top_p"]) == ("m", 0.7, 0.5)
    assert (data["max_output_tokens"], data["store"], data["top_k"]) == (100, True, 40)
    assert data["tools"][0]["parameters"] == {"maximum": 3, "of": [0.5, 1.5]}


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": Scalar(float("nan"))},
        {"temperature": Scalar("warm")},
        {"max_output_tokens": Scalar(0.5)},
        {"metadata": {"a": Array([1])}},
        {"temperature": Array([1])},
    ],
)
def test_scenario_72_a_scalar_that_does_not_fit_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        ResponseCreate(model="m", **fields)


def test_scenario_72_no_json_value() -> None:
    with pytest.raises(TypeError, match="object is no JSON value"):
        codec.encode({"value": object()})


def test_scenario_72_numpy_itself() -> None:
    numpy = pytest.importorskip("numpy")
    create = ResponseCreate(
        model=numpy.str_("m"),
        temperature=numpy.float64(0.7),
        top_p=numpy.float32(0.5),
        max_output_tokens=numpy.int64(100),
        store=numpy.bool_(False),
        text={"format": {"type": "json_schema", "schema": {"maximum": numpy.int32(3), "minimum": numpy.float64(0.5)}}},
    )
    data = sent(create)
    assert (data["model"], data["temperature"], data["top_p"], data["max_output_tokens"]) == ("m", 0.7, 0.5, 100)
    assert data["store"] is create.store is False
    assert data["text"]["format"]["schema"] == {"maximum": 3, "minimum": 0.5}
    with pytest.raises(InvalidRequestError):
        ResponseCreate(model="m", temperature=numpy.array([0.7]))


@pytest.mark.parametrize("scalar", [Scalar, lambda value: value], ids=["NumPy", "Python"])
def test_scenario_72_numbers_of_numpy_are_accepted_in_options(scalar: Any) -> None:
    options = ConnectionOptions(idle_timeout=scalar(5.0), max_active=scalar(3), compression=scalar(True))
    pool = PoolOptions(max_connections=scalar(2), max_age=scalar(60), backoff=Backoff(initial=scalar(0.5)))

    assert options == ConnectionOptions(idle_timeout=5.0, max_active=3, compression=True)
    assert pool == PoolOptions(max_connections=2, max_age=60, backoff=Backoff(initial=0.5))
    for value, kind in ((options.idle_timeout, float), (options.max_active, int), (pool.backoff.initial, float)):
        assert type(value) is kind
    with pytest.raises(ConfigurationError, match="idle_timeout"):
        ConnectionOptions(idle_timeout=scalar(True))
    with pytest.raises(ConfigurationError, match="max_active"):
        ConnectionOptions(max_active=scalar(1.5))


def test_scenario_72_numbers_of_numpy_are_accepted_in_operators_and_methods() -> None:
    assert callable(rops.idle_timeout(Scalar(5.0)))  # type: ignore[call-overload]
    assert callable(rops.to_async_iterable(max_buffered=Scalar(5)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        rops.to_async_iterable(max_buffered=Scalar(0))  # type: ignore[arg-type]
    client = ResponsesClient(api_key="k")
    with pytest.raises(ConfigurationError, match="from 0 to"):
        client.prewarm(Scalar(99))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="timeout"):
        client.drain(Scalar(-1))  # type: ignore[arg-type]
    assert Recorder(client.drain(Scalar(0))).wait().values == [True]  # type: ignore[arg-type]


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (NAN, "NaN"),
        ({"a": [INFINITY, (1.5, -INFINITY)], "b": None}, {"a": ["Infinity", [1.5, "-Infinity"]], "b": None}),
        (["NaN", 1, True, 0.0], ["NaN", 1, True, 0.0]),
    ],
)
def test_scenario_76_numbers_that_json_does_not_have_become_text(data: Any, expected: Any) -> None:
    assert with_finite_numbers(data) == expected


@pytest.mark.parametrize("text", ["plain", "half an emoji: \ud83c"])
def test_scenario_76_no_number_becomes_null_in_silence(text: str) -> None:
    event = codec.decode(json.dumps({"type": "response.new", "x": [NAN, None, 1e400], "y": text}))
    frame = codec.encode(event)
    assert json.loads(frame, parse_constant=pytest.fail)["x"] == ["NaN", None, "Infinity"]
    assert repr(event.extra["x"]) == "[nan, None, inf]"

"""What a request is expected to use: by its size at first, later by what responses of its model used."""

from __future__ import annotations

import pytest

from rxresponses.limits.admission import Estimate
from rxresponses.limits.estimate import Estimator, RequestSize, size_of, text_bytes
from rxresponses.limits.prices import Prices
from rxresponses.wire.models import ResponseUsage
from rxresponses.wire.requests import ResponseCreate

PRICES = Prices({"m": {"input": 2.0, "output": 8.0}})


def test_at_first_four_bytes_are_a_token_and_the_output_is_its_limit() -> None:
    estimator = Estimator()
    assert estimator.estimate(RequestSize("m", 400)) == Estimate(100, 1000, 0.0, "m")
    assert estimator.estimate(RequestSize("m", 400, max_output_tokens=50)) == Estimate(100, 50, 0.0, "m")
    assert estimator.estimate(RequestSize("m", 400, max_output_tokens=20_000)) == Estimate(100, 20_000, 0.0, "m")
    assert estimator.estimate(RequestSize(None, 1, generates=False)) == Estimate(1, 0, 0.0, None)
    assert Estimate(100, 50).tokens == 150


def test_the_latest_responses_of_the_model_say_more() -> None:
    estimator = Estimator()
    for _ in range(100):
        estimator.learn(RequestSize("m", 400), ResponseUsage(input_tokens=200, output_tokens=30))
    assert estimator.estimate(RequestSize("m", 800)) == Estimate(400, 30, 0.0, "m")
    assert estimator.estimate(RequestSize("m", 800, max_output_tokens=20)).output_tokens == 20
    assert estimator.estimate(RequestSize("m", 800, max_output_tokens=200)).output_tokens == 30
    assert estimator.estimate(RequestSize("other", 800)) == Estimate(200, 1000, 0.0, "other")
    for _ in range(100):
        estimator.learn(RequestSize("m", 400), ResponseUsage(input_tokens=200, output_tokens=300))
    assert estimator.estimate(RequestSize("m", 800)).output_tokens == 300


def test_the_input_of_a_continuation_is_what_continuations_had() -> None:
    estimator = Estimator()
    continued = RequestSize("m", 400, continues=True)
    assert estimator.estimate(continued).input_tokens == 100
    estimator.learn(continued, ResponseUsage(input_tokens=5000, output_tokens=30))
    assert estimator.estimate(continued).input_tokens == 5000
    assert estimator.estimate(RequestSize("m", 40_000, continues=True)).input_tokens == 10_000
    assert estimator.estimate(RequestSize("m", 400)).input_tokens == 100


def test_what_is_not_known_teaches_nothing() -> None:
    estimator = Estimator()
    size = RequestSize("m", 400)
    estimator.learn(size, None)
    estimator.learn(size, ResponseUsage())
    assert estimator.estimate(size) == Estimate(100, 1000, 0.0, "m")
    estimator.learn(size, ResponseUsage(total_tokens=70))
    assert estimator.estimate(size) == Estimate(100, 70, 0.0, "m")
    estimator.learn(RequestSize("m", 400, generates=False), ResponseUsage(input_tokens=400, output_tokens=0))
    assert estimator.estimate(size) == Estimate(400, 70, 0.0, "m")


def test_only_the_latest_models_are_remembered() -> None:
    estimator = Estimator()
    for number in range(1000):
        estimator.learn(RequestSize(f"m{number}", 400), ResponseUsage(input_tokens=1, output_tokens=1))
    assert estimator.estimate(RequestSize("m0", 400)).output_tokens == 1000
    assert estimator.estimate(RequestSize("m999", 400)).output_tokens == 1


def test_an_estimate_has_its_cost() -> None:
    estimator = Estimator(PRICES)
    assert estimator.estimate(RequestSize("m", 4000, max_output_tokens=500)).usd == (1000 * 2.0 + 500 * 8.0) / 1e6
    assert estimator.estimate(RequestSize("other", 4000)).usd == 0.0


def test_the_size_of_a_request_is_what_is_known_of_it() -> None:
    create = ResponseCreate(model="m", input="hi")
    assert size_of(create, 40) == RequestSize("m", 40)
    create = ResponseCreate(model="m", input="hi", max_output_tokens=5, previous_response_id="r", generate=False)
    assert size_of(create, 40) == RequestSize("m", 40, 5, continues=True, generates=False)
    create = ResponseCreate(prompt={"id": "p"}, conversation="c", max_output_tokens=None)
    assert size_of(create, 40) == RequestSize(None, 40, None, continues=True)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], 0),
        ([b"data:image/png;base64," + b"A" * 10**6], 4000),
        ([b"data:image/png;base64," + b"A" * 10**6, b"data:application/pdf;base64," + b"A" * 10**5], 8000),
        ([b"data:image/png;base64,AAAA"], 12),  # a small one has no more tokens than bytes
        ([b";base64,"], 8),  # in a text
    ],
)
def test_the_bytes_of_images_and_files_are_no_tokens(files: list[bytes], expected: int) -> None:
    frame = b'{"input":[' + b",".join(b'{"image_url":"' + file + b'"}' for file in files) + b"]}"
    rest = len(frame) - sum(len(file) - file.find(b";base64,") for file in files)
    assert text_bytes(frame) == rest + expected


def test_a_frame_that_ends_within_a_file_is_counted_too() -> None:
    assert text_bytes(b";base64,AAAA") == 12


def test_a_limit_of_any_length_for_the_output_is_estimated_too() -> None:
    size = size_of(ResponseCreate(model="m", input="?", max_output_tokens=10**400), 400)
    estimate = Estimator(PRICES).estimate(size)
    assert estimate.output_tokens == 2**53 - 1
    assert estimate.usd == pytest.approx((2**53 - 1) * 8.0 / 1e6)

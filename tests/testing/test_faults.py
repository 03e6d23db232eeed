"""The arguments of faults."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from rxresponses.testing.faults import Fault, IgnoreSteer, RefuseUpgrade
from rxresponses.testing.outputs import Text
from rxresponses.testing.plan import FaultPlan
from rxresponses.testing.replies import Close, Failure
from rxresponses.testing.request import Request

DROP = Close(1006)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"connection": 0}, "connection must be at least 1"),
        ({"request": -1}, "request must be at least 0"),
        ({"times": 0}, "times must be at least 1"),
        ({"probability": 1.1}, "from 0 to 1"),
        ({"probability": math.nan}, "from 0 to 1"),
        ({"request": 0, "match": "x"}, "match chooses requests"),
        ({"what": IgnoreSteer(), "match": "x"}, "match chooses requests"),
        ({"what": RefuseUpgrade(), "request": 1}, "RefuseUpgrade happens to a connection"),
        ({"what": RefuseUpgrade(), "request": 0}, "RefuseUpgrade happens to a connection"),
        ({"what": Failure(), "request": 0}, "Failure happens to a response"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fault(**{"what": DROP, **arguments})


def test_something_that_is_not_a_fault_is_refused() -> None:
    with pytest.raises(TypeError, match="Not a fault: Text"):
        Fault(Text("hi"))  # type: ignore[arg-type]
    with pytest.raises(re.error):
        Fault(DROP, match="(")
    for wrong in (DROP, "drop", None):
        with pytest.raises(TypeError, match="Not a Fault: "):
            FaultPlan([wrong])  # type: ignore[list-item]
        plan = FaultPlan()
        with pytest.raises(TypeError, match="Not a Fault: "):
            plan.add(Fault(DROP), wrong)  # type: ignore[arg-type]
        assert plan.at_request(Request({}, [], number=1)) == ()


@pytest.mark.parametrize(
    ("status", "reason", "kind", "code"),
    [
        (401, "Unauthorized", "authentication_error", None),
        (403, "Forbidden", "permission_error", None),
        (404, "Not Found", "invalid_request_error", None),
        (429, "Too Many Requests", "rate_limit_error", "rate_limit_exceeded"),
        (503, "Service Unavailable", "server_error", None),
        (529, "Unknown", "server_error", None),
    ],
)
def test_a_refused_upgrade_has_the_error_of_its_status(status: int, reason: str, kind: str, code: str | None) -> None:
    refusal = RefuseUpgrade(status)

    assert refusal.reason == reason
    assert refusal.content == {"error": {"message": reason, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize("body", ["", "<html>", {}, {"detail": "no"}])
@pytest.mark.parametrize("status", [200, 599])
def test_a_refused_upgrade_has_the_given_body(status: int, body: Any) -> None:
    assert RefuseUpgrade(status, body).content == body

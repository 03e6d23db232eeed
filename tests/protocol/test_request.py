from __future__ import annotations

import pytest

from rxresponses.protocol.request import ProtocolRequest, ProtocolSteer


@pytest.mark.parametrize(
    ("request_or_steer", "expected"),
    [
        (ProtocolRequest(b"{}", None), False),
        (ProtocolRequest(b'{"previous_response_id": null}', None), False),
        (ProtocolRequest(b'{"input": "\\ud83c", "previous_response_id": "r1"}', None), True),
        (ProtocolRequest(b'{"previous_response_id": "r2"}', None), False),
        (ProtocolSteer(b"{}", "r1"), True),
        (ProtocolSteer(b"{}", "r2"), False),
    ],
)
def test_what_a_request_continues(request_or_steer: ProtocolRequest, expected: bool) -> None:
    assert request_or_steer.continues("r1") is expected

"""The fixture, as a user's test suite sees it."""

from __future__ import annotations

import pytest

import rxresponses.testing.server  # noqa: F401 - `pytester` forgets the modules that its run imports

pytest_plugins = ["pytester"]

SUITE = """
from websockets.sync.client import connect

seen = []

def test_one(responses_server):
    seen.append(responses_server)
    url = responses_server.url.replace("http", "ws") + "/responses"
    with connect(url, max_queue=None) as connection:
        connection.send('{"type": "response.create", "model": "m", "input": "hi"}')
        assert "response.created" in connection.recv()
        while "response.completed" not in connection.recv():
            pass  # frames that are not read would keep the closing handshake waiting
    assert responses_server.requests[0]["input"] == "hi"

def test_another(responses_server):
    assert responses_server is not seen[0]
    assert responses_server.requests == []
    assert "closed" in repr(seen[0])
"""


def test_each_test_gets_its_own_server(pytester: pytest.Pytester) -> None:
    # Whether or not the package is installed, and its entry point with it.
    pytester.makeconftest("from rxresponses.testing.plugin import responses_server")
    pytester.makepyfile(SUITE)

    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)

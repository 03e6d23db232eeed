"""What an inspector tells nobody, and that it ends for those who watch when the program does."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from reactivex import operators as ops
from websockets.exceptions import ConnectionClosed, InvalidStatus

import rxresponses.operators as rops
from rxresponses import ConnectionOptions, ResponsesClient, serve_inspector
from rxresponses.inspector import inspector as module
from rxresponses.inspector.runtime_files import running_programs
from rxresponses.testing import ResponsesServer, Text

from .client import KEY, PATIENCE, REQUEST, Page, get, open_socket, wait_until

PROGRAM = """
import sys
from rxresponses import ResponsesWebSocket, serve_inspector
with ResponsesWebSocket("ws://127.0.0.1:9", api_key="none") as sender:
    inspector = serve_inspector(sender)
    print(inspector.url, flush=True)
    sys.stdin.read()
"""


def start() -> subprocess.Popen[str]:
    """Start a program that ends when its input does, without closing its inspector."""
    return subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def url_of(program: subprocess.Popen[str]) -> str:
    """Return the URL of its page, as soon as the program runs."""
    assert program.stdout is not None
    return program.stdout.readline().strip()


# What is told to nobody.


def test_the_token_and_texts_are_in_no_log(client: ResponsesClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serve_inspector(client) as inspector:
        token = inspector.url.split("/")[3]
        get(inspector.url)
        get(inspector.url, {"Host": "evil.example"})
        with pytest.raises(InvalidStatus):
            open_socket(inspector.url, "https://evil.example")
        with Page(inspector.url) as page:
            client.send_request({**REQUEST, "input": "a-text-of-mine"}).run()
            page.wait(lambda page: page.of("request"))
            page.socket.send("x" * 500)  # more than a page may send
            with pytest.raises(ConnectionClosed):
                page.wait(lambda page: False)
    own = [record for record in caplog.records if record.name.startswith("rxresponses")]
    assert any("connection" in record.getMessage() for record in own)
    logged = "\n".join(f"{record.getMessage()} {record.exc_text}" for record in own)
    assert token not in logged
    assert "a-text-of-mine" not in logged


def test_the_token_is_in_no_repr(client: ResponsesClient) -> None:
    with serve_inspector(client) as inspector:
        token = inspector.url.split("/")[3]
        assert len(token) >= 32
        assert token not in repr(inspector)
        assert token not in repr(inspector._file)
        assert token not in repr(inspector._server)
        assert token not in repr(list(running_programs()))


@pytest.mark.parametrize("contents", ["full", "redacted"])
def test_secrets_of_the_handshake_are_in_no_event(server: ResponsesServer, contents: Any) -> None:
    secret = "hdr-7Yw2kQ9xVb31"
    server.on("", Text(deltas=[f"The header is {secret}", f", the key is {KEY}"]))
    options = ConnectionOptions(headers={"X-Gateway-Token": secret})
    with (
        ResponsesClient(f"{server.url}?code={secret[::-1]}", api_key=KEY, options=options) as client,
        serve_inspector(client, contents=contents) as inspector,
        Page(inspector.url) as page,
    ):
        asked = client.send_request({**REQUEST, "input": secret[::-1]})
        text = "".join(asked.pipe(rops.text_deltas(), ops.to_list()).run())
        assert secret in text  # the stream itself is not changed
        page.wait(lambda page: page.of("request") and page.of("request")[0]["sign"] == "completed")
        for hidden in (secret, secret[::-1], KEY):
            assert hidden not in page.text


def test_the_token_is_of_one_inspector_alone(client: ResponsesClient) -> None:
    with serve_inspector(client) as inspector, serve_inspector(client) as other:
        token, own = inspector.url.split("/")[3], other.url.split("/")[3]
        assert token != own
        assert get(other.url.replace(own, token))[0] == 404
        with Page(inspector.url) as page, Page(other.url) as second:
            client.send_request(REQUEST).run()
            for each in (page, second):
                each.wait(lambda page: page.of("request") and page.of("request")[0]["sign"] == "completed")
        inspector.close()
        client.send_request(REQUEST).run()
        with Page(other.url) as page:
            page.wait(lambda page: len(page.of("request")) == 2)


# Ends.


def test_programs_that_end_without_closing_leave_no_file(folder: Path) -> None:
    programs = [start(), start()]
    urls = [url_of(program) for program in programs]
    found = {running.pid: running.url for running in running_programs()}
    assert found == {program.pid: url for program, url in zip(programs, urls, strict=True)}
    with Page(urls[0]) as page:
        programs[0].communicate("", timeout=PATIENCE)
        with pytest.raises(ConnectionClosed):
            page.wait(lambda page: False)
    assert [running.pid for running in running_programs()] == [programs[1].pid]
    assert len(list(folder.iterdir())) == 1
    programs[1].send_signal(signal.SIGKILL)
    programs[1].communicate(timeout=PATIENCE)
    assert list(running_programs()) == []  # which removes the file that the program could not remove
    assert list(folder.iterdir()) == []


def test_a_page_is_closed_when_the_inspector_fails(
    client: ResponsesClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serve_inspector(client) as inspector:
        monkeypatch.setattr(inspector._feed, "snapshot", lambda: 1 / 0)
        with Page(inspector.url) as page, pytest.raises(ConnectionClosed) as caught:
            page.read()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1011
        wait_until(lambda: not inspector._feed.pages)
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_does_not_close_it_and_does_not_keep_it(client: ResponsesClient, folder: Path) -> None:
    inspector = serve_inspector(client)
    lives, ends = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:  # no assertion may leave this branch
        try:
            inspector.close()
            inspector._withdraw()  # as at the end of the program
            os.write(lives[1], b"x")
            os.close(ends[1])
            os.read(ends[0], 1)
        finally:
            os._exit(0)
    os.read(lives[0], 1)
    assert get(inspector.url)[0] == 200
    assert len(list(folder.iterdir())) == 1
    inspector.close()
    with pytest.raises(ConnectionRefusedError):  # though the fork goes on
        get(inspector.url)
    for handle in (*ends, *lives):
        os.close(handle)
    os.waitpid(child, 0)


def test_what_a_fork_leaves_to_the_parent(client: ResponsesClient) -> None:
    """The same without a fork, where no coverage is measured."""
    with serve_inspector(client) as inspector:
        inspector._process += 1
        inspector.close()
        inspector._process -= 1
        assert get(inspector.url)[0] == 200
    module._leave_to_parent()
    assert inspector._listening.fileno() == -1

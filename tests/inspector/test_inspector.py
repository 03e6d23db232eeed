"""`serve_inspector`: real servers, streams and pages."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from websockets.exceptions import ConnectionClosed, InvalidStatus

import rxresponses.operators as rops
from rxresponses import ResponsesClient, ResponsesWebSocket, load_recording, serve_inspector
from rxresponses.inspector.inspector import Inspector
from rxresponses.inspector.runtime_files import running_programs
from rxresponses.testing import Hold, ResponsesServer, Text

from .client import KEY, PATIENCE, REQUEST, Page, get, open_socket, wait_until


def test_a_page_sees_all_events_of_a_stream(client: ResponsesClient) -> None:
    seen: list[Any] = []
    with serve_inspector(client) as inspector, Page(inspector.url) as page:
        client.send_request(REQUEST).pipe(ops.do_action(seen.append)).run()
        page.wait(lambda page: page.of("request") and page.of("request")[0]["sign"] == "completed")
        (row,) = page.of("request")
        assert [json.loads(event[3]) for event in row["events"]] == [json.loads(event.raw) for event in seen]
        assert [event[1] for event in row["events"]] == [event.type for event in seen]
        assert row["request"]["input"] == "Hi"
        assert "Hi" in row["note"]
        assert row["firstText"] is not None
        assert [row["name"] for row in page.of("connection")] == ["c1"]


def test_a_page_that_is_opened_later_sees_what_was(client: ResponsesClient) -> None:
    with serve_inspector(client) as inspector:
        client.send_request(REQUEST).run()
        wait_until(lambda: inspector._feed._diagram._chunks)
        with Page(inspector.url) as page, Page(inspector.url.replace("127.0.0.1", "localhost")) as other:
            for each in (page, other):
                each.wait(lambda page: page.of("request") and page.of("request")[0]["sign"] == "completed")
            assert page.rows == other.rows
            assert page.count > 5
        with Page(inspector.url) as again:  # as a page that was loaded anew
            again.read()
            assert again.resets == 1
            assert again.count == page.count


def test_an_inspector_sees_streams_that_run_already(server: ResponsesServer, client: ResponsesClient) -> None:
    gate = server.gate()
    server.on("held", Hold(gate))
    ended = threading.Event()
    seen = threading.Event()
    client.send_request({**REQUEST, "input": "held"}).subscribe(lambda _: seen.set(), on_completed=ended.set)
    assert seen.wait(PATIENCE)
    with serve_inspector(client) as inspector, Page(inspector.url) as page:
        page.wait(lambda page: page.of("connection"))
        gate.open()
        assert ended.wait(PATIENCE)
        page.wait(lambda page: page.of("request") and page.of("request")[0]["sign"] == "completed")


@pytest.mark.parametrize("contents", ["full", "redacted"])
def test_no_page_sees_a_secret(server: ResponsesServer, client: ResponsesClient, contents: Any) -> None:
    server.on("", Text(deltas=["Your key is ", KEY, ", and your name is Ada.", "\n"]))
    tool = {
        "type": "mcp",
        "server_label": "s",
        "server_url": "https://user:pass-12345@host/p",
        "headers": {"X": "y9-secret-8"},
        "authorization": "tok-55AbCdEfGhJk",
    }
    shell = {
        "type": "shell",
        "environment": {
            "type": "container_auto",
            "network_policy": {
                "type": "allowlist",
                "allowed_domains": ["a.example"],
                "domain_secrets": [{"domain": "a.example", "name": "KEY", "value": "dom-77QwErTyUi"}],
            },
        },
    }
    with serve_inspector(client, contents=contents) as inspector, Page(inspector.url) as page:
        text = rops.observe_pipeline(inspector.recorder, rops.text_deltas())
        client.send_request({**REQUEST, "input": f"Ada has {KEY}", "tools": [tool, shell]}).pipe(text).run()
        page.wait(lambda page: page.of("request") and page.of("request")[0]["sign"] == "completed")
        with Page(inspector.url) as late:
            late.read()
        assert KEY not in repr(inspector)
        for sent in (page.text, late.text, get(inspector.url)[2]):
            assert KEY not in sent
            assert KEY[4:20] not in sent
            assert "pass-12345" not in sent
            assert "y9-secret-8" not in sent
            assert "tok-55AbCdEfGhJk" not in sent
            assert "dom-77QwErTyUi" not in sent
        assert ("Ada" in page.text) == (contents == "full")


def test_the_lines_of_a_pipeline(client: ResponsesClient) -> None:
    with serve_inspector(client) as inspector, Page(inspector.url) as page:
        chain = rops.observe_pipeline(inspector.recorder, rops.text_deltas(), ops.map(str.upper))
        client.send_request(REQUEST).pipe(chain).run()
        page.wait(
            lambda page: len(page.of("stage")) == 2 and all(row["sign"] == "completed" for row in page.of("stage"))
        )
        assert [row["kind"] for row in page.rows.values()] == ["connection", "request", "stage", "stage"]
        assert [row["name"].partition("(")[0] for row in page.of("stage")] == ["text_deltas", "map"]
        assert "YOU ASKED: HI" in "".join(event[2] for event in page.of("stage")[1]["events"])


def test_a_recording_goes_on_beside_an_inspector(client: ResponsesClient, tmp_path: Path) -> None:
    with client.record(tmp_path / "a.jsonl"):
        with serve_inspector(client) as inspector, Page(inspector.url) as page:
            client.send_request(REQUEST).run()
            page.wait(lambda page: page.of("request"))
        client.send_request(REQUEST).run()
    assert load_recording(tmp_path / "a.jsonl").requests == ("r1", "r2")


def test_several_senders_on_one_page(server: ResponsesServer, client: ResponsesClient) -> None:
    with ResponsesWebSocket(server.url, api_key=KEY) as other, serve_inspector(client, other) as inspector:
        reactivex.merge(client.send_request(REQUEST), other.send_request(REQUEST)).run()
        with Page(inspector.url) as page:
            page.wait(lambda page: len(page.of("request")) == 2)
            assert len(page.of("connection")) == 2


def test_a_page_outlives_the_sender(server: ResponsesServer) -> None:
    with ResponsesWebSocket(server.url, api_key=KEY) as sender:
        inspector = serve_inspector(sender)
        sender.send_request(REQUEST).run()
    with inspector, Page(inspector.url) as page:
        page.wait(lambda page: page.of("connection") and page.of("connection")[0]["sign"] == "completed")


def test_in_a_program_with_a_loop(server: ResponsesServer) -> None:
    async def main() -> None:
        async with ResponsesClient(server.url, api_key=KEY) as client:
            with serve_inspector(client) as inspector:
                page = await asyncio.to_thread(Page, inspector.url)
                await client.send_request(REQUEST)
                await asyncio.to_thread(page.wait, lambda page: page.of("request"))
                await asyncio.to_thread(page.socket.close)

    asyncio.run(main())


# Who may see it.


def test_the_headers_of_the_page(client: ResponsesClient) -> None:
    with serve_inspector(client) as inspector:
        status, headers, body = get(inspector.url)
        assert status == 200
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert f"connect-src ws://127.0.0.1:{inspector._port};" in policy
        assert inspector.url.split("/")[3] not in body


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Host": "evil.example"}, 403), ({"Host": "127.0.0.1:1"}, 403), ({"Host": ""}, 403)],
)
def test_a_name_of_another_site_for_this_machine(client: ResponsesClient, headers: Any, status: int) -> None:
    with serve_inspector(client) as inspector:
        found, _, body = get(inspector.url, headers)
        assert found == status
        assert "<" not in body


def test_nothing_without_the_token(client: ResponsesClient) -> None:
    with serve_inspector(client) as inspector:
        base = f"http://127.0.0.1:{inspector._port}"
        assert get(f"{base}/")[0] == 404
        assert get(f"{base}/{'x' * 43}/")[0] == 404
        with pytest.raises(InvalidStatus) as caught:
            open_socket(f"{base}/{'x' * 43}/")
        assert caught.value.response.status_code == 404


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1:1"])
def test_a_page_of_another_site(client: ResponsesClient, origin: str | None) -> None:
    with serve_inspector(client) as inspector:
        with pytest.raises(InvalidStatus) as caught:
            open_socket(inspector.url, origin)
        assert caught.value.response.status_code == 403


def test_it_listens_on_127_0_0_1_alone(client: ResponsesClient) -> None:
    with serve_inspector(client) as inspector:
        for host in ("127.0.0.2", "::1"):
            with pytest.raises(OSError), socket.create_connection((host, inspector._port), timeout=1):  # noqa: PT011
                pass


def test_no_more_than_20_pages(client: ResponsesClient) -> None:
    with serve_inspector(client) as inspector:
        pages = [open_socket(inspector.url) for _ in range(20)]
        with pytest.raises(InvalidStatus) as caught:
            open_socket(inspector.url)
        assert caught.value.response.status_code == 503
        pages.pop().close()
        wait_until(lambda: len(inspector._feed.pages) == 19)
        pages.append(open_socket(inspector.url))
        for page in pages:
            page.close()


def test_what_is_no_browser_is_not_logged(client: ResponsesClient, caplog: pytest.LogCaptureFixture) -> None:
    with serve_inspector(client) as inspector:
        for data in (b"\0\1\2\3\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b""):
            with socket.create_connection(("127.0.0.1", inspector._port), timeout=PATIENCE) as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1000):
                    pass
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# Ends.


def test_closing_leaves_nothing_behind(client: ResponsesClient, folder: Path) -> None:
    client.send_request(REQUEST).run()
    inspector = serve_inspector(client)
    assert len(list(folder.iterdir())) == 1
    page = Page(inspector.url)
    wait_until(lambda: inspector._feed.pages)
    inspector.close()
    inspector.close()
    inspector.dispose()
    assert list(folder.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        get(inspector.url)
    with pytest.raises(ConnectionClosed) as caught:
        page.wait(lambda page: False)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001
    assert client._collectors == []
    assert all(connection._tape is None for connection in client._connections)
    client.send_request(REQUEST).run()
    assert "closed" in repr(inspector)
    # So does closing it when its loop has ended.
    inspector._is_closed, inspector._loop = False, asyncio.new_event_loop()
    inspector._loop.close()
    inspector.close()


def test_the_thread_ends_with_the_last_user(server: ResponsesServer) -> None:
    sender = ResponsesWebSocket(server.url, api_key=KEY)
    with serve_inspector(sender) as inspector:
        thread = next(thread for thread in threading.enumerate() if thread.name == "rxresponses")
        get(inspector.url)
    sender.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_page_that_reads_nothing_holds_up_nobody(server: ResponsesServer, client: ResponsesClient) -> None:
    server.on("", Text(deltas=["x" * 2000] * 500))
    with serve_inspector(client, keep_bytes=2**18) as inspector:
        slow = open_socket(inspector.url, close_timeout=0.1)
        wait_until(lambda: inspector._feed.pages)
        for _ in range(3):
            client.send_request(REQUEST).run()
        with Page(inspector.url) as page:
            page.wait(lambda page: page.of("request") and page.of("request")[0]["sign"] == "completed")
            assert page.count < 600  # of 1,500
        assert inspector._feed._diagram._size <= 2**18
        assert all(page._size <= 2**22 for page in tuple(inspector._feed.pages))
        slow.close()


def test_an_error_of_the_inspector_ends_no_stream(
    client: ResponsesClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serve_inspector(client) as inspector:
        monkeypatch.setattr(inspector._feed, "_read_some", lambda: 1 / 0)
        wait_until(lambda: not inspector._feed.is_open)
        assert "The inspector has failed" in caplog.text
        assert client.send_request(REQUEST).run().type == "response.completed"
    caplog.clear()


def test_closing_the_recorder_ends_what_is_noted(client: ResponsesClient) -> None:
    with serve_inspector(client) as inspector:
        inspector.recorder.close()
        inspector.recorder.dispose()
        assert client._collectors == []
        assert client.send_request(REQUEST).run().type == "response.completed"
        assert get(inspector.url)[0] == 200  # what was seen so far can still be looked at


def test_called_on_the_background_loop(client: ResponsesClient) -> None:
    made: list[Inspector] = []
    done = threading.Event()

    def on_next(_: object) -> None:
        if not made:
            made.append(serve_inspector(client))

    client.send_request(REQUEST).subscribe(on_next, on_completed=done.set)
    assert done.wait(PATIENCE)
    assert get(made[0].url)[0] == 200
    client.send_request(REQUEST).subscribe(lambda _: made[0].close(), on_completed=done.clear)
    wait_until(lambda: not done.is_set())
    wait_until(made[0]._stopped.is_set)


# Arguments, and the file for `rxresponses watch`.


def test_wrong_arguments(client: ResponsesClient) -> None:
    with pytest.raises(TypeError, match="takes a socket or a client"):
        serve_inspector()
    with pytest.raises(TypeError, match="not 'x'"):
        serve_inspector("x")  # type: ignore[arg-type]
    wrong: Any
    for wrong in ({"contents": "none"}, {"keep_seconds": 0}, {"keep_seconds": float("nan")}, {"keep_bytes": 5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            serve_inspector(client, **wrong)
    with serve_inspector(client) as inspector, pytest.raises(OSError, match="in use"):
        serve_inspector(client, port=inspector._port)
    assert client._collectors == []


def test_the_file_is_for_the_user_alone(client: ResponsesClient, folder: Path) -> None:
    with serve_inspector(client, keep_seconds=90) as inspector:
        (file,) = folder.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (running,) = running_programs()
        assert (running.pid, running.url, running.file) == (os.getpid(), inspector.url, file)
        assert f"url={inspector.url}" in file.read_text(encoding="utf-8")
        assert "the latest 90 seconds" in get(inspector.url)[2]
    with serve_inspector(client, announce=False):
        assert list(running_programs()) == []


def test_a_folder_of_another_user(client: ResponsesClient, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with serve_inspector(client) as inspector:
        assert "will not find this program" in caplog.text
        assert get(inspector.url)[0] == 200
        assert list(running_programs()) == []
    assert list(folder.iterdir()) == []
    caplog.clear()


def test_files_of_programs_that_were_killed(client: ResponsesClient, folder: Path) -> None:
    with serve_inspector(client) as inspector:
        (file,) = folder.iterdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (folder / "1-1.html").write_text(file.read_text().replace(f":{inspector._port}/", f":{port}/"))
        (folder / "2-2.html").write_text("no data")
        assert [running.url for running in running_programs()] == [inspector.url]
        assert sorted(each.name for each in folder.iterdir()) == sorted(["2-2.html", file.name])


def test_a_program_that_does_not_answer_is_not_forgotten(
    client: ResponsesClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxresponses.inspector.runtime_files._PATIENCE", 0.05)
    with serve_inspector(client) as inspector, socket.create_server(("127.0.0.1", 0)) as busy:
        (file,) = folder.iterdir()
        file.write_text(file.read_text().replace(f":{inspector._port}/", f":{busy.getsockname()[1]}/"))
        assert len(list(running_programs())) == 1


def test_the_folder_without_a_runtime_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rxresponses.inspector import runtime_files

    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert runtime_files.runtime_folder() == tmp_path / f"rxresponses-{os.getuid()}"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert runtime_files.runtime_folder() == tmp_path / "local" / "rxresponses" / "running"
    running = runtime_files.Running(1, "a <b>", "", "http://127.0.0.1:1/x/", runtime_files.runtime_folder() / "1.html")
    runtime_files.write_file(running)
    runtime_files.write_file(running)  # the process id is used again
    assert runtime_files._read(running.file) == running

"""The pytest plugin: the fixtures `responses_server` and `responses_url`, and the mark `responses_recording`.

pytest imports this module at its start in every environment where the package is installed.  Therefore
the server is imported only when a test uses a fixture.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .server import ResponsesServer

_MARK = "responses_recording"
_HELP = """(path=None, *, match="strict", contents="full"): record what the test exchanges with the service at \
its first run, and replay it afterwards.  By default the file is recordings/MODULE/TEST.jsonl beside the test."""
_NO_KEY = "not-needed-in-a-replay"
_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("rxresponses").addoption(
        "--responses-record",
        choices=["none", "once", "all"],
        default="once",
        help="tests with the mark responses_recording: `once` records where there is no recording (default), `none` "
        "never records, `all` records all of them anew",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", f"{_MARK}{_HELP}")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give each test with the mark the fixture, whether or not it asks for the URL."""
    names: list[str] = getattr(item, "fixturenames", [])
    if item.get_closest_marker(_MARK) is not None and "responses_url" not in names:
        names.insert(0, "responses_url")


def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Note that a test has failed: then nothing of it is kept as a recording."""
    if isinstance(node, pytest.Item):
        node.stash[_failed] = True


@pytest.fixture
def responses_server() -> Iterator[ResponsesServer]:
    """A `ResponsesServer` on a free local port.  It runs on a thread of its own while one test runs.

    `reply` and `on` say what it answers, `script` reads that from a file, and `fault` says what goes wrong.
    """
    from .server import ResponsesServer

    with ResponsesServer() as server:
        yield server


@pytest.fixture
def responses_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a service whose answers are recorded at the first run of the test, and replayed afterwards.

    `OPENAI_BASE_URL` is this URL while the test runs, so that clients without a URL use it.  The first run needs
    `OPENAI_API_KEY`, or an `OPENAI_BASE_URL` of another service; a replay needs no key and no network.  The mark
    `responses_recording` has the settings.  A test that fails leaves no recording.
    """
    path, match, contents = _settings(request.node)
    mode = request.config.getoption("--responses-record")
    if mode == "all" or (mode == "once" and not path.exists()):
        made = _recorded(request.node, path, contents)
    elif path.exists():
        made = _replayed(path, match)
        if not os.environ.get("OPENAI_API_KEY"):
            monkeypatch.setenv("OPENAI_API_KEY", _NO_KEY)  # some clients want one
    else:
        pytest.fail(f"there is no recording {path}, and --responses-record=none makes none", pytrace=False)
    with made as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        yield url


def _settings(
    item: pytest.Item,
) -> tuple[Path, Any, Any]:
    """Return the path, how requests are matched, and which contents are recorded."""
    mark = item.get_closest_marker(_MARK)
    args, options = ((), {}) if mark is None else (mark.args, dict(mark.kwargs))
    if len(args) > 1 or (args and "path" in options) or options.keys() - {"path", "match", "contents"}:
        pytest.fail(f"wrong arguments of the mark: {_MARK}{_HELP}", pytrace=False)
    given = args[0] if args else options.get("path")
    here = item.path.parent
    name = re.sub(r"[^\w.\[\]-]+", "-", item.nodeid.partition("::")[2])
    path = here / given if given is not None else here / "recordings" / item.path.stem / f"{name}.jsonl"
    return path, options.get("match", "strict"), options.get("contents", "full")


@contextmanager
def _replayed(path: Path, match: Any) -> Iterator[str]:
    from .server import ResponsesServer

    with ResponsesServer(checks=False) as server:
        playback = server.play(path, match=match)
        yield server.url
    if playback.missing:
        pytest.fail("\n".join([*playback.missing, _AGAIN]), pytrace=False)


_AGAIN = "To record the test again, run it with --responses-record=all."


@contextmanager
def _recorded(item: pytest.Item, path: Path, contents: Any) -> Iterator[str]:
    from ..recording.proxy import RecordingProxy
    from ..recording.recorder import Recorder

    upstream = os.environ.get("OPENAI_BASE_URL") or None
    if upstream is None and not os.environ.get("OPENAI_API_KEY"):
        pytest.fail(
            f"there is no recording {path}: to make it, set OPENAI_API_KEY, or OPENAI_BASE_URL for another service",
            pytrace=False,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        recorder = Recorder(part, contents=contents, existing="overwrite")
        with recorder, RecordingProxy(upstream, recorder) as proxy:
            yield proxy.url
        if recorder.error is not None:
            raise recorder.error
        if not item.stash.get(_failed, False):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)

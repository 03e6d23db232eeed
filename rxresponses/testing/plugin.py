"""The pytest plugin: the fixtures `responses_server` and `responses_url`, and the mark `responses_recording`.

pytest imports this module at its start in every environment where the package is installed.  Therefore
the server is imported only when a test uses a fixture.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .server import ResponsesServer

_MARK = "responses_recording"
_HELP = """(path=None, *, match="strict", contents="full"): record what the test exchanges with the service at \
its first run, and replay it afterwards.  By default the file is recordings/MODULE/TEST.jsonl beside the test; \
a path is relative to the folder of the test file, and a file that `client.record` has written will do."""
_NO_KEY = "not-needed-in-a-replay"
_LONGEST_NAME = 180  # bytes of the name of a file
_passed = pytest.StashKey[bool]()
_owners = pytest.StashKey[dict[Path, str]]()  # of the files that marks name: the first test, by its id


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
    mark = item.get_closest_marker(_MARK)
    if mark is not None and "responses_url" not in names:
        names.insert(0, "responses_url")
    given = _given_path(mark)
    if given is not None:
        item.config.stash.setdefault(_owners, {}).setdefault(item.path.parent / given, item.nodeid)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Note whether a test has passed: nothing of another one is kept as a recording, as of one that was skipped."""
    outcome = yield
    report = outcome.get_result()
    item.stash[_passed] = report.when == "call" and report.outcome == "passed"


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
    `responses_recording` has the settings.  Only a test that passes leaves a recording.  A test that sends nothing
    needs none.
    """
    path, match, contents = _settings(request.node)
    mode = request.config.getoption("--responses-record")
    upstream, has_key = os.environ.get("OPENAI_BASE_URL") or None, bool(os.environ.get("OPENAI_API_KEY"))
    if mode != "all" and path.exists():
        made = _replayed(request.node, path, match)
    elif mode == "none":
        made = _refused(f"there is no recording {path}, and --responses-record=none makes none")
    elif upstream is None and not has_key:
        needed = "to make it, set OPENAI_API_KEY, or OPENAI_BASE_URL for another service"
        made = _refused(f"there is no recording {path}: {needed}")
    else:
        if _of_another(request.node, path):
            pytest.fail(_of_another(request.node, path), pytrace=False)
        made = _recorded(request.node, path, contents, upstream)
        has_key = True
    if not has_key:
        monkeypatch.setenv("OPENAI_API_KEY", _NO_KEY)  # some clients want one
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
    match, contents = options.get("match", "strict"), options.get("contents", "full")
    if match not in ("strict", "lenient") or contents not in ("full", "redacted"):
        pytest.fail(f"wrong arguments of the mark: {_MARK}{_HELP}", pytrace=False)
    given = _given_path(mark)
    here = item.path.parent
    path = here / given if given is not None else here / "recordings" / item.path.stem / f"{_file_name(item)}.jsonl"
    return path, match, contents


def _given_path(mark: pytest.Mark | None) -> Any:
    if mark is None:
        return None
    return mark.args[0] if mark.args else mark.kwargs.get("path")


def _of_another(item: pytest.Item, path: Path) -> str:
    """Return what is wrong if the mark of an earlier test names the same file, else an empty text."""
    owner = item.config.stash.get(_owners, {}).get(path, item.nodeid)
    return "" if owner == item.nodeid else f"{path} is the recording of {owner}: each test needs a file of its own."


def _file_name(item: pytest.Item) -> str:
    """Return a name for a file.  Tests of a module have different ones, whatever their parameters are."""
    test = item.nodeid.partition("::")[2].replace("::", "-")
    name = re.sub(r"[^\w.\[\]-]+", "-", test)
    if name == test and len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    short = os.fsencode(name)[: _LONGEST_NAME - 9].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(test.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _warn(item: pytest.Item, text: str) -> None:
    """Show a warning in the summary, with the place of the test, if the test has passed."""
    if item.stash.get(_passed, False):
        path, line, _ = item.location
        warnings.warn_explicit(text, pytest.PytestWarning, path, (line or 0) + 1)


@contextmanager
def _refused(why: str) -> Iterator[str]:
    """A server that answers nothing, for a test that has no recording; it fails if it sends a request."""
    from .refusal import RequestError
    from .server import ResponsesServer

    def refuse(_: object) -> Any:
        raise RequestError(why, code="no_recording", status=404)

    with ResponsesServer(checks=False) as server:
        server.on("", refuse)
        yield server.url
    if server.requests:
        pytest.fail(why, pytrace=False)


@contextmanager
def _replayed(item: pytest.Item, path: Path, match: Any) -> Iterator[str]:
    from .server import ResponsesServer

    with ResponsesServer(checks=False) as server:
        try:
            playback = server.play(path, match=match)
        except ValueError as error:
            pytest.fail(f"{error}\n{_AGAIN}", pytrace=False)
        yield server.url
    if playback.missing:
        advice = _of_another(item, path) or (_AGAIN if match == "lenient" else f"{_AGAIN} {_EACH_RUN}")
        pytest.fail("\n".join([*playback.missing, advice]), pytrace=False)
    if playback.unplayed:
        names = ", ".join(playback.unplayed)
        _warn(item, f"the test did not send the requests {names} of the recording {path}.  {_AGAIN}")


_AGAIN = "To record the test again, run it with --responses-record=all."
_EACH_RUN = 'If the request differs in each run, as with a date in it, use responses_recording(match="lenient").'


@contextmanager
def _recorded(item: pytest.Item, path: Path, contents: Any, upstream: str | None) -> Iterator[str]:
    from ..recording.file import load_recording
    from ..recording.proxy import RecordingProxy
    from ..recording.recorder import Recorder

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        recorder = Recorder(part, contents=contents, existing="overwrite")
        with recorder, RecordingProxy(upstream, recorder) as proxy:
            yield proxy.url
        if recorder.error is not None:
            raise recorder.error
        if not load_recording(part).events():
            _warn(item, "nothing was recorded, because the test got no answer from the URL of `responses_url`")
        elif item.stash.get(_passed, False):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)

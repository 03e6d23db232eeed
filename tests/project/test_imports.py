"""What is imported when: modules that take long are imported where they are needed, and not before."""

from __future__ import annotations

import ast
import importlib
import pickle
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

import rxresponses
from rxresponses.testing import ResponsesServer


def imported(program: str, names: str = "*sys.modules") -> set[str]:
    """Return the modules that a fresh Python has imported after a program: after none, those of coverage too."""
    code = f"import sys\n{program}\nprint({names})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_imports_no_other_module_of_it() -> None:
    program = "import importlib, typing\nbefore = set(sys.modules)\nimport rxresponses"
    assert imported(program, "*(set(sys.modules) - before)") == {"rxresponses"}


def test_an_installation_without_extras_needs_four_packages() -> None:
    needed = [each for each in requires("rxresponses") or () if "extra ==" not in each]
    names = [re.split(r"[^\w-]", each)[0] for each in needed]
    assert sorted(names) == ["dataclasses-json", "msgspec", "reactivex", "websockets"]


def test_each_public_name_is_that_of_the_module_which_a_type_checker_sees() -> None:
    statements = ast.parse(Path(rxresponses.__file__).read_text(encoding="utf-8")).body
    branch = next(each for each in statements if isinstance(each, ast.If))
    seen: dict[str, str] = {}
    for statement in branch.body:
        assert isinstance(statement, ast.ImportFrom)
        seen |= {alias.name: f"rxresponses.{statement.module or ''}".rstrip(".") for alias in statement.names}
    assert sorted(seen) == sorted(rxresponses.__all__)
    program = "import rxresponses\nfrom importlib import import_module"
    for name, module in seen.items():
        program += f"\nassert rxresponses.{name} is getattr(import_module({module!r}), {name!r}), {name!r}"
        program += f"\nassert {name!r} in vars(rxresponses), {name!r}"  # the next use costs no call
    imported(program)


def test_a_star_import_brings_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from rxresponses import *", names)
    assert sorted(names.keys() - {"__builtins__"}) == sorted(rxresponses.__all__)


def test_a_name_that_is_not_there_is_an_error_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match=r"^module 'rxresponses' has no attribute 'ResponsesWebsocket'$"):
        getattr(rxresponses, "ResponsesWebsocket")  # noqa: B009 - mypy knows as well that it is not there
    with pytest.raises(ImportError, match="cannot import name 'ResponsesWebsocket' from 'rxresponses'"):
        exec("from rxresponses import ResponsesWebsocket")


def test_submodules_need_no_import_of_their_own() -> None:
    """As if the package imported all its names at once, which type checkers take it to do."""
    program = """
import rxresponses
names = [rxresponses.errors.ResponsesError, rxresponses.testing.ResponsesServer, rxresponses.models.Response]
assert names[0] is rxresponses.ResponsesError and "errors" in vars(rxresponses)
assert not any(hasattr(rxresponses, name) for name in ("_private", "__wrapped__", "no_such_module"))
"""
    assert "rxresponses.conversations" not in imported(program)


def test_a_submodule_that_lacks_a_package_says_which() -> None:
    program = """
import rxresponses
sys.modules["msgspec"] = None
try:
    rxresponses.events
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert imported(program, "*()") == {"msgspec"}


def test_threads_that_use_a_name_for_the_first_time_get_the_same_object() -> None:
    program = """
import threading
import rxresponses
from rxresponses.testing import ResponsesServer
names = [name for name in rxresponses.__all__ if name[0] in "CRTafr"]
barrier, found = threading.Barrier(8), []
def use(number):
    barrier.wait()
    order = names[number * 7 :] + names[: number * 7]
    found.append({name: getattr(rxresponses, name) for name in order})
threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 8 and len(names) > 100
assert all(each == found[0] for each in found)
"""
    imported(program)


class _DeadlockError(RuntimeError):
    """As the one that Python raises in one of several threads that wait for modules of each other."""


def test_an_import_that_waits_for_other_threads_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [_DeadlockError("deadlock detected"), _DeadlockError("again")]

    def import_module(path: str) -> object:
        if errors:
            raise errors.pop()
        return importlib.import_module(path)

    monkeypatch.setattr(rxresponses, "import_module", import_module)
    for name in ("tool", "codec", "ResponseTextDeltaEvent", "backoff"):
        monkeypatch.delitem(vars(rxresponses), name, raising=False)
        errors.append(_DeadlockError("deadlock detected"))
        assert getattr(rxresponses, name) is not None
        assert errors == []


def test_any_other_error_of_an_import_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(path: str) -> object:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(rxresponses, "import_module", import_module)
    monkeypatch.delitem(vars(rxresponses), "tool", raising=False)
    with pytest.raises(RuntimeError, match="no such thing"):
        rxresponses.tool  # noqa: B018


def test_what_was_pickled_is_read_by_a_process_that_has_imported_nothing() -> None:
    pickled = pickle.dumps(
        [rxresponses.ResponseTextDeltaEvent(delta="a"), rxresponses.ConnectionOptions, rxresponses.tool]
    )
    program = f"import pickle\ndelta, options, tool = pickle.loads({pickled!r})"
    assert "a" in imported(program, "delta.delta, options.__name__, tool.__name__")


def test_an_event_that_no_import_names_is_decoded_to_its_class() -> None:
    frame = b'{"type":"response.image_generation_call.completed","output_index":0,"item_id":"i","sequence_number":1}'
    program = f"from rxresponses import codec\nevent = codec.decode({frame!r})"
    assert imported(program, "type(event).__name__") == {"ResponseImageGenCallCompletedEvent"}


# Modules that take long, and that neither a request nor its events need.
HEAVY = {
    "dataclasses_json",
    "marshmallow",
    "rich",
    "yaml",
    "openai",
    "pydantic",
    "opentelemetry",
    "numpy",
    "multiprocessing",
}
OTHER_ROOMS = {f"rxresponses.{room}" for room in ("batch", "cli", "conversations", "examples", "telemetry", "testing")}
PARTS = {"rxresponses.senders.client", "rxresponses.pool.pool", "rxresponses.operators._sentence_ends"}


def needless(modules: set[str]) -> set[str]:
    """Return which of these modules are heavy, or belong to something else than a socket with its operators."""
    return {name for name in modules if name.partition(".")[0] in HEAVY} | modules & (OTHER_ROOMS | PARTS)


def test_a_request_needs_only_what_is_for_requests() -> None:
    names = "ConnectionOptions, ResponseCreate, ResponsesWebSocket, codec, operators, user_message"
    request = 'ResponseCreate(model="m", input=[user_message("hi")])'
    program = f"from rxresponses import {names}\ncodec.encode({request})\nResponsesWebSocket(api_key='k')"
    modules = imported(program) - imported("")
    assert "rxresponses.net.connection" in modules
    assert not needless(modules)


def test_nothing_is_imported_from_the_first_event_on(responses_server: ResponsesServer) -> None:
    """An import on the loop of the socket would hold up all its streams."""
    program = f"""
from reactivex import operators as ops
from rxresponses import ResponseCreate, ResponsesWebSocket, operators as rops
request = ResponseCreate(model="m", input="hi")
loaded = []
with ResponsesWebSocket({responses_server.url!r}) as socket:
    def see(event):
        loaded.append(set(sys.modules))
    socket.send_request(request).pipe(ops.do_action(see), rops.text_deltas()).run()
    events = socket.send_request(request).pipe(ops.do_action(see), ops.take(1)).run()
    socket.send_request(request).subscribe(see).dispose()
assert len(loaded) > 5, loaded
"""
    later = imported(program, "*(set(sys.modules) - loaded[0])")
    assert not {name for name in later if not name.startswith("reactivex.")}  # which has a module for each operator


def test_ask_needs_neither_the_other_commands_nor_the_server(responses_server: ResponsesServer) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "rxresponses", "ask", "hi", "--url", responses_server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=60)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()} - imported("")
    assert done.stdout.strip()
    assert "rxresponses.cli.ask" in modules
    packages = {
        "rxresponses.cli",
        "rxresponses.conversations",
        "rxresponses.testing",
    }  # with nothing in their `__init__`
    assert needless(modules) <= packages
    assert not modules & {
        "rxresponses.testing.server",
        "rxresponses.conversations.conversation",
        "rxresponses.cli.chat_session",
    }

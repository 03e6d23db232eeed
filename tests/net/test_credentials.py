"""The API key: a string, or a function that is called for each connection."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rxresponses.errors import ConfigurationError, ObserverExitError
from rxresponses.net.credentials import Credentials, KeyTimeoutError

from ..support.recorder import WAIT

SECRET = "sk-secret"


def get(credentials: Credentials) -> str | None:
    return asyncio.run(credentials.get(WAIT))


def frames(error: BaseException) -> str:
    """Return what an error report shows that has the variables of each frame of the package."""
    walk = traceback.walk_tb(error.__traceback__)
    return repr([frame.f_locals for frame, _ in walk if "rxresponses" in frame.f_globals["__name__"]])


def refused(use: Callable[[], object]) -> str:
    """Check that a call is refused, with the secret nowhere in the error; return the text."""
    with pytest.raises(ConfigurationError) as caught:
        use()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert caught.value.delivery == "not_sent"
    return str(caught.value)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


BAD_KEYS: list[tuple[Any, str]] = [
    ("", "empty"),
    (" \n", "empty"),
    (f"{SECRET}\n", "one line"),
    (f"{SECRET}\r\nX-Header: 1", "one line"),
    (f" {SECRET}", "one line"),
    (f"{SECRET}é", "ASCII"),
    (f"{SECRET}\0", "printable"),
    (f"{SECRET}\x7f", "printable"),
    (f"{SECRET}\ud83c", "ASCII"),
]
NO_STRINGS: list[tuple[Any, str]] = [
    (None, "NoneType"),
    (5, "int"),
    (SECRET.encode(), "bytes"),
    ([SECRET], "list"),
    (True, "bool"),
]


def plain(answer: object) -> Any:
    return lambda: answer


def coroutine(answer: object) -> Any:
    async def provide() -> object:
        await asyncio.sleep(0)
        return answer

    return provide


def future(answer: object) -> Any:
    def provide() -> Awaitable[object]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(answer)
        return future

    return provide


providers = pytest.mark.parametrize("provide", [plain, coroutine, future])


def test_a_string() -> None:
    credentials = Credentials(SECRET)
    assert credentials
    assert get(credentials) == SECRET


def test_no_key() -> None:
    credentials = Credentials(None)
    assert not credentials
    assert get(credentials) is None
    assert repr(credentials) == "Credentials(none)"


def test_the_environment_is_read_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    credentials = Credentials(None)
    assert get(Credentials("other")) == "other"
    assert get(Credentials(lambda: "another")) == "another"
    monkeypatch.setenv("OPENAI_API_KEY", "changed")
    assert credentials
    assert get(credentials) == SECRET
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert not Credentials(None)
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET}\n")
    assert "one line" in refused(lambda: Credentials(None))


@pytest.mark.parametrize(("key", "reason"), BAD_KEYS)
def test_scenario_47_bad_keys_are_refused_at_once(key: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "good")  # which does not replace a bad key silently
    assert reason in refused(lambda: Credentials(key))


@pytest.mark.parametrize(("key", "reason"), NO_STRINGS[1:])
def test_a_key_is_a_string_or_a_function(key: Any, reason: str) -> None:
    assert f"must be a string or a function, not {reason}" in refused(lambda: Credentials(key))


@providers
def test_providers(provide: Callable[[object], Any]) -> None:
    credentials = Credentials(provide(SECRET))
    assert credentials
    assert get(credentials) == SECRET


@providers
@pytest.mark.parametrize(("answer", "reason"), BAD_KEYS + NO_STRINGS)
def test_scenario_47_bad_answers_of_a_provider(provide: Callable[[object], Any], answer: object, reason: str) -> None:
    credentials = Credentials(provide(answer))  # not called before there is a connection to make
    assert reason in refused(lambda: get(credentials))
    with pytest.raises(ConfigurationError) as caught:
        get(credentials)
    assert "'self': Credentials(set)" in frames(caught.value)
    assert SECRET not in frames(caught.value)


@pytest.mark.parametrize("name", ["authorization", "Authorization", "AUTHORIZATION"])
def test_an_authorization_header_replaces_the_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    for key in (None, "other", raising):
        credentials = Credentials(key, [name, "x-other"])
        assert not credentials
        assert get(credentials) is None
    assert "empty" in refused(lambda: Credentials("", [name]))


@pytest.mark.parametrize("name", ["api-key", "Api-Key"])
def test_with_an_api_key_header_the_key_of_the_environment_is_not_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert get(Credentials(None, ["x-other"])) == SECRET
    assert get(Credentials(None, [name])) is None
    assert get(Credentials("other", [name])) == "other"


class WrongPasswordError(Exception):
    pass


def raising(before: BaseException | None = None) -> str:
    raise WrongPasswordError(SECRET) from before


async def raising_later() -> str:
    try:
        raise ValueError(SECRET)
    except ValueError:
        return raising()


@pytest.mark.parametrize("provider", [raising, raising_later, lambda: raising(ValueError(SECRET))])
def test_scenario_47_a_provider_that_raises(provider: Any) -> None:
    text = refused(lambda: get(Credentials(provider)))
    assert text == "the `api_key` function raised WrongPasswordError; no connection was tried"


def test_a_provider_is_called_for_each_connection() -> None:
    keys = iter(["first", "second"])
    credentials = Credentials(lambda: next(keys))
    assert [get(credentials), get(credentials)] == ["first", "second"]
    assert "StopIteration" in refused(lambda: get(credentials))


def test_cancelling_reaches_the_provider() -> None:
    async def scenario() -> bool:
        entered = asyncio.Event()

        async def provide() -> str:
            entered.set()
            await asyncio.Event().wait()
            return SECRET

        task = asyncio.ensure_future(Credentials(provide).get(WAIT))
        await entered.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(scenario())


def test_a_provider_cleans_up_before_the_cancellation_goes_on() -> None:
    async def scenario() -> list[str]:
        steps: list[str] = []
        entered = asyncio.Event()

        async def provide() -> str:
            try:
                entered.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                steps.append("cleaned up")
            return SECRET  # it swallows the cancellation

        task = asyncio.ensure_future(Credentials(provide).get(WAIT))
        await entered.wait()
        task.cancel()
        await asyncio.wait([task])
        return [*steps, "cancelled" if task.cancelled() else "not cancelled"]

    assert asyncio.run(scenario()) == ["cleaned up", "cancelled"]


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_provider_that_takes_too_long_is_cancelled(stubborn: bool) -> None:
    steps: list[str] = []

    async def provide() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            steps.append("cancelled")
            if stubborn:
                await asyncio.Event().wait()
            raise
        return SECRET

    with pytest.raises(KeyTimeoutError, match="connect_timeout"):
        asyncio.run(Credentials(provide).get(0.01))
    assert steps[0] == "cancelled"


async def cancelled_elsewhere() -> str:
    refresh = asyncio.ensure_future(asyncio.Event().wait())
    refresh.cancel()
    await refresh
    return SECRET


async def cancelled_later() -> str:
    await asyncio.sleep(0)
    raise asyncio.CancelledError(SECRET)


def cancelled_future() -> Awaitable[str]:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


def cancelled_at_once() -> str:
    raise asyncio.CancelledError(SECRET)


@pytest.mark.parametrize("provider", [cancelled_elsewhere, cancelled_later, cancelled_future, cancelled_at_once])
def test_a_cancellation_inside_the_provider_is_its_failure(provider: Any) -> None:
    text = refused(lambda: get(Credentials(provider)))
    assert text == "the `api_key` function raised CancelledError; no connection was tried"


def test_an_awaitable_of_another_loop_is_a_failure() -> None:
    loop = asyncio.new_event_loop()
    try:
        future = loop.create_future()
        assert "RuntimeError" in refused(lambda: get(Credentials(lambda: future)))
    finally:
        loop.close()


def test_no_repr_shows_the_key() -> None:
    for credentials in (Credentials(SECRET), Credentials(lambda: SECRET)):
        assert repr(credentials) == str(credentials) == "Credentials(set)"


def exit_with_secret() -> str:
    raise SystemExit(SECRET)


async def exit_with_secret_later() -> str:
    await asyncio.sleep(0)
    raise SystemExit(SECRET)


@pytest.mark.parametrize("provider", [exit_with_secret, exit_with_secret_later])
def test_scenario_57_a_provider_that_exits(provider: Callable[[], Any]) -> None:
    """The error does not show the text of the exit, which leaves the loop of the program all the same."""
    errors: list[BaseException] = []

    async def main() -> None:
        try:
            await Credentials(provider).get(WAIT)
        except ConfigurationError as error:
            errors.append(error)
        await asyncio.Event().wait()

    with pytest.raises(SystemExit) as end:
        asyncio.run(main())
    assert end.value.code == SECRET
    (error,) = errors
    assert isinstance(error, ObserverExitError)
    assert str(error) == "the `api_key` function raised SystemExit; no connection was tried"
    assert SECRET not in "".join(traceback.format_exception(error)) + frames(error)
    assert error.__cause__ is error.__context__ is None


def test_scenario_57_a_provider_that_raises_StopIteration() -> None:
    assert "raised StopIteration" in refused(lambda: get(Credentials(lambda: next(iter([])))))

"""`observe_pipeline`: what it notes, and that the pipeline is as with `pipe`."""

from __future__ import annotations

import functools
import itertools
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reactivex
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import ConnectableObservable, Observable
from reactivex import operators as ops
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from rxresponses import ResponseCreate, ResponsesClient
from rxresponses import operators as rops
from rxresponses.known_secrets import Secrets
from rxresponses.marbles.rows import diagram_of
from rxresponses.operators._operator_names import operator_name
from rxresponses.recording.file import load_recording
from rxresponses.recording.format import StageRecord
from rxresponses.recording.recorder import Recorder
from rxresponses.testing import ResponsesServer
from rxresponses.wire.codec import decode, encode
from rxresponses.wire.events.base import set_secrets
from tests.effort import examples

from ..support.events import completed, created, delta, wire_event
from ..support.marbles import ManualSource, marbles

SECRET = "sk-proj-4242424242abcdefXYZ"


class Notes(list[StageRecord]):
    """The records of a pipeline."""

    def of(self, stage: int) -> list[tuple[str, str | None]]:
        return [(record.what, record.value) for record in self if record.stage == stage]

    def values(self, stage: int) -> list[str | None]:
        return [value for what, value in self.of(stage) if what == "next"]

    def ends(self) -> dict[int, str]:
        return {record.stage: record.what for record in self if record.what not in ("next", "subscribed")}


@pytest.fixture
def notes() -> Notes:
    return Notes()


def test_each_operator_has_its_line(notes: Notes) -> None:
    chain = rops.observe_pipeline(notes.append, rops.text_deltas(), ops.map(str.upper), ops.buffer_with_count(2))
    seen = marbles(chain, (210, created()), (220, delta("He")), (230, delta("llo")), (240, completed()), (250, None))
    assert seen.values == [["HE", "LLO"]]
    assert notes.of(0) == [
        *(("next", "response.created"), ("next", "He"), ("next", "llo"), ("next", "response.completed")),
        ("completed", None),
    ]
    assert notes.of(1) == [("subscribed", None), ("next", "He"), ("next", "llo"), ("completed", None)]
    assert notes.of(2) == [("subscribed", None), ("next", "HE"), ("next", "LLO"), ("completed", None)]
    assert notes.of(3) == [("subscribed", None), ("next", "['HE', 'LLO']"), ("completed", None)]
    operators = {record.stage: record.operator for record in notes}
    assert operators[0] == "source"
    assert operators[1] == "text_deltas"
    assert operators[2].startswith("map")
    assert {record.pipeline for record in notes} == {notes[0].pipeline}
    assert all(later.t >= earlier.t >= 0 for earlier, later in itertools.pairwise(notes))


OPERATORS: list[Callable[[], Callable[[Observable[Any]], Observable[Any]]]] = [
    lambda: ops.map(lambda value: value * 2),
    lambda: ops.filter(lambda value: value % 3 != 0),
    lambda: ops.take(3),
    lambda: ops.skip(1),
    lambda: ops.scan(lambda total, value: total + value),
    lambda: ops.retry(2),
    lambda: ops.repeat(2),
    lambda: ops.share(),
    lambda: ops.distinct_until_changed(),
    lambda: ops.delay(15),
    lambda: ops.catch(lambda error, source: reactivex.of(7)),
    lambda: ops.map(lambda value: 1 // (value - 4)),
]


@settings(max_examples=examples(300))
@given(
    st.lists(st.sampled_from(OPERATORS), max_size=4),
    st.lists(st.tuples(st.integers(201, 400), st.integers(0, 9)), max_size=8),
    st.sampled_from(["completed", "error", "never"]),
    st.one_of(st.none(), st.integers(201, 500)),
)
def test_the_pipeline_is_as_with_pipe(
    chosen: list[Any], values: list[tuple[int, int]], end: str, disposed: int | None
) -> None:
    steps: list[Any] = sorted(dict(values).items())
    if end != "never":
        steps.append((450, None if end == "completed" else ValueError("end")))

    def run(apply: Callable[[list[Any]], Callable[[Observable[Any]], Observable[Any]]]) -> Any:
        scheduler = TestScheduler()
        seen = marbles(apply([make() for make in chosen]), *steps, disposed=disposed, scheduler=scheduler)
        return seen.timed, [(time, repr(error)) for time, error in seen.errors], seen.completions, seen.subscriptions

    plain = run(lambda chain: lambda source: source.pipe(*chain))
    assert run(lambda chain: rops.observe_pipeline(Notes().append, *chain)) == plain


def test_it_is_cold_and_each_subscription_is_a_run(notes: Notes) -> None:
    source: ManualSource[int] = ManualSource()
    observed = source.observable.pipe(rops.observe_pipeline(notes.append, ops.map(str)))
    assert not source.observers
    assert not notes
    for _ in range(2):
        observed.subscribe(lambda _: None)
    assert len(source.observers) == 2
    for number, observer in enumerate(source.observers):
        observer.on_next(number)
    by_pipeline: dict[str, list[str | None]] = {}
    for record in notes:
        if record.stage == 1 and record.what == "next":
            by_pipeline.setdefault(record.pipeline, []).append(record.value)
    assert sorted(by_pipeline.values()) == [["0"], ["1"]]


def test_disposing_ends_all_lines(notes: Notes) -> None:
    source: ManualSource[int] = ManualSource()
    subscription = source.observable.pipe(
        rops.observe_pipeline(notes.append, ops.map(str), ops.filter(bool))
    ).subscribe(lambda _: None)
    subscription.dispose()
    assert source.disposals == 1
    assert notes.ends() == {0: "disposed", 1: "disposed", 2: "disposed"}
    source.emit(1)
    assert notes.values(1) == []


def test_an_operator_that_has_enough(notes: Notes) -> None:
    reactivex.of(1, 2, 3).pipe(rops.observe_pipeline(notes.append, ops.map(str), ops.take(1))).subscribe()
    assert notes.values(2) == ["1"]
    assert notes.ends()[2] == "completed"
    assert "error" not in notes.ends().values()


def test_an_error_of_an_operator(notes: Notes) -> None:
    errors: list[Exception] = []
    reactivex.of("1", "x").pipe(rops.observe_pipeline(notes.append, ops.map(int), ops.map(str))).subscribe(
        lambda _: None, errors.append
    )
    assert type(errors[0]) is ValueError
    (error,) = [value for what, value in notes.of(1) if what == "error"]
    assert error is not None
    assert error.startswith("ValueError: invalid literal")
    assert notes.ends()[2] == "error"


def test_the_exception_of_an_observer_passes_unchanged(notes: Notes) -> None:
    source: Subject[int] = Subject()
    error = ValueError("mine")

    def fail(_: object) -> None:
        raise error

    source.pipe(rops.observe_pipeline(notes.append, ops.map(str))).subscribe(fail)
    with pytest.raises(ValueError, match="mine") as raised:
        source.on_next(1)
    assert raised.value is error
    assert notes.values(1) == ["1"]


class TestRuns:
    def test_what_is_tried_again_belongs_to_the_same_run(self, notes: Notes) -> None:
        source = reactivex.throw(ValueError("no"))
        source.pipe(rops.observe_pipeline(notes.append, ops.map(str), ops.retry(3), ops.map(str))).subscribe(
            lambda _: None, lambda _: None
        )
        assert len({record.pipeline for record in notes}) == 1
        assert notes.of(1) == [("subscribed", None), ("error", "ValueError: no")] * 3

    def test_what_is_tried_again_later_belongs_to_the_latest_run(self, notes: Notes) -> None:
        scheduler = TestScheduler()
        tries: list[int] = []

        def source(*_: object) -> Observable[int]:
            tries.append(1)
            return reactivex.throw(ValueError("no")) if len(tries) < 3 else reactivex.of(7)

        again: Callable[[Observable[Any]], Observable[Any]] = ops.catch(
            lambda error, source: reactivex.timer(10, scheduler=scheduler).pipe(ops.flat_map(lambda _: source))
        )
        chain = rops.observe_pipeline(notes.append, ops.map(str), again, again)
        reactivex.defer(source).pipe(chain).subscribe(lambda _: None)
        scheduler.start()
        assert notes.values(1) == ["7"]
        assert len({record.pipeline for record in notes}) == 1

    def test_a_shared_source_belongs_to_the_first_run(self, notes: Notes) -> None:
        source: ManualSource[int] = ManualSource()
        observed = source.observable.pipe(rops.observe_pipeline(notes.append, ops.map(str), ops.share(), ops.map(int)))
        observed.subscribe(lambda _: None)
        observed.subscribe(lambda _: None)
        assert len(source.observers) == 1
        source.emit(5)
        assert notes.values(1) == ["5"]
        assert notes.values(3) == ["5", "5"]
        first, second = (record.pipeline for record in notes if record.stage == 3 and record.what == "next")
        assert first != second

    def test_a_connectable_source_stays_one(self, notes: Notes) -> None:
        source: ManualSource[int] = ManualSource()
        observed: Any = source.observable.pipe(rops.observe_pipeline(notes.append, ops.map(str), ops.publish()))
        assert isinstance(observed, ConnectableObservable)
        seen: list[str] = []
        observed.subscribe(seen.append)
        observed.connect()
        source.emit(1)
        assert seen == ["1"]
        assert notes.values(1) == ["1"]

    def test_operators_that_need_a_connectable_source_get_it(self, notes: Notes) -> None:
        seen: list[int] = []
        chain = rops.observe_pipeline(notes.append, ops.publish(), ops.ref_count())
        reactivex.of(1, 2).pipe(chain).subscribe(seen.append)
        assert seen == [1, 2]
        assert notes.values(2) == ["1", "2"]

    def test_values_of_another_thread(self, notes: Notes) -> None:
        source: Subject[int] = Subject()
        threads: list[threading.Thread] = []
        source.pipe(rops.observe_pipeline(notes.append, ops.map(str))).subscribe(
            lambda _: threads.append(threading.current_thread())
        )
        thread = threading.Thread(target=source.on_next, args=(1,))
        thread.start()
        thread.join()
        assert threads == [thread]
        assert notes.values(1) == ["1"]


class TestTexts:
    def note(self, value: Any) -> str | None:
        notes = Notes()
        reactivex.of(value).pipe(rops.observe_pipeline(notes.append, ops.map(lambda value: value))).subscribe()
        (text,) = notes.values(1)
        return text

    def test_values(self) -> None:
        assert self.note("text\n") == "text\n"
        assert self.note({"a": 1}) == "{'a': 1}"
        assert self.note(None) == "None"
        assert self.note(delta("He")) == "He"
        assert self.note(created()) == "response.created"

    def test_a_value_without_a_text(self) -> None:
        class Odd:
            def __repr__(self) -> str:
                raise RuntimeError("no text")

        assert self.note(Odd()) == "Odd without a text"

    def test_long_values_are_short(self) -> None:
        text = self.note("x" * 1_000_000)
        assert text is not None
        assert len(text) < 300
        assert "characters left out" in text

    def test_secrets_that_come_back_are_hidden(self, notes: Notes) -> None:
        event = wire_event("response.output_text.delta", item_id="m", delta=f"Your key is {SECRET}")
        set_secrets(event, Secrets([SECRET]))
        errors: list[Exception] = []

        def fail(text: str) -> str:
            raise ValueError(f"no {text}")

        chain = rops.observe_pipeline(notes.append, rops.text_deltas(), ops.map(lambda text: [text]), ops.map(fail))
        reactivex.of(event).pipe(chain).subscribe(lambda _: None, errors.append)
        assert notes.values(1) == ["Your key is (hidden)"]
        assert SECRET in str(errors[0])  # what the program sees is unchanged
        assert SECRET[:10] not in repr(notes)

    def test_no_half_of_a_secret_is_left_at_the_cut(self) -> None:
        for shift in range(40):
            notes = Notes()
            event = wire_event(
                "response.output_text.delta", item_id="m", delta=f"{'y' * (120 + shift)}{SECRET}{'z' * 300}"
            )
            set_secrets(event, Secrets([SECRET]))
            reactivex.of(event).pipe(rops.observe_pipeline(notes.append, rops.text_deltas())).subscribe()
            assert SECRET[:5] not in repr(notes)


class TestRecording:
    def record(self, path: Path, *operators: Any, **options: Any) -> Notes:
        with Recorder(path, **options) as recorder:
            events = [decode(encode(event)) for event in (created(), delta("Hel"), delta("lo"), completed())]
            chain = rops.observe_pipeline(recorder, *operators)
            reactivex.from_iterable(events).pipe(rops.record(recorder), chain).subscribe()
        records = load_recording(path).records
        return Notes(record for record in records if isinstance(record, StageRecord))

    def test_the_lines_belong_to_the_request(self, tmp_path: Path) -> None:
        notes = self.record(tmp_path / "a.jsonl", rops.text_deltas(), ops.map(str.upper))
        assert {record.request for record in notes if record.what == "next"} == {"r1"}
        assert notes.values(1) == ["Hel", "lo"]
        assert notes.values(2) == ["HEL", "LO"]
        assert notes.of(0) == []  # the recording has the events of the request

    def test_a_client_that_is_recorded(self, server: ResponsesServer, client: ResponsesClient, tmp_path: Path) -> None:
        server.reply("Hello there")
        with client.record(tmp_path / "a.jsonl") as recorder:
            chain = rops.observe_pipeline(recorder, rops.text_deltas(), ops.map(str.upper))
            texts: list[list[str]] = []
            for _ in range(2):
                request = client.send_request(ResponseCreate(model="m", input="Hi"))
                texts.append(request.pipe(chain, ops.to_list()).run())
        found = load_recording(tmp_path / "a.jsonl")
        notes = Notes(record for record in found.records if isinstance(record, StageRecord))
        assert notes.values(2) == [*texts[0], *texts[1]]
        assert [record.request for record in notes if record.stage == 2 and record.what == "completed"] == ["r1", "r2"]
        assert notes.of(0) == []
        rows = diagram_of(found).rows
        assert [row.kind for row in rows] == ["connection", "request", "stage", "stage", "request", "stage", "stage"]

    def test_what_is_subscribed_to_anew_is_recorded(self, tmp_path: Path) -> None:
        with Recorder(tmp_path / "a.jsonl") as recorder:
            subject: Subject[int] = Subject()
            observed = subject.pipe(rops.observe_pipeline(recorder, ops.map(str), ops.share()))
            for number in range(2):
                subscription = observed.subscribe(lambda _: None)
                subject.on_next(number)
                subscription.dispose()
        records = load_recording(tmp_path / "a.jsonl").records
        assert Notes(record for record in records if isinstance(record, StageRecord)).values(1) == ["0", "1"]

    def test_texts_are_redacted_with_all_others(self, tmp_path: Path) -> None:
        notes = self.record(tmp_path / "a.jsonl", rops.text_deltas(), contents="redacted")
        assert notes.values(1) == ["xxx", "xx"]
        assert notes.of(1)[0] == ("subscribed", None)

    def test_a_source_that_is_not_recorded_has_a_line(self, tmp_path: Path) -> None:
        with Recorder(tmp_path / "a.jsonl") as recorder:
            reactivex.from_iterable([*[decode(encode(delta("x")))] * 20, delta("x")]).pipe(
                rops.observe_pipeline(recorder, rops.text_deltas())
            ).subscribe()
        records = load_recording(tmp_path / "a.jsonl").records
        notes = Notes(record for record in records if isinstance(record, StageRecord))
        assert notes.values(0) == notes.values(1) == ["x"] * 21
        assert {record.request for record in notes} == {None}

    def test_a_recording_that_has_ended(self, tmp_path: Path) -> None:
        recorder = Recorder(tmp_path / "a.jsonl")
        recorder.close()
        seen: list[Any] = []
        reactivex.of(delta("x")).pipe(rops.observe_pipeline(recorder, rops.text_deltas())).subscribe(seen.append)
        assert seen == ["x"]
        assert load_recording(tmp_path / "a.jsonl").records == ()


def test_a_function_that_raises_does_not_end_the_pipeline(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[StageRecord] = []

    def fail(record: StageRecord) -> None:
        calls.append(record)
        raise ValueError("full")

    seen: list[int] = []
    with caplog.at_level(logging.ERROR, "rxresponses.recording"):
        reactivex.of(1, 2).pipe(rops.observe_pipeline(fail, ops.map(lambda value: value))).subscribe(seen.append)
    assert seen == [1, 2]
    assert len(calls) == 1
    assert len(caplog.records) == 1


def test_wrong_arguments() -> None:
    odd: Any = "session.jsonl"
    with pytest.raises(TypeError, match=r"a recording or a function first, not 'session\.jsonl'"):
        rops.observe_pipeline(odd, ops.map(str))
    with pytest.raises(TypeError, match="observe_pipeline"):
        reactivex.of(1).pipe(rops.observe_pipeline)  # type: ignore[arg-type]


class TestNames:
    def test_operators_of_both_libraries(self) -> None:
        assert operator_name(rops.text_deltas()) == "text_deltas"
        assert operator_name(rops.filter_by_type("error")) == "filter_by_type"
        assert operator_name(ops.take(2)).partition("(")[0] == "take"
        assert operator_name(ops.map(str.upper)).partition("(")[0] == "map"

    def test_arguments_as_rxpy_5_keeps_them(self) -> None:
        def curried(fun: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[Any], Any]:
            def operator(source: Any) -> Any:
                return fun(*args, source)

            return operator

        def debounce_(*_: object) -> None: ...

        NotSet = type("NotSet", (), {"__qualname__": "NotSet"})
        assert operator_name(curried(debounce_, (0.5, None))) == "debounce(0.5)"
        assert operator_name(curried(debounce_, (str.upper, True, int))) == "debounce(str.upper, True, int)"
        assert operator_name(curried(debounce_, (lambda: 1, NotSet))) == "debounce(…)"
        assert operator_name(curried(debounce_, ("secret", SECRET))) == "debounce"
        assert operator_name(curried(debounce_, (1, 2, 3, 4))) == "debounce(1, 2, 3)"
        assert operator_name(curried(debounce_, (test_wrong_arguments,) * 3)).endswith("…")

    def test_operators_of_the_program(self) -> None:
        def mine() -> Callable[[Any], Any]:
            return lambda source: source

        class Twice:
            def __call__(self, source: Any) -> Any:
                return source

        def plain(source: Any) -> Any:
            return source

        assert operator_name(mine()) == "mine"
        assert operator_name(Twice()) == "Twice"
        assert operator_name(plain) == "plain"
        assert operator_name(functools.partial(plain)) == "plain"
        assert operator_name(eval("lambda source: source")) == "lambda"

    def test_a_variable_that_is_not_set_any_more(self) -> None:
        def make() -> Callable[[Any], Any]:
            fun = list

            def operator(source: Any) -> Any:
                return fun(source)  # noqa: F821 - no more than a name in the closure

            del fun
            return operator

        assert operator_name(make()) == "make"

    def test_a_name_of_nothing_but_marks(self) -> None:
        def _(source: Any) -> Any:
            return source

        assert operator_name(_) == "operator"

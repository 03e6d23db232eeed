"""`ResponsesStage`: a stage of Ray Data that asks a model for each row."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import uuid4

from ...backoff import is_retryable
from ...errors import ConfigurationError, InvalidRequestError
from ...net.credentials import ApiKey
from ...redaction import discreet
from ..lines import Task, task_of
from ..outcomes import Outcome, text_of
from ..run import Result
from .gate import SharedGate
from .running import RunningRun
from .settings import ClientSettings, RunSettings

COLUMNS = (
    "response",
    "text",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "error_type",
    "error_message",
    "delivery",
    "code",
    "retryable",
)

_EXACT = 2**53  # below it, a floating-point number has all whole numbers


class ResponsesStage:
    """A class for `map_batches` of a `ray.data.Dataset`: each actor holds a client, and each row is a request.

    A row has its request in the column `request`, in any form that a line of `rxresponses batch` may have, or a prompt
    in the column `prompt`; `request_column` and `prompt_column` are other names.  All structs of a column have the same
    fields, so a field of a struct without a value is one that the request does not have; JSON keeps its nulls.
    `fields` are the fields of `response.create` that a request does not have itself, such as
    `{"model": "gpt-5.2", "instructions": "…"}`.

    The output has the columns of the input and, all with `prefix` before their names: `response` (JSON), `text`,
    `input_tokens`, `output_tokens`, `total_tokens`, and for a row that has failed `error_type`, `error_message`,
    `delivery`, `code` and `retryable`: whether another try may succeed without doing anything twice.  A request that
    fails never ends the dataset.

    `url` is the base URL, or several of a fleet; it and `api_key` default to the environment of the actor.  Ray may
    write the arguments of a stage to its log of events, so the key is better a function that returns it there.  Each
    actor has at most `concurrency` requests in flight, each for at most `timeout` seconds.  Answers with one of the
    outcomes `failing` ("refused", "incomplete") fail.  `gate` is what all actors share: see `SharedGate`.  `connection`
    are fields of `ConnectionOptions`.

    Ray gives an actor four batches at once.  So a `batch_size` of half of `concurrency` keeps the actor busy.  When an
    actor is lost, Ray gives its whole block to another one, which sends all requests of that block again.

    Raises `ConfigurationError` for what cannot be used, and for columns that are missing or there already.
    """

    @discreet
    def __init__(
        self,
        *,
        url: str | Sequence[str] | None = None,
        api_key: ApiKey | None = None,
        fields: Mapping[str, Any] | None = None,
        concurrency: int = 64,
        timeout: float | None = None,
        failing: Collection[Outcome] = (),
        gate: SharedGate | None = None,
        request_column: str = "request",
        prompt_column: str = "prompt",
        prefix: str = "",
        ca_file: str | None = None,
        connection: Mapping[str, Any] | None = None,
    ) -> None:
        client = ClientSettings(
            url=url, api_key=api_key, concurrency=concurrency, ca_file=ca_file, connection=connection or {}
        )
        settings = RunSettings(client=client, timeout=timeout, failing=tuple(failing), gate=gate)
        self._gate = gate
        self._fields = dict(fields or {})
        self._columns = request_column, prompt_column
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Result]] = {}
        self._problem: BaseException | None = None
        self._running = RunningRun(settings(uuid4().hex), self._take, self._fail)

    async def __call__(self, batch: Any) -> Any:
        """Answer the rows of a batch, in any format of Ray; return them with the columns of the results."""
        rows, add_columns = _opened(batch)
        names = [self._prefix + name for name in COLUMNS]
        if taken := [name for name in names if name in rows]:
            raise ConfigurationError(f"the rows have a column {taken[0]!r} already: give `prefix` to the stage")
        loop = asyncio.get_running_loop()
        tasks = self._tasks(rows)
        results: list[asyncio.Future[Result]] = [loop.create_future() for _ in tasks]
        self._waiting.update((task.line, result) for task, result in zip(tasks, results, strict=True))
        self._running.add(tasks)
        if self._problem is not None:
            self._fail(self._problem)
        ended = await asyncio.gather(*results)
        self._count(ended)
        values = zip(*map(_values, ended), strict=True) if ended else ((),) * len(COLUMNS)
        return add_columns(dict(zip(names, map(list, values), strict=True)))

    def _tasks(self, rows: Mapping[str, Sequence[Any]]) -> list[Task]:
        request_column, prompt_column = self._columns
        if request_column in rows:
            return [self._task(value) for value in rows[request_column]]
        if prompt_column in rows:
            return [self._task(None if _is_missing(value) else {"input": value}) for value in rows[prompt_column]]
        raise ConfigurationError(f"the rows have neither a column {request_column!r} nor {prompt_column!r}")

    def _task(self, request: Any) -> Task:
        number = next(self._numbers)
        try:
            line = request if isinstance(request, str) else json.dumps(_plain(request))
        except (TypeError, ValueError) as error:
            return Task(number, "", InvalidRequestError(f"the request is no JSON: {error}"))
        task = task_of(number, line.encode("utf-8", "surrogatepass"), "")
        if isinstance(task.request, InvalidRequestError):
            return task
        body = {name: value for name, value in task.request.items() if value or name != "model"}
        return Task(number, "", {**self._fields, **body})

    def _take(self, result: Result) -> None:
        waiting = self._waiting.pop(result.task.line)
        waiting.get_loop().call_soon_threadsafe(waiting.set_result, result)

    def _fail(self, error: BaseException) -> None:
        self._problem = error
        while self._waiting:
            _, waiting = self._waiting.popitem()
            waiting.get_loop().call_soon_threadsafe(waiting.set_exception, RuntimeError(str(error)))

    def _count(self, results: Sequence[Result]) -> None:
        if self._gate is None:
            return
        ends = Counter(None if result.error is None else type(result.error).__name__ for result in results)
        usages = [usage for result in results for usage in result.usages]
        self._gate.count(
            dict(ends),
            sum(usage.input_tokens or 0 for usage in usages),
            sum(usage.output_tokens or 0 for usage in usages),
        )


def _values(result: Result) -> tuple[Any, ...]:
    """Return the values of the columns."""
    response, error = result.response, result.error
    usage = (response or {}).get("usage")
    told = usage if isinstance(usage, Mapping) else {}
    return (
        None if response is None else json.dumps(response, ensure_ascii=False),
        text_of(response),
        *(_whole(told.get(name)) for name in ("input_tokens", "output_tokens", "total_tokens")),
        None if error is None else type(error).__name__,
        None if error is None else str(error),
        getattr(error, "delivery", None),
        getattr(error, "code", None),
        None if error is None else is_retryable(error),
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_missing(value: Any) -> bool:
    """Whether this is how a table of Arrow, NumPy or pandas says that there is no value."""
    is_nan = isinstance(value, float) and value != value
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _plain(value: Any) -> Any:
    """Return a value of a table as JSON has it, `None` for a missing one.

    The structs of a column all have the same fields, so a field that is missing in a struct means that the request does
    not have it.  Whole numbers with missing ones among them are floating-point numbers in some tables.
    """
    if _is_missing(value):
        return None
    if isinstance(value, Mapping):
        fields = ((name, _plain(field)) for name, field in value.items())
        return {name: field for name, field in fields if field is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXACT else float(value)
    if isinstance(value, (str, int)):
        return value
    for name in ("tolist", "as_py"):  # of NumPy, of Arrow
        if hasattr(value, name):
            return _plain(getattr(value, name)())
    raise TypeError(f"{type(value).__name__} is not JSON")


def _opened(batch: Any) -> tuple[Mapping[str, Sequence[Any]], Any]:
    """Return the columns of a batch, and a function that returns the batch with more columns."""
    import pyarrow as pa

    def kind_of(name: str) -> Any:
        return pa.int64() if name.endswith("_tokens") else pa.bool_() if name.endswith("retryable") else pa.string()

    def typed(name: str, values: list[Any]) -> Any:
        return pa.array(values, kind_of(name))

    if isinstance(batch, pa.Table):

        def add_to_table(columns: Mapping[str, list[Any]]) -> Any:
            table = batch
            for name, values in columns.items():
                table = table.append_column(name, typed(name, values))
            return table

        return _Lists(batch), add_to_table
    if isinstance(batch, Mapping):
        return batch, lambda columns: {**batch, **{name: typed(name, values) for name, values in columns.items()}}
    # A data frame of pandas, with types that have missing values: else the type of a column would depend on its values.
    kinds = {pa.int64(): "Int64", pa.bool_(): "boolean", pa.string(): "string"}
    return batch, lambda columns: batch.assign(**columns).astype({name: kinds[kind_of(name)] for name in columns})


class _Lists(Mapping[str, Sequence[Any]]):
    """The columns of a table of Arrow as lists, made when they are asked for."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __getitem__(self, name: str) -> Sequence[Any]:
        values: list[Any] = self._table.column(name).to_pylist()
        return values

    def __contains__(self, name: object) -> bool:
        return name in self._table.column_names

    def __iter__(self) -> Any:
        return iter(self._table.column_names)

    def __len__(self) -> int:
        return len(self._table.column_names)

"""Requests and results as Parquet files, with pyarrow."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import msgspec

from ..errors import ConfigurationError
from .lines import open_input
from .outcomes import text_of
from .results import Results
from .text import new_file

_ID, _BODY, _PROMPT = "custom_id", "body", "prompt"
_ROWS = 256  # that are in memory at once, apart from the row group
_GROUP_ROWS = 50_000
_GROUP_BYTES = 2**26  # of a row group, without compression

# The columns of the results, by the names of their types in pyarrow.
_COLUMNS = {
    "line": "int64",
    "custom_id": "string",
    "text": "string",
    "outcome": "string",
    "error_type": "string",
    "error_message": "string",
    "delivery": "string",
    "input_tokens": "int64",
    "output_tokens": "int64",
    "copy_of": "int64",
    "response": "string",
}


def is_parquet(path: str) -> bool:
    """Whether a file is to be Parquet: its name says so."""
    return path.lower().endswith(".parquet")


def require_pyarrow() -> Any:
    """Return `pyarrow`; raise `ConfigurationError` if it is not installed."""
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError:
        raise ConfigurationError(
            'Parquet files need pyarrow, which is not installed: pip install "rxresponses[parquet]"'
        ) from None


class ParquetRows:
    """A Parquet file with a request in each row: a `body` or else a `prompt`, and perhaps a `custom_id`.

    `body` is the JSON text of a request, or a struct whose nulls are fields that the request does not have.  All other
    columns are kept for the results.

    Raises `ConfigurationError` if the file cannot be read, or has neither of the columns.
    """

    def __init__(self, path: str) -> None:
        pyarrow = require_pyarrow()
        self.file: BinaryIO = open_input(path)
        try:
            self._parquet = pyarrow.parquet.ParquetFile(self.file)
            self._columns = _checked_columns(pyarrow, self._parquet.schema_arrow)
        except (pyarrow.ArrowException, OSError) as error:
            self.file.close()
            raise ConfigurationError(f"cannot read the requests: {path} is no Parquet file: {error}") from error
        except ConfigurationError as error:
            self.file.close()
            raise ConfigurationError(f"cannot read the requests in {path}: {error}") from error
        self._error: type[Exception] = pyarrow.ArrowException
        self.kept_fields = [field for field in self._parquet.schema_arrow if field.name not in (_BODY, _PROMPT)]
        """The columns that the results get too, as fields of pyarrow."""

    @property
    def last_line(self) -> int:
        """The highest possible line number."""
        return int(self._parquet.metadata.num_rows)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number of each row, from 1, and its request as a line of JSON."""
        number = 0
        try:
            for rows in self._parquet.iter_batches(_ROWS, columns=self._columns):
                for row in rows.to_pylist():
                    number += 1
                    yield number, _line(number, row)
        except (self._error, OSError) as error:
            raise ConfigurationError(f"cannot read the requests after row {number}: {error}") from error

    def check_kept(self) -> None:
        """Raise `ConfigurationError` if a kept column has the name of another column of the results."""
        for field in self.kept_fields:
            if field.name in _COLUMNS and field.name != _ID:
                raise ConfigurationError(
                    f"the column {field.name!r} of the requests has the name of a column of the results: rename it"
                )

    def kept(self) -> Iterator[Any]:
        """Yield the kept columns, some rows at a time, as batches of pyarrow."""
        return iter(self._parquet.iter_batches(_ROWS, columns=[field.name for field in self.kept_fields]))


def write_parquet(path: str, results: Results, lines: Iterable[tuple[int, bytes]], rows: ParquetRows | None) -> None:
    """Write a row for each of these lines, in order, to a file, in one step; with the kept columns of `rows`.

    A line without a result has only its number, its `custom_id` and the kept columns.  Raises `OSError` if the file
    cannot be written.
    """
    pyarrow = require_pyarrow()
    kept_fields = [] if rows is None else rows.kept_fields
    kept_names = [field.name for field in kept_fields]
    columns = {name: kind for name, kind in _COLUMNS.items() if name not in kept_names}
    own = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in columns.items()])
    schema = pyarrow.schema([*own, *kept_fields])
    facts = (_row(*result) for result in results.in_order(lines))
    group: list[Any] = []
    try:
        with new_file(path) as file, pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for kept in itertools.repeat(None) if rows is None or not kept_fields else rows.kept():
                batch = list(itertools.islice(facts, _ROWS if kept is None else kept.num_rows))
                if not batch:
                    break
                arrays = pyarrow.RecordBatch.from_pylist(batch, schema=own).columns
                arrays = arrays if kept is None else [*arrays, *kept.columns]
                group.append(pyarrow.RecordBatch.from_arrays(arrays, schema=schema))
                is_full = sum(part.nbytes for part in group) >= _GROUP_BYTES
                if is_full or sum(part.num_rows for part in group) >= _GROUP_ROWS:
                    writer.write_table(pyarrow.Table.from_batches(group, schema))
                    group.clear()
            if group:
                writer.write_table(pyarrow.Table.from_batches(group, schema))
    except pyarrow.ArrowException as error:
        raise OSError(f"cannot write {path}: {error}") from error


def _checked_columns(pyarrow: Any, schema: Any) -> list[str]:
    """Return the columns of the requests."""
    types: Any = pyarrow.types
    found = [name for name in (_ID, _BODY, _PROMPT) if name in schema.names]
    if found in ([], [_ID]):
        raise ConfigurationError("it needs the column `body` (JSON text or a struct) or `prompt` (text)")
    for name in found:
        if schema.names.count(name) > 1:
            raise ConfigurationError(f"it has the column `{name}` twice")
        kind = schema.field(name).type
        if types.is_dictionary(kind):  # as pandas writes categories
            kind = kind.value_type
        is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)
        also, meant = {
            _ID: (types.is_integer, "text or integers"),
            _BODY: (types.is_struct, "JSON text or a struct"),
            _PROMPT: (types.is_null, "text"),
        }[name]
        if not is_text and not also(kind):
            raise ConfigurationError(f"the column `{name}` must be {meant}, not {kind}")
    return found


def _line(number: int, row: Mapping[str, Any]) -> bytes:
    body: Any = row.get(_BODY)
    if isinstance(body, str):
        body = msgspec.Raw(body.encode())
    elif body is None:
        prompt = row.get(_PROMPT)
        if row.get(_ID) is None:
            return msgspec.json.encode(prompt)
        body = None if prompt is None else {"input": prompt}
    else:
        body = _without_nulls(body)
    custom_id = {} if row.get(_ID) is None else {_ID: row[_ID]}
    try:
        return msgspec.json.encode({**custom_id, _BODY: body})
    except TypeError as error:
        message = f"the `body` of row {number} of the requests has a value that is no JSON: {error}"
        raise ConfigurationError(message) from None


def _without_nulls(value: Any) -> Any:
    """Return a struct without the fields that are null in this row, since all rows have the same fields."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if not _is_null(item)}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


class _Fields(msgspec.Struct):
    custom_id: Any = None
    outcome: str | None = None
    copy_of: int | None = None
    response: msgspec.Raw = msgspec.Raw(b"")
    error: dict[str, msgspec.Raw] | None = None


_decode = msgspec.json.Decoder(_Fields).decode


def _row(number: int, line: bytes, result: bytes | None) -> dict[str, Any]:
    """Return the row for a line of the input and its line in the results file, `None` if it has no result."""
    row: dict[str, Any] = {"line": number}
    try:
        custom_id = _decode(line).custom_id
        if custom_id is not None:
            row[_ID] = custom_id if isinstance(custom_id, str) else msgspec.json.encode(custom_id).decode()
    except ValueError:
        pass  # the line is no request
    try:
        return row if result is None else {**row, **_facts(_decode(result))}
    except ValueError:  # another program has changed the file
        return row


def _facts(fields: _Fields) -> dict[str, Any]:
    error = fields.error or {}
    raw = bytes(error.get("response", fields.response))
    response = msgspec.json.decode(raw or b"null")
    usage = response.get("usage") if isinstance(response, dict) else None
    told = usage if isinstance(usage, dict) else {}
    return {
        "text": text_of(response),
        "outcome": fields.outcome,
        **{
            column: msgspec.json.decode(error[name]) if name in error else None
            for column, name in (("error_type", "type"), ("error_message", "message"), ("delivery", "delivery"))
        },
        **{name: _count(told.get(name)) for name in ("input_tokens", "output_tokens")},
        "copy_of": fields.copy_of,
        "response": raw.decode() or None,
    }


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None

"""Header fields of a server's answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class Headers(Mapping[str, str]):
    """Header fields as a server sent them, read-only; upper and lower case do not matter in names.

    Iterating gives the server's spelling.  The values of a field that came several times are joined by ", " (RFC 9110,
    section 5.2).  `repr` shows the names only, because a value may be a secret; `dict(headers)` has the values too.
    """

    _fields: dict[str, tuple[str, str]] = {}  # of an object that is only half made  # noqa: RUF012

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._fields = {}  # name in lower case → name as sent, value
        for name, value in fields.items() if isinstance(fields, Mapping) else fields:
            spelling, before = self._fields.get(name.lower(), (name, None))
            self._fields[name.lower()] = spelling, value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (spelling for spelling, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        values = {name: value for name, (_, value) in self._fields.items()}
        return values == {str(name).lower(): value for name, value in other.items()}

    def __repr__(self) -> str:
        return f"<Headers: {', '.join(self) or 'none'}>"

"""The secrets that this side of a connection knows, and how they are hidden in texts that come from the other side."""

from __future__ import annotations

import base64
import html
import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

from .redaction import HARMLESS_HEADERS, HIDDEN, is_secret

# Headers and query parameters that say which service is meant; an error text without them would be hard to use.
_PUBLIC_HEADERS = HARMLESS_HEADERS | {
    *("accept", "accept-language", "content-type", "openai-beta", "openai-organization", "openai-project"),
}
_PUBLIC_PARAMETERS = frozenset({"model", "api-version", "api_version"})

_SHORTEST = 8  # characters; a shorter value is a placeholder, which may be an ordinary word of the text
_FEWEST = 4  # different characters; a value with fewer of them, such as "xxxxxxxx", is no secret either
_MOST_TOKENS = 256
LONGEST = 2**20  # characters of a text that are searched, which takes up to a second
_LEVELS = 4  # how often a text may be quoted: not at all, or up to three times
_DEEPEST = 100  # levels of nesting in JSON
_WORD = re.compile(r"[a-z_.]+")
_RARE = "+/=-zqwvjxk"  # characters of secrets, in lower case, that are rare in other texts


def handshake_secrets(headers: Mapping[str, str], *urls: str) -> Iterator[str]:
    """Yield the secrets that a handshake sends: in its headers, and in the URLs of the server and of proxies."""
    yield from header_secrets(headers)
    for url in urls:
        yield from url_secrets(url)


def header_secrets(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the secrets among the values of headers: all but those of a few names that are known to be public."""
    for name, value in headers.items():
        if name.lower() in _PUBLIC_HEADERS:
            continue
        if not is_secret(name):
            yield value
        else:  # `Bearer TOKEN`, `Basic BASE64`, `name=value; name=value`
            yield value.partition(" ")[2] or value
            for piece in re.split(r"[\s;,]+", value):
                yield piece
                yield piece.partition("=")[2].strip('"')
                yield from _basic_credentials(piece)


def _basic_credentials(encoded: str) -> Iterator[str]:
    try:
        user_info = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return
    if ":" in user_info:
        yield user_info
        yield from user_info.split(":", 1)


def url_secrets(url: str) -> Iterator[str]:
    """Yield the secrets in a URL: user name and password, and the query but for the model and the version."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")  # a proxy may have no scheme
    except ValueError:
        return
    user_info = parts.netloc.rpartition("@")[0]
    for piece in (user_info, *user_info.split(":", 1)):
        yield from (piece, unquote(piece))
    for parameter in parts.query.split("&"):
        name, _, value = parameter.partition("=")
        if name not in _PUBLIC_PARAMETERS:
            yield from (parameter, value, unquote_plus(value))


def tool_secrets(data: Any) -> Iterator[str]:
    """Yield the secrets in the JSON data of tools: tokens, headers, and the credentials in URLs of servers."""
    if isinstance(data, (list, tuple)):
        for item in data:
            yield from tool_secrets(item)
    elif isinstance(data, Mapping):
        is_function = data.get("type") == "function"
        for name, value in data.items():
            if is_function and name in ("parameters", "output_schema"):
                continue  # an argument may be called `headers`, and its description is no secret
            if name == "headers" and isinstance(value, Mapping):
                yield from header_secrets({key: text for key, text in value.items() if isinstance(text, str)})
            elif name == "authorization" and isinstance(value, str):
                yield from header_secrets({name: value})
            elif name == "domain_secrets" and isinstance(value, (list, tuple)):
                yield from (item["value"] for item in value if isinstance(item, Mapping) and _is_text(item, "value"))
            elif name == "server_url" and isinstance(value, str):
                yield from url_secrets(value)
            else:
                yield from tool_secrets(value)


def _is_text(data: Mapping[str, Any], name: str) -> bool:
    return isinstance(data.get(name), str)


class Secrets:
    """The secrets that one side of a connection knows; hides them in texts that come from the other side.

    A peer may send back what it was sent.  Hidden are whole secrets, and parts of at least half their length: quoted as
    in URLs, JSON, HTML, `repr` or base64, up to three times over, in upper or lower case.  A value of fewer than 8
    characters, or of fewer than 4 different ones, is not hidden: it may be a placeholder such as `none`, and part of
    ordinary words.

    `within` are further secrets, for example those of all connections of a client.  Of the tokens that requests bring
    along, the latest 256 are kept.  A `repr`, a copy and a pickle hold no secret.  Usable from any thread.
    """

    def __init__(self, values: Iterable[str] = (), within: Secrets | None = None) -> None:
        self._within = within
        self._lasting: dict[str, tuple[str, ...]] = {}  # secret → the forms in which it may come back
        self._tokens: dict[str, tuple[str, ...]] = {}
        self.add(values)

    def __repr__(self) -> str:
        return "<Secrets>"

    def __bool__(self) -> bool:
        return bool(self._lasting or self._tokens or self._within)

    def __reduce__(self) -> tuple[Any, ...]:
        return Secrets, ()

    def __copy__(self) -> Secrets:
        return self

    def __deepcopy__(self, memo: object) -> Secrets:
        return self

    def add(self, values: Iterable[str]) -> None:
        """Add secrets for good."""
        self._lasting.update((value, _forms(value)) for value in values if _counts(value))

    def add_tokens(self, values: Iterable[str]) -> None:
        """Add secrets of a request; in time, those of later requests replace them."""
        for value in filter(_counts, values):
            self._tokens[value] = self._tokens.pop(value, ()) or _forms(value)
        for value in list(self._tokens)[:-_MOST_TOKENS]:
            self._tokens.pop(value, ())

    def hide(self, text: str) -> str:
        """Return a text without the secrets; the same object if there are none in it.

        Of a text of more than `LONGEST` characters, only the beginning is searched, and kept.
        """
        forms = self._all_forms()
        if not forms or len(text) < _SHORTEST:
            return text
        if len(text) > LONGEST:
            text = f"{text[:LONGEST]}… ({len(text) - LONGEST} characters left out)"
        spans: list[tuple[int, int]] = []
        quotings: list[_Quoting] = []
        layer = text
        for _ in range(_LEVELS):
            for start, end in _occurrences(layer, forms):
                for quoting in reversed(quotings):
                    start, end = quoting.source(start, end)
                spans.append((start, end))
            if not any(mark in layer for mark in "%\\&\n"):
                break
            quoting = _Quoting(layer)
            if not quoting.starts:
                break
            quotings.append(quoting)
            layer = quoting.text
        return _without(text, spans) if spans else text

    def hide_json(self, data: Any, depth: int = 0) -> Any:
        """Return JSON data without the secrets; the same object if there are none in it.

        Words of the protocol stay: names of fields in small letters, and the values of `type`.
        """
        if isinstance(data, str):
            return self.hide(data)
        if depth > _DEEPEST:
            return None  # nothing in the protocol is nested so deeply
        if isinstance(data, list):
            items = [self.hide_json(item, depth + 1) for item in data]
            return data if all(map(_is, items, data)) else items
        if isinstance(data, dict):
            fields = {self._hide_name(name): self._hide_field(name, value, depth) for name, value in data.items()}
            same = all(map(_is, fields, data)) and all(map(_is, fields.values(), data.values()))
            return data if same and len(fields) == len(data) else fields
        return data

    def _hide_name(self, name: str) -> str:
        return name if _WORD.fullmatch(name) else self.hide(name)

    def _hide_field(self, name: str, value: Any, depth: int) -> Any:
        if name == "type" and isinstance(value, str) and _WORD.fullmatch(value):
            return value
        return self.hide_json(value, depth + 1)

    def hide_bytes(self, data: bytes) -> bytes:
        """Return bytes without the secrets; the same object if there are none in them."""
        text = data.decode("latin-1")  # each byte is a character
        hidden = self.hide(text)
        return data if hidden is text else hidden.encode("latin-1")

    def have(self, character: str) -> bool:
        """Whether a secret has this character."""
        return any(character in form for form in self._all_forms())

    def may_be_in(self, data: bytes) -> bool:
        """Whether a secret is in this text as it is, or its beginning at the end; `False` is sure, and costs little.

        Not found are secrets with quoted characters, and those with others than characters of ASCII.

        A form of a secret is not in a text that lacks one of its characters, and `bytes` looks for a single character
        about 20 times as fast as for several.
        """
        forms = [form for form in self._all_forms() if form.isascii()]
        present: dict[str, bool] = {}
        text: bytes | None = None
        for form in forms:
            for half in _halves(form):
                for character in _RARE:
                    if character in half:
                        if character not in present:
                            present[character] = character.encode() in data or character.upper().encode() in data
                        if not present[character]:
                            break
                else:
                    text = data.lower() if text is None else text
                    if half.encode() in text:
                        return True
        end = data[-max(map(len, forms), default=0) :].decode("ascii", "replace")  # it may be the beginning of a secret
        return any(True for _ in _occurrences(end, forms))

    def _all_forms(self) -> list[str]:
        forms = [] if self._within is None else self._within._all_forms()
        for known in (self._lasting, self._tokens):
            for some in tuple(known.values()):
                forms += some
        return forms


def _is(one: object, other: object) -> bool:
    return one is other


def _counts(value: str) -> bool:
    return len(value) >= _SHORTEST and len(set(value)) >= _FEWEST


def _forms(secret: str) -> tuple[str, ...]:
    """Return the texts, in lower case, as which a secret may come back, apart from the quoting of single characters."""
    data = secret.encode("utf-8", "surrogatepass")
    forms = {secret: None, secret.replace(" ", "+"): None, data.decode("latin-1"): None, data.hex(): None}
    # Characters that are quoted as bytes are read as UTF-8 where that is possible; it may be, for some that are not.
    forms[re.sub("[\x80-\xff]+", lambda match: _text(match[0].encode("latin-1")), secret)] = None
    for offset in range(3):  # base64 of a longer text, in which the secret begins at any byte
        encoded = base64.b64encode(bytes(offset) + data).decode()
        inside = encoded[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]  # what depends on the secret alone
        forms |= {inside: None, inside.replace("+", "-").replace("/", "_"): None}
    return tuple(dict.fromkeys(map(_lower, forms)))


def _lower(text: str) -> str:
    """Return a text in lower case, with each character at the place where it was."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text


def _halves(form: str) -> tuple[str, str]:
    """Return what is hidden of a form by itself: its first and its second half, of at least 8 characters."""
    least = max(_SHORTEST, (len(form) + 1) // 2)
    return form[:least], form[-least:]


def _occurrences(text: str, forms: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield where a text has one of these, its first or second half, or its beginning at the end of the text."""
    text = _lower(text)
    for form in forms:
        begin, rest = _halves(form)
        least = len(begin)
        at = text.find(begin)
        while at >= 0:
            end = at + least
            while end - at < len(form) and text[end : end + 1] == form[end - at]:
                end += 1
            yield at, end
            at = text.find(begin, end)
        at = text.find(rest)
        while at >= 0:
            start, end = at, at + least
            while start > 0 and end - start < len(form) and text[start - 1] == form[start - 1 - end]:
                start -= 1
            yield start, end
            at = text.find(rest, end)
        at = text.find(form[:_SHORTEST], max(0, len(text) - least))
        if at >= 0 and form.startswith(text[at:]):  # the peer has cut its text off there
            yield at, len(text)


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    pieces: list[str] = []
    shown_to = 0
    for start, end in sorted(spans):
        if start > shown_to or not pieces:
            pieces += text[shown_to:start], HIDDEN
        shown_to = max(shown_to, end)
    return "".join((*pieces, text[shown_to:]))


_QUOTED = re.compile(
    r"(?:%[0-9a-fA-F]{2})+"
    r"|(?:\\u[0-9a-fA-F]{4})+"
    r"|(?:\\x[0-9a-fA-F]{2})+"
    r"|\\U[0-9a-fA-F]{8}"
    r"|\\[\"'/\\nrt]"
    r"|\r?\n[ \t]*"  # a long line was broken
    r"|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,6});"
)
_CONTROLS_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


class _Quoting:
    """A text with one level of quoting removed, and where its characters came from."""

    def __init__(self, source: str) -> None:
        self.starts: list[int] = []  # where the quoted pieces begin in `text`
        self._tokens: list[tuple[int, int, int]] = []  # where each ends there, and where it begins and ends in `source`
        pieces: list[str] = []
        at = length = 0
        for match in _QUOTED.finditer(source):
            plain = _unquote(match[0])
            start = length + match.start() - at
            pieces += source[at : match.start()], plain
            at, length = match.end(), start + len(plain)
            self.starts.append(start)
            self._tokens.append((length, match.start(), at))
        self.text = "".join((*pieces, source[at:]))

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Return where a span of `text` came from; quoted pieces count as a whole."""
        return self._at(start, 1), self._at(end - 1, 2)

    def _at(self, position: int, edge: int) -> int:
        index = bisect_right(self.starts, position) - 1
        after = edge - 1  # the span ends behind its last character
        if index < 0:
            return position + after
        token = self._tokens[index]
        return token[edge] if position < token[0] else token[2] + position - token[0] + after


def _unquote(quoted: str) -> str:
    if quoted[0] == "%":
        return _text(bytes.fromhex(quoted.replace("%", "")))
    if quoted[0] == "&":
        return html.unescape(quoted)
    if quoted[0] in "\r\n":
        return ""
    kind = quoted[1]
    if kind == "x":
        return _text(bytes.fromhex(quoted.replace("\\x", "")))
    if kind == "u":
        return bytes.fromhex(quoted.replace("\\u", "")).decode("utf-16-be", "surrogatepass")
    if kind == "U":
        code = int(quoted[2:], 16)
        return chr(code) if code <= sys.maxunicode else quoted
    return _CONTROLS_ESCAPED.get(kind, kind)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")

"""A script for the server: rules and faults as plain data, as they stand in a file of JSON or YAML.

The names of replies and faults, and their arguments, are those of the classes: `FunctionCall` is `function_call`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .faults import CONNECTION_TRAITS, UPGRADE_FAULTS, Fault
from .jsontext import is_deeper
from .outputs import Interleaved
from .replies import INTERVENTIONS, PARTS, Part, Reply
from .when import Match, When

_DEEPEST = 100  # levels of a document
_RULE_KEYS = ("match", "reply", "replies", "times")
_PATTERNS = {"exact": r"\A{}\Z", "contains": "{}"}


class ScriptError(ValueError):
    """A script is wrong.  The message names the place, what is expected there, and a similar name if there is one."""


@dataclass(frozen=True)
class Rule:
    """One rule: the arguments of `ResponsesServer.on`."""

    match: Match
    replies: Sequence[Reply]
    times: int | None = None


@dataclass(frozen=True)
class Script:
    """The rules and faults of a script."""

    rules: Sequence[Rule]
    """The rules in their order, that of the default reply last."""

    faults: Sequence[Fault]


def read_script(document: object) -> Script:
    """Return the rules and faults in the document of a script.

    Raises:
        ScriptError: for the first place that is wrong.
    """
    if is_deeper(document, _DEEPEST):
        raise ScriptError(f"the script is nested deeper than {_DEEPEST} levels")
    script = _mapping(document, "the script", ("rules", "default", "faults"))
    rules = [
        _rule(rule, f"rule {number}") for number, rule in enumerate(_list(script.get("rules", []), "rules"), start=1)
    ]
    if "default" in script:
        rules.append(Rule("", (_reply(script["default"], "default"),)))
    faults = [
        _fault(fault, f"fault {number}")
        for number, fault in enumerate(_list(script.get("faults", []), "faults"), start=1)
    ]
    return Script(rules, faults)


def _rule(value: object, place: str) -> Rule:
    rule = _mapping(value, place, _RULE_KEYS)
    if ("reply" in rule) == ("replies" in rule):
        raise ScriptError(f"{place}: expected either 'reply' or 'replies' (several, which come in turn)")
    match = _match(rule.get("match", ""), f"{place}, match")
    if "reply" in rule:
        replies = [_reply(rule["reply"], f"{place}, reply")]
    else:
        given = _list(rule["replies"], f"{place}, replies")
        if not given:
            raise ScriptError(f"{place}, replies: expected at least one reply")
        replies = [_reply(reply, f"{place}, reply {number}") for number, reply in enumerate(given, start=1)]
    times = rule.get("times")
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
        raise ScriptError(f"{place}, times: expected a number from 1, not {times!r}")
    return Rule(match, replies, times)


def _match(value: object, place: str) -> Match:
    if isinstance(value, str):
        return _pattern(value, place)
    conditions = _mapping(value, place, [field.name for field in dataclasses.fields(When)], "a regular expression, or ")
    tool = conditions.get("tool")
    if tool is not None and not isinstance(tool, str):
        raise ScriptError(f"{place}, tool: expected the name of a tool, not {_shown(tool)}")
    patterns = {name: value for name, value in conditions.items() if name != "tool"}
    return When(tool=tool, **{name: _pattern(value, f"{place}, {name}") for name, value in patterns.items()})


def _pattern(value: object, place: str) -> str:
    """Return a regular expression for a string, which is one, or for a mapping such as `{contains: text}`."""
    if isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            raise ScriptError(f"{place}: {value!r} is not a regular expression: {error}") from None
        return value
    pattern = _mapping(value, place, _PATTERNS, "a regular expression, or ")
    if len(pattern) != 1:
        raise ScriptError(f"{place}: expected one of {_listed(_PATTERNS)}")
    ((kind, text),) = pattern.items()
    if not isinstance(text, str):
        raise ScriptError(f"{place}, {kind}: expected a text, not {_shown(text)}")
    return _PATTERNS[kind].format(re.escape(text))


def _reply(value: object, place: str) -> Reply:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        if not value:
            raise ScriptError(f"{place}: expected at least one part")
        return [_part(part, f"{place}, part {number}") for number, part in enumerate(value, start=1)]
    return cast("Reply", _part(value, place))


def _part(value: object, place: str) -> str | Part:
    if isinstance(value, str):
        return value
    part = _mapping(value, place, _REPLY_KINDS, "a text, or ")
    if len(part) != 1:
        raise ScriptError(f"{place}: expected one name and its arguments, not {len(part)}; several parts are a list")
    ((name, arguments),) = part.items()
    return cast("Part", _made(_REPLY_KINDS[name], name, arguments, place))


def _fault(value: object, place: str) -> Fault:
    options = [field.name for field in dataclasses.fields(Fault) if field.name != "what"]
    fault = _mapping(value, place, [*_FAULT_KINDS, *options])
    names = [name for name in fault if name in _FAULT_KINDS]
    if len(names) != 1:
        raise ScriptError(f"{place}: expected one name of a fault: {_listed(_FAULT_KINDS)}")
    what = _made(_FAULT_KINDS[names[0]], names[0], fault[names[0]], place)
    arguments = {name: argument for name, argument in fault.items() if name in options}
    if "match" in arguments:
        arguments["match"] = _match(arguments["match"], f"{place}, match")
    return cast("Fault", _call(Fault, place, {"what": what, **arguments}))


def _made(kind: Any, name: str, value: object, place: str) -> object:
    """Return a part or a fault of a class, made from its arguments in a document.

    Arguments are a mapping by their names.  Another value is the first argument.  If that is the only one and takes
    a mapping, as with `json` and `item`, a mapping is its value too.
    """
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name != "gate"}  # programs open gates
    first = next(iter(fields), None)
    takes_any = len(fields) == 1 and str(next(iter(fields.values())).type) in ("Any", "Mapping[str, Any]")
    if takes_any or not (value is None or isinstance(value, dict)):
        if first is None:
            raise ScriptError(f"{place}: {name} takes no arguments, not {_shown(value)}")
        arguments = {first: value}
    else:
        arguments = dict(_mapping(value or {}, f"{place}, {name}", fields))
    for argument, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and argument not in arguments:
            raise ScriptError(f"{place}: {name} needs the argument '{argument}'")
    if kind is Interleaved:
        outputs = _list(arguments["outputs"], f"{place}, {name}")
        arguments["outputs"] = [_part(part, f"{place}, {name}, part {n}") for n, part in enumerate(outputs, start=1)]
    return _call(kind, f"{place}, {name}", arguments)


def _call(kind: Any, place: str, arguments: Mapping[str, Any]) -> object:
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise ScriptError(f"{place}: {error}") from None


def _mapping(value: object, place: str, known: Collection[str], alternative: str = "") -> dict[str, Any]:
    """Return a mapping whose keys are all known."""
    expected = f"{alternative}a mapping with {_listed(known)}" if known else "no arguments"
    if not isinstance(value, dict):
        # In YAML, `yes` and `1.5` are no texts.
        hint = "; a text needs quotes here" if alternative and not (value is None or isinstance(value, list)) else ""
        raise ScriptError(f"{place}: expected {expected}, not {_shown(value)}{hint}")
    for key in value:
        if key not in known:
            similar = difflib.get_close_matches(str(key), known, n=1, cutoff=0.7)
            hint = f"did you mean '{similar[0]}'?" if similar else f"expected {expected}"
            raise ScriptError(f"{place}: unknown name {key!r}; {hint}")
    return value


def _list(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise ScriptError(f"{place}: expected a list, not {_shown(value)}")
    return value


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _named(kinds: Sequence[type]) -> dict[str, type]:
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in kinds}


_REPLY_KINDS = _named(PARTS)
_FAULT_KINDS = _named((*INTERVENTIONS, *UPGRADE_FAULTS, *CONNECTION_TRAITS))

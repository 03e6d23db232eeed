"""Two objects that a server sent for the same item, as one: nothing that either has is lost."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from itertools import islice
from typing import Any, TypeVar

from .base import Model
from .models import ResponseCustomToolCall, ResponseFunctionToolCall, ResponseOutputMessage

M = TypeVar("M", bound=Model)

RUNNING = frozenset({"queued", "in_progress", "searching", "interpreting", "generating"})
"""The statuses of an item that is not finished."""

_CHANGING = frozenset({"id", "status"})  # fields that may differ in two versions of an item
_SAME = 4  # the likeness of two versions of an item with the same text, of which the later has all that the other has
_WINDOW = 16  # items that are compared with one item of a response, so that a list of n items takes n steps


def evolve(model: M, **changes: Any) -> M:
    """Copy a model with changed fields, and keep its unknown fields; much faster than `dataclasses.replace`."""
    copy: M = object.__new__(type(model))
    copy.__dict__.update(model.__dict__, **changes)
    extra = copy.__dict__.get("_extra")
    if extra and not extra.keys().isdisjoint(changes):  # a `null`, which stood for a field that has a value now
        copy.__dict__["_extra"] = {name: value for name, value in extra.items() if name not in changes}
    return copy


def merge(old: Model | None, new: M) -> M:
    """Return `new` with the fields that only `old` has; `new` itself if `old` has nothing more."""
    if type(old) is not type(new):
        return new
    before, after = vars(old), vars(new)
    changes = {}
    for name, known in before.items():
        if name in ("_extra", "raw"):
            continue
        value = after.get(name)
        merged = _merge_status(known, value) if name == "status" else _merge_value(known, value)
        if merged is not value:
            changes[name] = merged
    extra = before.get("_extra")
    missing = (
        {} if not extra else {k: v for k, v in extra.items() if k not in after.get("_extra", ()) and v is not None}
    )
    if missing:
        changes["_extra"] = {**missing, **after.get("_extra", {})}
    return evolve(new, **changes) if changes else new


def _merge_status(known: Any, value: Any) -> Any:
    """A finished item does not run again: events of its progress may come late."""
    return known if value is None or (value in RUNNING and known is not None and known not in RUNNING) else value


def _merge_value(known: Any, value: Any) -> Any:
    if value is None or (value in ("", [], {}) and known):
        return known
    if isinstance(value, Model) and isinstance(known, Model):
        return merge(known, value)
    if isinstance(value, list) and isinstance(known, list) and len(known) > len(value):
        return known
    return value


def pair(known: Sequence[tuple[int, Model]], listed: Sequence[Model]) -> dict[int, int]:
    """Find for each known item its place in the list of a response: number in `known` → number in `listed`.

    Each known item comes with its output index.  Servers change ids between events, number items from 1 or not at all,
    and leave items out of the list.  So the surest sign decides first: the id, then the index together with fitting
    content, then the call id, the order together with fitting content, the index alone, and the order alone.  The
    places are counted from the index with which most content fits.  Otherwise an item whose text fits several entries
    of the list could be paired with an entry that lacks what else the item has, such as log probabilities.
    """
    pairs: dict[int, int] = {}
    free = dict.fromkeys(range(len(listed)))
    ids = {(type(item), id): number for number, item in enumerate(listed) if (id := getattr(item, "id", None))}

    def take(number: int, place: int | None) -> bool:
        if place is None or place not in free or type(known[number][1]) is not type(listed[place]):
            return False
        pairs[number] = place
        del free[place]
        return True

    def rest() -> list[int]:
        return [number for number in range(len(known)) if number not in pairs]

    for number in rest():
        item = known[number][1]
        take(number, ids.get((type(item), getattr(item, "id", None))))
    first = _first_index(known, listed, rest())
    for number in rest():
        item, place = known[number][1], known[number][0] - first
        is_placeholder = len(known) > len(listed) and not _text(item)
        if 0 <= place < len(listed) and not is_placeholder and _fits(item, listed[place]):
            take(number, place)
    calls: dict[tuple[type, str], list[int]] = {}
    for place in reversed(free):
        if call_id := getattr(listed[place], "call_id", None):
            calls.setdefault((type(listed[place]), call_id), []).append(place)
    for number in rest():
        item = known[number][1]
        if places := calls.get((type(item), getattr(item, "call_id", None) or "")):
            take(number, places.pop())
    _pair_in_order(known, listed, free, rest(), take, fitting=True)
    for number in rest():
        take(number, known[number][0] - first)
    _pair_in_order(known, listed, free, rest(), take, fitting=False)
    return pairs


def _pair_in_order(known: Any, listed: Any, free: Any, numbers: list[int], take: Any, *, fitting: bool) -> None:
    places: dict[type, list[int]] = {}
    for place in free:
        places.setdefault(type(listed[place]), []).append(place)
    begins = dict.fromkeys(places, 0)
    for number in numbers:
        item = known[number][1]
        of_type, begin = places.get(type(item), []), begins.get(type(item), 0)
        for at in range(begin, min(len(of_type), begin + _WINDOW)):
            if not fitting or (_text(item) and _fits(item, listed[of_type[at]])):
                take(number, of_type[at])
                begins[type(item)] = at + 1
                break


def _first_index(known: Sequence[tuple[int, Model]], listed: Sequence[Model], numbers: list[int]) -> int:
    """Return the index that the server gives to the first item of the list: 0 unless another index fits better.

    The index is negative if the list begins with items that the server did not count.
    """
    sample = list(islice((known[number] for number in numbers if _text(known[number][1])), _WINDOW))

    def likeness(first: int) -> int:
        places = [(item, index - first) for index, item in sample]
        return sum(_likeness(item, listed[place]) for item, place in places if 0 <= place < len(listed))

    if likeness(0) == _SAME * len(sample):
        return 0
    candidates = [0]
    for index, item in (sample[0], sample[-1]):
        scores = [_likeness(item, entry) for entry in listed]
        candidates += [index - place for place in nlargest(_WINDOW, range(len(listed)), key=scores.__getitem__)]
    return max(candidates, key=likeness)  # of equals, the first


def _likeness(item: Model, listed: Model) -> int:
    """Return how much suggests that a known item is a listed item: 0 if they do not fit, at most `_SAME`."""
    if not _fits(item, listed):
        return 0
    text, its_text = _text(item), _text(listed)
    if text != its_text:  # a longer known text is the worse sign: the listed item lacks some of it
        return 1 if len(text) > len(its_text) else 2
    after = vars(listed)
    is_kept = all(not value or name in _CHANGING or after.get(name) == value for name, value in vars(item).items())
    return _SAME if is_kept else _SAME - 1


def _fits(one: Model, other: Model) -> bool:
    """Whether two objects may be the same item, or the same part of an item, at different times."""
    calls = getattr(one, "call_id", None), getattr(other, "call_id", None)
    if type(one) is not type(other) or (all(calls) and calls[0] != calls[1]):
        return False
    text, longer = sorted((_text(one), _text(other)), key=len)
    return longer.startswith(text)


def _text(model: Model) -> str:
    if isinstance(model, ResponseOutputMessage):
        return "".join(map(_text, model.content))
    if isinstance(model, ResponseFunctionToolCall):
        return model.arguments
    if isinstance(model, ResponseCustomToolCall):
        return model.input
    text = getattr(model, "text", None) or getattr(model, "refusal", None)
    return text if isinstance(text, str) else ""

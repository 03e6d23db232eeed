"""Members in order: what is built from them is brought up to date for those that changed, and for no others."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.wire.ordered import Key, Ordered

from ..effort import examples


class Counted:
    """Makes an `Ordered` of lists of one text each; an empty text is left out.  Counts the calls."""

    def __init__(self) -> None:
        self.built = 0
        self.texts = 0
        self.ordered: Ordered[list[str]] = Ordered(self._build, self._text)

    def _build(self, member: list[str]) -> str | None:
        self.built += 1
        return member[0].upper() or None

    def _text(self, member: list[str]) -> str:
        self.texts += 1
        return member[0]


def test_nothing() -> None:
    ordered = Counted().ordered
    assert (ordered.built(), ordered.text(), len(ordered), ordered.count) == ([], "", 0, 0)
    assert ordered.get((0, 0)) is None
    assert (0, 0) not in ordered


def test_members_stand_in_the_order_of_their_keys() -> None:
    ordered = Counted().ordered
    for index in (5, 1, 10**9, 3):
        ordered.add((index, 0), [f"{index} "])
    ordered.add((3, 1), ["3b "])
    assert ordered.keys() == [(1, 0), (3, 0), (3, 1), (5, 0), (10**9, 0)]
    assert ordered.text() == "1 3 3b 5 1000000000 "
    assert [member[0] for member in reversed(ordered)] == ["1000000000 ", "5 ", "3b ", "3 ", "1 "]


def test_scenario_77_only_what_changes_is_built_again() -> None:
    counted = Counted()
    members = [[str(number)] for number in range(100)]
    for number, member in enumerate(members):
        counted.ordered.add((number, 0), member)
    counted.ordered.built(), counted.ordered.text()
    assert (counted.built, counted.texts) == (100, 100)
    members[7][0] = "seven"
    counted.ordered.touch((7, 0))
    assert counted.ordered.built()[6:9] == ["6", "SEVEN", "8"]
    assert counted.ordered.text()[6:13] == "6seven8"
    assert (counted.built, counted.texts) == (101, 101)
    counted.ordered.touch_all()
    counted.ordered.built(), counted.ordered.text()
    assert (counted.built, counted.texts) == (201, 201)


def test_a_list_that_was_built_never_changes() -> None:
    ordered = Counted().ordered
    ordered.add((0, 0), ["a"])
    before = ordered.built()
    ordered.add((1, 0), ["b"])
    assert (before, ordered.built()) == (["A"], ["A", "B"])


KEYS = st.tuples(st.integers(0, 5), st.integers(0, 1))
STEPS = st.lists(st.tuples(st.sampled_from(["set", "remove", "read", "touch"]), KEYS, st.sampled_from(["", "a", "bc"])))


@settings(max_examples=examples(300))
@given(STEPS)
def test_it_is_as_if_all_were_built_each_time(steps: list[tuple[str, Key, str]]) -> None:
    ordered = Counted().ordered
    model: dict[Key, list[str]] = {}

    def change(step: str, key: Key, text: str) -> None:
        if step == "set" and key not in model:
            model[key] = [text]
            ordered.add(key, model[key])
        elif step == "set":
            ordered.touch(key)
            model[key][0] = text
        elif step == "remove" and key in model:
            del model[key]
            ordered.remove(key)
        elif step == "touch":
            ordered.touch_all()

    for step, key, text in steps:
        change(step, key, text)
        if step == "read":
            expected = [model[key][0] for key in sorted(model)]
            assert ordered.text() == "".join(expected)
            assert ordered.built() == [text.upper() for text in expected if text]
            assert ordered.count == len(ordered.built())
            assert list(ordered) == [model[key] for key in sorted(model)]
            assert len(ordered) == len(model)
            assert all((ordered.get(key), key in ordered) == (model.get(key), key in model) for key in [(0, 0), (5, 1)])

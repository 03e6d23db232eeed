"""The branches of a chat."""

from __future__ import annotations

import pytest

from rxresponses.cli.branches import BranchError, Branches


def test_branches() -> None:
    branches = Branches(1)
    assert (branches.name, branches.current, branches.names) == ("main", 1, ["main"])
    branches.add("idea", lambda: 2)
    assert (branches.name, branches.current, branches.names) == ("idea", 2, ["main", "idea"])
    branches.go_to("main")
    assert branches.current == 1


@pytest.mark.parametrize("name", ["main", "", "two words"])
def test_names_that_cannot_be(name: str) -> None:
    branches = Branches(1)
    with pytest.raises(BranchError):
        branches.add(name, lambda: pytest.fail("a conversation was made for it"))
    assert branches.names == ["main"]


def test_no_such_branch() -> None:
    branches = Branches(1)
    with pytest.raises(BranchError, match="there are: main"):
        branches.go_to("idea")
    assert branches.name == "main"


def test_free_names() -> None:
    branches = Branches(1)
    assert branches.free_name("main") == "main-2"
    assert branches.free_name("a b ") == "a-b"
    for expected in ("branch", "branch-2", "branch-3"):
        assert branches.free_name("") == branches.free_name() == expected
        branches.add(expected, lambda: 2)

from __future__ import annotations

import importlib.metadata

import pytest

from rxresponses.version import installed_version


def test_the_version_is_that_of_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"1.2.3 of {name}")
    assert installed_version() == "1.2.3 of rxresponses"


def test_a_source_tree_that_is_not_installed_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert installed_version() == ""

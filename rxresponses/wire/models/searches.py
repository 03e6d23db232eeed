"""Output items of searches: in files, and on the web."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal, TypeAlias

from ..base import Model, UnknownItem, model


@model
class FileSearchResult(Model):
    """A passage that a file search found; `score` is between 0 and 1."""

    attributes: dict[str, Any] | None = None
    file_id: str | None = None
    filename: str | None = None
    score: float | None = None
    text: str | None = None


@model
class ResponseFileSearchToolCall(Model):
    """A search in vector stores; `results` only if the request included them."""

    type: Literal["file_search_call"] = "file_search_call"
    id: str | None = None
    queries: list[str] = field(default_factory=list)
    results: list[FileSearchResult] | None = None
    status: str | None = None


@model
class ActionSearchSource(Model):
    """A page that a web search used."""

    type: str | None = None
    url: str | None = None


@model
class ActionSearch(Model):
    """The model searched the web."""

    type: Literal["search"] = "search"
    query: str | None = None
    queries: list[str] | None = None
    sources: list[ActionSearchSource] | None = None


@model
class ActionOpenPage(Model):
    """The model opened a page."""

    type: Literal["open_page"] = "open_page"
    url: str | None = None


@model
class ActionFind(Model):
    """The model looked for `pattern` in a page."""

    type: Literal["find_in_page"] = "find_in_page"
    pattern: str | None = None
    url: str | None = None


WebSearchAction: TypeAlias = ActionSearch | ActionOpenPage | ActionFind | UnknownItem
"""An action of the model on the web."""


@model
class ResponseFunctionWebSearch(Model):
    """A call of the web search: one action on the web."""

    type: Literal["web_search_call"] = "web_search_call"
    id: str | None = None
    action: WebSearchAction | None = None
    status: str | None = None

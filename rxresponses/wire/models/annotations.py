"""Annotations of the model's text: citations of files and web pages."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ..base import Model, UnknownItem, model


@model
class AnnotationFileCitation(Model):
    """A file cited after the character at `index`."""

    type: Literal["file_citation"] = "file_citation"
    file_id: str | None = None
    filename: str | None = None
    index: int | None = None


@model
class AnnotationURLCitation(Model):
    """A web page cited by the characters from `start_index` to `end_index`."""

    type: Literal["url_citation"] = "url_citation"
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


@model
class AnnotationContainerFileCitation(Model):
    """A file in a tool's container, cited by the characters from `start_index` to `end_index`."""

    type: Literal["container_file_citation"] = "container_file_citation"
    container_id: str | None = None
    file_id: str | None = None
    filename: str | None = None
    start_index: int | None = None
    end_index: int | None = None


@model
class AnnotationFilePath(Model):
    """A generated file, linked at the character at `index`."""

    type: Literal["file_path"] = "file_path"
    file_id: str | None = None
    index: int | None = None


Annotation: TypeAlias = (
    AnnotationFileCitation | AnnotationURLCitation | AnnotationContainerFileCitation | AnnotationFilePath | UnknownItem
)
"""Any annotation of output text."""

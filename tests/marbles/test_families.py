"""Families of events, and the words under marbles."""

from __future__ import annotations

import typing
from typing import Any

import pytest

from rxresponses.marbles.families import (
    FAMILIES,
    error_words,
    family_of,
    is_piece,
    is_text,
    kind_of,
    short_name,
    words_of,
)
from rxresponses.marbles.shapes import COLOURS, shape_of
from rxresponses.recording.format import EventRecord
from rxresponses.wire.events.base import REGISTRY


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("response.created", "lifecycle"),
        ("response.incomplete", "lifecycle"),
        ("response.failed", "error"),
        ("error", "error"),
        ("response.output_text.delta", "text"),
        ("response.output_text.annotation.added", "text"),
        ("response.refusal.done", "text"),
        ("response.reasoning_summary_text.delta", "reasoning"),
        ("response.reasoning_text.done", "reasoning"),
        ("response.audio.transcript.delta", "audio"),
        ("response.output_item.added", "items"),
        ("response.content_part.done", "items"),
        ("response.steer.accepted", "steering"),
        ("response.function_call_arguments.delta", "tools"),
        ("response.custom_tool_call_input.done", "tools"),
        ("response.web_search_call.searching", "tools"),
        ("response.mcp_list_tools.failed", "tools"),
        ("response.apply_patch_call_operation_diff.delta", "tools"),
        ("response.shell_call_command.added", "tools"),
        ("response.new.thing", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_family_of_a_type(kind: str, family: str) -> None:
    assert family_of(kind) == family


def test_each_type_that_the_library_knows_has_a_family() -> None:
    assert len(REGISTRY) > 50
    unknown = {kind for kind in REGISTRY if family_of(kind) == "unknown" and not kind.startswith("rxresponses.")}
    assert unknown == set()


def test_each_family_differs_from_the_others_without_its_colour() -> None:
    events = [family for family in FAMILIES.values() if family.name != "value"]
    assert len({family.shape for family in events}) == len(events)
    assert len({family.letter for family in FAMILIES.values()}) == len(FAMILIES)
    assert len({shape_of(name) for name in FAMILIES}) == len(FAMILIES)


def test_each_family_has_colours_that_can_be_read() -> None:
    def brightness(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for name in (*FAMILIES, "ink", "dim"):
        for colour, page in zip(COLOURS[name], COLOURS["bg"], strict=True):
            lighter, darker = sorted((brightness(colour), brightness(page)), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (name, colour)  # the contrast that WCAG AA asks for


def test_pieces_and_texts() -> None:
    assert is_piece("response.output_text.delta")
    assert is_piece("response.image_generation_call.partial_image")
    assert not is_piece("response.output_text.done")
    assert is_text("response.refusal.delta")
    assert not is_text("response.reasoning_text.delta")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("response.output_item.added", "item added"),
        ("response.created", "created"),
        ("response.content_part.done", "part done"),
        ("response.web_search_call.in_progress", "web search call in progress"),
        ("error", "error"),
        ("response.", "response."),
    ],
)
def test_a_short_name(kind: str, name: str) -> None:
    assert short_name(kind) == name


@pytest.mark.parametrize(
    ("kind", "frame", "words"),
    [
        ("response.output_text.delta", {"delta": "Hel"}, "Hel"),
        ("response.output_text.delta", {"delta": 7}, "text delta"),
        ("response.output_item.added", {"item": {"type": "web_search_call"}}, "web search call added"),
        ("response.output_item.done", {"item": {"type": "function_call", "name": "f"}}, "f done"),
        ("response.output_item.done", {"item": {"type": None}}, "item done"),
        ("response.output_item.done", {"item": 3}, "item done"),
        ("error", {"error": {"code": "rate_limit", "message": "wait"}}, "rate_limit: wait"),
        ("error", {"message": "wait"}, "wait"),
        ("error", {}, "error"),
        ("response.failed", {"response": {"error": {"code": "server_error"}}}, "server_error"),
        ("response.failed", {"response": {"error": None}, "error": {"message": "outside"}}, "outside"),
    ],
)
def test_what_is_written_under_a_marble(kind: str, frame: dict[str, Any], words: str) -> None:
    assert words_of(kind, frame) == words


def test_no_error_has_no_words() -> None:
    assert error_words({"response": {}, "code": 3}) == ""


@pytest.mark.parametrize(
    ("frame", "kind"),
    [({"type": "error"}, "error"), ({"type": ""}, "(no type)"), ({"type": 3}, "(no type)"), ({}, "(no type)")],
)
def test_the_type_of_an_event(frame: dict[str, typing.Any], kind: str) -> None:
    assert kind_of(EventRecord(0, None, frame)) == kind


def test_the_type_of_a_frame_that_is_no_json() -> None:
    assert kind_of(EventRecord(0, None, None, raw="oops")) == "(no JSON object)"

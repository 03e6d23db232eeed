"""The pictures of the documentation: each operator has one, and it shows what the operator emits."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rxresponses import operators as rops
from rxresponses.recording.format import EndRecord, EventRecord, StageRecord
from tests.support.paths import ROOT

EXTENSIONS = ROOT / "docs" / "_extensions"
PAGE = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")

if TYPE_CHECKING:
    from docs._extensions import pictures
else:
    sys.path.insert(0, str(EXTENSIONS))
    import pictures

    sys.path.remove(str(EXTENSIONS))

EXPECTED: dict[str, list[str]] = {
    "filter_by_type": ["2 He", "4 llo", "7 completed"],
    "text_deltas": ["2 He", "4 llo", "7 completed"],
    "accumulate_text": ["2 He", "4 Hello", "7 completed"],
    "collect_text": ["6 Hello", "7 completed"],
    "sentences": ["8 Hello. ", "14 How are you?", "15 completed"],
    "refusals": ["2 I", "4  cannot", "8 completed"],
    "accumulate_response": [*(f"{at} Response(…)" for at in (0, 2, 4, 6)), "7 completed"],
    "final_response": ["6 Response(…)", "7 completed"],
    "function_calls": ["12 ResponseFunctionToolCall(…)", "14 completed"],
    "usage": ["6 ResponseUsage(…)", "7 completed"],
    "parse_output": ["12 Place(city='Rome', days=1)", "13 completed"],
    "partial_output": ["4 {'city': 'Ro'}", "10 {'city': 'Rome'}", "16 {'city': 'Rome', 'days': 12}", "24 completed"],
    "elements": ["4 Place(city='Rome', days=1)", "16 Place(city='Oslo', days=1)", "23 completed"],
    "metrics": ["6 ResponseMetrics(…)", "7 completed"],
    "record": ["0 created", "2 He", "4 llo", "6 completed", "7 completed"],
    "observe_pipeline": ["2 HE", "4 LLO", "7 completed"],
    "timeout_on_terminal": ["0 created", "2 He", "4 llo", "6 error TerminalTimeoutError"],
    "first_event_timeout": ["3 error FirstEventTimeoutError"],
    "idle_timeout": ["0 created", "2 He", "4 llo", "7 error IdleTimeoutError"],
    "raise_on_failure": ["0 created", "2 He", "4 error ResponseFailedError"],
    "raise_on_refusal": ["0 created", "2 I", "4  cannot", "8 error ResponseRefusedError"],
    "raise_on_incomplete": ["0 created", "2 He", "4 error ResponseIncompleteError"],
    "charge": ["0 created", "2 He", "4 llo", "6 completed", "7 completed"],
    "retry_with_backoff": ["5 created", "7 He", "9 llo", "11 completed", "12 completed"],
    "to_async_iterable": ["2 He", "4 llo", "7 completed"],
}
"""What the last line of each picture shows, with its time in seconds."""


def test_each_operator_has_its_section_and_its_picture() -> None:
    names = set(rops.__all__)
    assert set(EXPECTED) == set(pictures.PICTURES) == names
    for pattern in (r"^### (\w+)$", r"^```\{marbles\} (\w+)$", r"^\.\. autofunction:: rxresponses\.operators\.(\w+)$"):
        assert sorted(re.findall(pattern, PAGE, re.MULTILINE)) == sorted(names)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_picture_shows_what_the_operator_emits(name: str) -> None:
    records = pictures.recording_of(pictures.PICTURES[name]).records
    stages = [record for record in records if isinstance(record, StageRecord)]
    last = [record for record in stages if record.stage == max(stage.stage for stage in stages)]
    assert [_line(record) for record in last if record.what != "subscribed"] == EXPECTED[name]
    ends = [record.t for record in records if isinstance(record, EndRecord)]
    assert ends
    assert all(record.t <= ends[-1] for record in records if isinstance(record, EventRecord))
    svg = pictures.svg(name)
    assert svg.startswith("<svg ")
    assert svg == pictures.svg(name)  # virtual time: a picture is the same each time


def _line(record: StageRecord) -> str:
    words: list[Any] = [f"{record.t:g}", *([] if record.what == "next" else [record.what]), record.value]
    return " ".join(word for word in words if word is not None)

"""Whatever redundant events a server leaves out, the assembled response, its text and its calls are the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.operators import (
    accumulate_response,
    accumulate_text,
    collect_text,
    final_response,
    function_calls,
    text_deltas,
    usage,
)
from rxresponses.wire.codec import decode, encode
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.events.base import event_from
from rxresponses.wire.models import Response
from tests.effort import examples

from ..support.marbles import run

JSON = dict[str, Any]
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}

words = st.text("ab 1\u00e9\u4e16\U0001f389", min_size=1, max_size=12)


@dataclass
class Source:
    """One place of the stream that tells (a part of) an item: the events, in the order of the stream."""

    name: str
    events: list[JSON]


@dataclass
class Sent:
    """An item as the server sends it, and the sources of its content in the order of the stream."""

    item: JSON
    added: JSON
    texts: list[list[Source]] = field(default_factory=list)  # each text with all its sources


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """Cut a text into deltas; some servers cut a character in two."""
    data = text.encode("utf-16-le")
    units = [data[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(data), 2)]
    found = []
    while units:
        size = draw(st.integers(1, len(units)))
        found.append("".join(units[:size]).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass"))
        units = units[size:]
    return found


def text_sources(
    draw: st.DrawFn, kind: str, name: str, text: str, where: JSON, part: JSON | None, sub: str
) -> list[Source]:
    deltas = [{"type": f"response.{kind}.delta", "delta": piece, **where} for piece in pieces(draw, text)]
    if part is not None and part.get("logprobs"):
        for event, logprob in zip(deltas, part["logprobs"], strict=False):
            event["logprobs"] = [logprob]
        deltas[-1]["logprobs"] = part["logprobs"][len(deltas) - 1 :]
    done = {"type": f"response.{kind}.done", name: text, **where}
    if part is not None and part.get("logprobs"):
        done["logprobs"] = part["logprobs"]
    sources = [Source("deltas", deltas), Source("done", [done])]
    if part is not None:
        sources.append(Source("part", [{"type": f"response.{sub}.done", "part": part, **where}]))
    return sources


@st.composite
def messages(draw: st.DrawFn, number: int) -> Sent:
    content: list[JSON] = []
    sent = Sent({}, {})
    base = draw(st.sampled_from([0, 0, 0, 1, 90]))  # some servers count the parts from another number
    for place in range(draw(st.integers(1, 3))):
        text, where = draw(words), {"item_id": f"msg_{number}", "output_index": number, "content_index": base + place}
        if draw(st.booleans()) or place == 0:
            part: JSON = {"type": "output_text", "text": text, "annotations": []}
            if draw(st.booleans()):
                part["logprobs"] = [{"token": token, "logprob": -0.5, "top_logprobs": []} for token in text]
            sent.texts.append(text_sources(draw, "output_text", "text", text, where, part, "content_part"))
        else:
            part = {"type": "refusal", "refusal": text}
            sent.texts.append(text_sources(draw, "refusal", "refusal", text, where, part, "content_part"))
        content.append(part)
    item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed"}
    sent.item = {**item, "content": content}
    sent.added = {**sent.item, "status": "in_progress", "content": []}
    return sent


@st.composite
def calls(draw: st.DrawFn, number: int) -> Sent:
    """Two calls may have the same `call_id`."""
    arguments = draw(words)
    where = {"item_id": f"fc_{number}", "output_index": number}
    item = {"type": "function_call", "id": f"fc_{number}", "call_id": draw(st.sampled_from(["c", "d"])), "name": "f"}
    item |= {"arguments": arguments, "status": "completed"}
    texts = [text_sources(draw, "function_call_arguments", "arguments", arguments, where, None, "")]
    return Sent(item, {**item, "arguments": "", "status": "in_progress"}, texts)


@st.composite
def reasonings(draw: st.DrawFn, number: int) -> Sent:
    where = {"item_id": f"rs_{number}", "output_index": number}
    sent = Sent({"type": "reasoning", "id": f"rs_{number}", "status": "completed", "summary": []}, {})
    for place in range(draw(st.integers(0, 2))):
        part = {"type": "summary_text", "text": draw(words)}
        here = {**where, "summary_index": place}
        kind, sub = "reasoning_summary_text", "reasoning_summary_part"
        sent.texts.append(text_sources(draw, kind, "text", part["text"], here, part, sub))
        sent.item["summary"].append(part)
    if draw(st.booleans()):
        part = {"type": "reasoning_text", "text": draw(words)}
        here = {**where, "content_index": 0}
        sent.texts.append(text_sources(draw, "reasoning_text", "text", part["text"], here, part, "content_part"))
        sent.item["content"] = [part]
    sent.added = {**sent.item, "summary": [], "status": "in_progress"}
    sent.added.pop("content", None)
    return sent


@st.composite
def shell_calls(draw: st.DrawFn, number: int) -> Sent:
    commands = draw(st.lists(words, min_size=1, max_size=2))
    item = {"type": "shell_call", "id": f"sh_{number}", "call_id": "s", "status": "completed"}
    added = {**item, "action": {"commands": []}, "status": "in_progress"}
    sent = Sent({**item, "action": {"commands": commands}}, added)
    for place, command in enumerate(commands):
        where = {"output_index": number, "command_index": place}
        sent.texts.append(text_sources(draw, "shell_call_command", "command", command, where, None, ""))
    return sent


@st.composite
def shell_outputs(draw: st.DrawFn, number: int) -> Sent:
    item: JSON = {"type": "shell_call_output", "id": f"sho_{number}", "call_id": "s", "status": "completed"}
    outputs = []
    sent = Sent(item, {**item, "output": []})
    for place in range(draw(st.integers(1, 2))):
        where = {"item_id": f"sho_{number}", "output_index": number, "command_index": place}
        printed = draw(words)
        output: JSON = {"stdout": printed, "stderr": draw(words), "outcome": {"type": "exit", "exit_code": 0}}
        kind = "response.shell_call_output_content"
        # No delta says how the command ended: only `done` and the item do.
        deltas = [{"type": f"{kind}.delta", "delta": {"stdout": piece}, **where} for piece in pieces(draw, printed)]
        sent.texts.append([Source("done", [*deltas, {"type": f"{kind}.done", "output": [output], **where}])])
        outputs.append(output)
    sent.item = {**item, "output": outputs}
    return sent


@st.composite
def hosted_calls(draw: st.DrawFn, number: int) -> Sent:
    kind = draw(st.sampled_from(["web_search_call", "file_search_call", "image_generation_call"]))
    item = {"type": kind, "id": f"h_{number}", "status": "completed"}
    where = {"item_id": f"h_{number}", "output_index": number}
    steps = [{"type": f"response.{kind}.{status}", **where} for status in ("in_progress", "completed")]
    return Sent(item, {**item, "status": "in_progress"}, [[Source("done", steps)]])


@st.composite
def patches(draw: st.DrawFn, number: int) -> Sent:
    diff = draw(words)
    item = {"type": "apply_patch_call", "id": f"ap_{number}", "call_id": "p", "status": "completed"}
    operation = {"type": "create_file", "path": "x"}
    where = {"item_id": f"ap_{number}", "output_index": number}
    texts = [text_sources(draw, "apply_patch_call_operation_diff", "diff", diff, where, None, "")]
    added = {**item, "operation": {**operation, "diff": ""}, "status": "in_progress"}
    return Sent({**item, "operation": {**operation, "diff": diff}}, added, texts)


KINDS = [messages, messages, calls, calls, reasonings, shell_calls, shell_outputs, hosted_calls, patches]


def interleaved(draw: st.DrawFn, streams: list[list[JSON]]) -> list[JSON]:
    """Merge the events of all items; each item's own events stay in order."""
    if not draw(st.booleans()):
        return [event for stream in streams for event in stream]
    queues = [list(stream) for stream in streams]
    merged = []
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        merged.append(queue.pop(0))
    return merged


@st.composite
def streams(draw: st.DrawFn) -> tuple[JSON, list[JSON], bool]:
    """Draw a response, and its events without some that repeat others; and whether the order is that of the items."""
    items = [draw(draw(st.sampled_from(KINDS))(number)) for number in range(draw(st.integers(0, 3)))]
    response = {"id": "r", "status": "completed", "output": [sent.item for sent in items], "usage": USAGE}
    output_sent = draw(st.booleans())
    in_order = True
    streams = []
    for sent in items:
        has_done = draw(st.booleans())
        is_hollow = has_done and draw(st.booleans())  # some servers send an item without its content
        has_added = draw(st.booleans()) or not (output_sent or has_done)
        stream = [{"type": "response.output_item.added", "output_index": index_of(sent, items), "item": sent.added}]
        stream = stream if has_added else []
        told = output_sent or (has_done and not is_hollow)
        for sources in sent.texts:
            kept = [source for source in sources if draw(st.booleans())]
            if not kept and not told:
                kept = [draw(st.sampled_from(sources))]
            in_order = in_order and bool(kept)
            stream += [event for source in kept for event in source.events]
        if has_done:
            item = {**sent.added, "status": "completed"} if is_hollow else sent.item
            stream.append({"type": "response.output_item.done", "output_index": index_of(sent, items), "item": item})
        streams.append(stream)
    before = interleaved(draw, streams)
    one_by_one = before == list(chain(*streams))
    in_order = in_order and one_by_one
    merged = addressed(draw, before, one_by_one)
    created = {"type": "response.created", "response": {"id": "r", "status": "in_progress"}}
    events = [created, *[created] * draw(st.integers(0, 1)), *merged]
    if draw(st.booleans()) and len(events) > 2:
        events[0], events[1] = events[1], events[0]  # a delta before `created`
    end = dict(response)
    if not output_sent:
        end["output"] = draw(st.sampled_from([[], None, "missing"]))
        if end["output"] == "missing":
            del end["output"]
    return response, [*events, {"type": "response.completed", "response": end}], in_order


def addressed(draw: st.DrawFn, events: list[JSON], one_by_one: bool) -> list[JSON]:
    """Give the events the ids and the indexes of servers that are careless with one of the two."""
    announced = {event["item"]["id"] for event in events if event["type"] == "response.output_item.added"}
    # Without an index, the id tells two items apart, and only `added` tells a new item from a new id of the same.
    can_omit = one_by_one and all(
        event.get("item_id", event.get("item", {}).get("id")) in announced for event in events
    )
    # Not both without ids and from one: then only content tells items apart, and `pair` does not compare all content,
    # such as the commands of shell calls.  `test_merging.py` has that for parts.
    ways = ["full", "rotating ids", "no ids", "from one"]
    way = draw(st.sampled_from([*ways, *["no indexes"] * can_omit]))
    changed = []
    for number, event in enumerate(events):
        event = dict(event)
        if way == "rotating ids" and "item_id" in event:
            event["item_id"] = f"rotating_{number}"
        elif way == "no ids":
            event.pop("item_id", None)
        elif way == "from one":
            event["output_index"] += 1
        elif way == "no indexes" and (event.get("item_id") or event.get("item")):
            del event["output_index"]
        changed.append(event)
    return changed


def index_of(sent: Sent, items: list[Sent]) -> int:
    return next(index for index, item in enumerate(items) if item is sent)


def comparable(response: Response) -> JSON:
    """Return the data of a response without fields that were never sent, and without empty lists."""

    def pruned(data: Any) -> Any:
        if isinstance(data, dict):
            return {name: pruned(value) for name, value in data.items() if value not in (None, [], {})}
        return [pruned(value) for value in data] if isinstance(data, list) else data

    data: JSON = pruned(response.to_dict())
    return data


def read(events: list[JSON]) -> list[ServerEvent]:
    return [decode(encode(event)) for event in events]


@given(streams())
@settings(max_examples=examples(300))
def test_scenario_60_whatever_a_server_leaves_out_the_result_is_the_same(case: tuple[JSON, list[JSON], bool]) -> None:
    sent, data, in_order = case
    expected = event_from({"type": "response.completed", "response": sent}).response  # type: ignore[attr-defined]
    events = read(data)

    [final] = run(final_response(), *events).values
    assert comparable(final) == comparable(expected)
    assert comparable(run(accumulate_response(), *events).values[-1]) == comparable(expected)
    text = expected.output_text
    assert run(collect_text(), *events).values == [text]
    assert (run(accumulate_text(), *events).values or [""])[-1] == text
    deltas = run(text_deltas(), *events).values
    assert all(deltas)
    assert sorted("".join(deltas)) == sorted(text)
    if in_order:
        assert "".join(deltas) == text
    assert run(usage(), *events).values == [expected.usage]


@given(streams())
@settings(max_examples=examples(300))
def test_scenario_61_each_call_is_emitted_once(case: tuple[JSON, list[JSON], bool]) -> None:
    sent, data, _ = case
    calls = [item for item in sent["output"] if item["type"] == "function_call"]
    expected = [(item["id"], item["call_id"], item["arguments"]) for item in calls]
    found = run(function_calls(), *read(data)).values

    assert sorted((call.id, call.call_id, call.arguments) for call in found) == sorted(expected)

"""A model of servers of many makes: what their answers are, and the frames that tell them.

A `Habits` says how a server behaves on all its connections.  An `Answer` is what it answers to one request: the frames,
and what a client must make of them.  A generator of random numbers draws both: the same seed draws the same server, in
each run.  (Hypothesis also draws constants that it finds in the modules which happen to be imported.)  Each text
contains the number of its request, so that a test finds an event that reaches the wrong request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .events import HEARTBEAT_TYPES

JSON = dict[str, Any]
Step = list[JSON]
"""Events of one item that stay together."""

LANES: list[str | None] = [None, "a", "b", "c"]
CODE = "invalid_prompt"  # no client sends a request again for it
OTHER_FRAMES = ["null", "{broken", '{"type": "rate_limits.updated", "rate_limits": []}', "[]"]
ENDS = {
    "official": ["completed", "incomplete", "cut", "cancelled", "canceled"],
    "done": ["done", "bare"],
    "object": ["object"],
    "finished": ["finished"],
}
"""The ways in which responses end: those that one server uses are in one list."""
ERROR_ENDS = [
    *("error", "flat error", "response.error", "untyped error", "odd error", "text error"),
    *("detail", "gateway", "failed", "failed status", "error and failed"),
]


@dataclass(frozen=True)
class Habits:
    """How a server behaves.

    `ends` are the ways in which its responses end.  `echoes`: it puts `stream_id` on the events of named lanes and runs
    lanes side by side.  `ids` says which ids its lifecycle events have, `begin` how its responses begin, `item_ids` and
    `indexes` how its events name items, `first_part` the content index of the first part.
    `interleaves`: the events of several items come mixed.  `repeats`: events come twice, where that says nothing new.
    `heartbeats`: frames that belong to no response come anywhere.  `strays`: events of an ended response come late.
    `careless_numbers`: integers as `0.0`, times as text.
    """

    ends: list[str]
    echoes: bool = True
    ids: str = "own"
    begin: str = "created"
    item_ids: str = "own"
    indexes: str = "own"
    first_part: int = 0
    interleaves: bool = False
    repeats: bool = False
    heartbeats: bool = False
    strays: bool = False
    careless_numbers: bool = False


def coin(random: Random) -> bool:
    """Draw a truth value."""
    return random.random() < 0.5


def draw_habits(random: Random) -> Habits:
    """Draw the habits of a server."""
    ids = random.choice(["own", "own", "own", "other end", "empty end", "same end", "first end", "same", "new", "none"])
    begin = random.choice(["created", "created", "in_progress", "nothing", "late created"])
    kinds = [*ENDS.values()]
    # Where all terminal events have the same id, `response.done` behind `response.completed` may be a second end of the
    # same response, or the only event of the next response.  Nothing tells which, so the model has no such server that
    # ends some responses by `response.completed` and others by `response.done`.
    if ids in ("own", "other end", "new") and begin != "nothing":
        kinds.append([end for ends in ENDS.values() for end in ends])
    # Only the index tells an item whose id is new in each event.
    item_ids = random.choice(["own", "own", "none", "new"])
    indexes = "own" if item_ids == "new" else random.choice(["own", "own", "from one", "none"])
    # A late event can be told from one of the next response only by an id, or by the way in which responses begin.
    may_stray = ids == "own" and item_ids != "new" and begin in ("created", "in_progress")
    return Habits(
        ends=random.choice(kinds),
        echoes=ids != "first end" and coin(random),  # else the id is that of a response on another lane
        ids=ids,
        begin=begin,
        item_ids=item_ids,
        indexes=indexes,
        first_part=random.choice([0, 0, 90]),
        interleaves=coin(random),
        repeats=coin(random),
        heartbeats=coin(random),
        strays=may_stray and coin(random),
        careless_numbers=coin(random),
    )


@dataclass
class Answer:
    """The answer to one request: its frames, and what a client must make of them.

    `strays` are late frames of the ended response.  `close` is the close code and reason by which the connection ends
    instead.  `text` is the text of all messages, `calls` are the call ids and arguments of the function calls, `tokens`
    is the count that the server tells.  `failed`: the answer is an error.  `began`: events of the response come before
    its terminal event.  `in_order`: the texts are told in the order of the items.  `sent` counts the frames sent.
    """

    number: int
    frames: list[JSON | str] = field(default_factory=list)
    strays: list[JSON] = field(default_factory=list)
    close: tuple[int, str] | None = None
    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    tokens: int | None = None
    failed: bool = False
    began: bool = False
    in_order: bool = True
    sent: int = 0

    @property
    def response_id(self) -> str:
        """The id of the response, where it has one of its own."""
        return f"resp_{self.number}"


@dataclass
class _Item:
    """An item: as it is at the end, as it is announced, and the steps of its stream."""

    item: JSON
    added: JSON
    texts: list[list[Step]] = field(default_factory=list)  # of each text, all sources
    steps: list[Step] = field(default_factory=list)
    told: bool = False


class _Maker:
    """Makes the frames of one answer."""

    def __init__(self, random: Random, habits: Habits, answer: Answer, end: str) -> None:
        self.random = random
        self.habits = habits
        self.answer = answer
        self.end = end
        self.counted = 0

    # Items.

    def words(self, item: int, part: int) -> list[str]:
        """The deltas of a text."""
        words = [f"q{self.answer.number}.{item}{part}{at} " for at in range(self.random.randint(1, 3))]
        if coin(self.random):
            words[-1:] = [words[-1] + "\ud83c", "\udf89"]  # a character that is cut in two
        return words

    def sources(self, kind: str, name: str, words: list[str], where: JSON, part: JSON | None) -> list[Step]:
        """The sources of one text: deltas, the whole text, the finished part."""
        text = whole("".join(words))
        deltas: Step = [{"type": f"response.{kind}.delta", "delta": word, **where} for word in words]
        steps = [deltas, [{"type": f"response.{kind}.done", name: text, **where}]]
        if part is not None:
            steps.append([{"type": "response.content_part.done", "part": part, **where}])
        return steps

    def message(self, number: int) -> _Item:
        content: list[JSON] = []
        made = _Item({}, {})
        for place in range(self.random.randint(1, 2)):
            words = self.words(number, place)
            part = {"type": "output_text", "text": whole("".join(words)), "annotations": []}
            index = self.habits.first_part + place
            where = {"item_id": f"msg_{self.answer.number}_{number}", "output_index": number, "content_index": index}
            made.texts.append(self.sources("output_text", "text", words, where, part))
            content.append(part)
        item = {"type": "message", "id": f"msg_{self.answer.number}_{number}", "role": "assistant"}
        made.item = {**item, "status": "completed", "content": content}
        made.added = {**item, "status": "in_progress", "content": []}
        self.answer.text += "".join(part["text"] for part in content)
        return made

    def call(self, number: int) -> _Item:
        words = self.words(number, 0)
        arguments = whole("".join(words))
        item = {"type": "function_call", "id": f"fc_{self.answer.number}_{number}", "name": "f"}
        item["call_id"] = self.random.choice(["call_a", "call_b"])
        where = {"item_id": item["id"], "output_index": number}
        texts = [self.sources("function_call_arguments", "arguments", words, where, None)]
        self.answer.calls.append((item["call_id"], arguments))
        done = {**item, "arguments": arguments, "status": "completed"}
        return _Item(done, {**item, "arguments": "", "status": "in_progress"}, texts)

    def items(self) -> list[_Item]:
        """The items of the answer.  A response that is cut short has no calls, because they may be cut short too."""
        may_call = self.end in ("completed", "done", "finished", "object", "bare")
        kinds = [self.message, self.call] if may_call else [self.message]
        return [self.random.choice(kinds)(number) for number in range(self.random.randint(0, 2))]

    # What is told of them.

    def tell(self, items: list[_Item], in_end: bool) -> None:
        """Choose the sources that the server sends; each text is in one of them at least."""
        for number, made in enumerate(items):
            has_done = coin(self.random)
            is_hollow = has_done and coin(self.random)
            told = in_end or (has_done and not is_hollow)
            done = [{"type": "response.output_item.done", "output_index": number, "item": made.item}]
            if is_hollow:
                done[0]["item"] = {**made.added, "status": "completed"}
            # Without a source that has the whole item, `added` tells the call id, the name, or that there is an item.
            if not (in_end or has_done) or coin(self.random):
                added = {"type": "response.output_item.added", "output_index": number, "item": made.added}
                made.steps.append([added])
            tail = [done] if has_done else []
            for sources in made.texts:
                kept = self.random.randint(0 if told else 1, 2 ** len(sources) - 1)
                steps = [step for bit, step in enumerate(sources) if kept >> bit & 1]
                if kept & 1:
                    made.steps.append(steps.pop(0))
                else:
                    self.answer.in_order = self.answer.in_order and bool(kept) and len(made.texts) < 2
                tail[:0] = steps
            if self.habits.first_part == 0 and coin(self.random):
                self.random.shuffle(tail)  # some servers send the finished item before its whole texts
                self.answer.in_order = self.answer.in_order and len(tail) < 2
            made.steps += tail

    def stream(self, items: list[_Item]) -> Step:
        """The events of all items, in an order that servers may send them in."""
        queues = [[event for step in made.steps for event in step] for made in items]
        if not self.habits.interleaves:
            events = [event for queue in queues for event in queue]
        else:
            self.answer.in_order = self.answer.in_order and len(queues) < 2
            events = []
            while queues := [queue for queue in queues if queue]:
                events.append(self.random.choice(queues).pop(0))
        announced = {event["item"]["id"] for event in events if event["type"] == "response.output_item.added"}
        named = all(event.get("item_id") in announced for event in events if "item_id" in event)
        one_by_one = not self.habits.interleaves or len(items) < 2
        events = [self.addressed(event, named and one_by_one) for event in events]
        if self.habits.repeats:
            events = [again for event in events for again in self.repeated(event)]
        return events

    def repeated(self, event: JSON) -> Step:
        is_whole = not event["type"].endswith((".delta", ".added"))
        return [event] * (1 + (is_whole and self.random.random() < 0.3))

    def addressed(self, event: JSON, may_omit: bool) -> JSON:
        """Give an event the ids and indexes of this server."""
        event = dict(event)
        self.counted += 1
        if "item_id" in event and self.habits.item_ids == "none" and self.habits.indexes != "none":
            del event["item_id"]
        elif "item_id" in event and self.habits.item_ids == "new" and self.habits.indexes != "none":
            event["item_id"] = f"new_{self.answer.number}_{self.counted}"
        if self.habits.indexes == "from one":
            event["output_index"] += 1
        elif self.habits.indexes == "none" and may_omit:
            del event["output_index"]
        if self.habits.careless_numbers:
            event |= {name: float(event[name]) for name in ("output_index", "content_index") if name in event}
        return event

    # The response.

    def response(self, status: str, *, at_end: bool = False, **fields: Any) -> JSON:
        ids = self.habits.ids
        self.counted += 1
        own = self.answer.response_id
        known = {"same": "resp", "new": f"{own}_{self.counted}", "none": ""}.get(ids, own)
        if at_end:
            ends = {"other end": f"{own}_end", "empty end": "", "same end": "end", "first end": "resp_0"}
            known = ends.get(ids, known)
        response: JSON = {"id": known, "object": "response", "status": status, **fields}
        if self.habits.careless_numbers:
            response |= {"created_at": "2026-01-01T00:00:00Z", "max_output_tokens": 100.0}
        return response

    def begin(self) -> Step:
        created = {"type": "response.created", "response": self.response("in_progress")}
        in_progress = {"type": "response.in_progress", "response": self.response("in_progress")}
        found = {"created": [created], "in_progress": [in_progress]}.get(self.habits.begin, [])
        if found and self.habits.repeats and self.random.random() < 0.3:
            found.append(self.random.choice([found[0], in_progress]))
        return found

    def usage(self) -> JSON:
        self.answer.tokens = self.random.choice([None, 0, 7])
        if self.answer.tokens is None:
            return {}
        count = float(self.answer.tokens) if self.habits.careless_numbers else self.answer.tokens
        return {"usage": {"input_tokens": count, "output_tokens": 0, "total_tokens": count}}

    def ending(self, items: list[_Item], in_end: bool) -> JSON:
        """The terminal event."""
        if self.end in ERROR_ENDS:
            return self.error()
        if self.end == "bare":
            return {"type": "response.done"}
        status = {"incomplete": "incomplete", "cut": "incomplete", "canceled": "cancelled"}.get(self.end, "completed")
        status = "cancelled" if self.end == "cancelled" else status
        nothing: list[JSON] = [{}, {"output": []}, {"output": None}]
        told = {"output": [made.item for made in items]} if in_end else self.random.choice(nothing)
        response = self.response(status, at_end=True, **told, **self.usage())
        if self.end == "object":
            return response
        kind = {"cut": "completed"}.get(self.end, self.end)
        return {"type": f"response.{kind}", "response": response}

    def error(self) -> JSON:
        """The terminal event of an answer that fails."""
        self.answer.failed = True
        error = {"type": "invalid_request_error", "code": CODE, "message": "no"}
        failed = self.response("failed", at_end=True, error=error)
        if self.end == "error and failed":
            self.answer.strays.append({"type": "response.failed", "response": failed})
        found: dict[str, JSON] = {
            "flat error": {"type": "error", "code": CODE, "message": "no", "param": None},
            "response.error": {"type": "response.error", "error": error},
            "untyped error": {"error": error},
            "odd error": {"type": "server.exception", "error": error},
            "text error": {"error": f"{CODE}: no"},
            "detail": {"detail": f"{CODE}: no"},
            "gateway": {"message": f"{CODE}: no", "connectionId": "c", "requestId": "r"},
            "failed": {"type": "response.failed", "response": failed},
            "failed status": {"type": "response.done", "response": failed},
        }
        return found.get(self.end, {"type": "error", "status": 400, "error": error})

    def make(self) -> None:
        items = self.items()
        in_end = self.end not in (*ERROR_ENDS, "bare") and coin(self.random)
        self.tell(items, in_end)
        stream = self.stream(items)
        if self.end in ERROR_ENDS:
            stream = stream[: self.random.randint(0, len(stream))]
        begin = self.begin()
        if self.end in ERROR_ENDS and not stream and coin(self.random):
            begin = []  # refused
        if not (begin or stream) and self.end in ("failed", "failed status", "bare"):
            # Behind a refusal, such an end would be that of the refused request.
            self.end = "done" if self.end == "bare" else "error"
        if self.habits.begin == "late created" and stream:
            stream.insert(1, {"type": "response.created", "response": self.response("in_progress")})
        end = self.ending(items, in_end)
        self.answer.began = bool(begin or stream)
        self.answer.in_order = self.answer.in_order and not (in_end and self.habits.indexes == "none")
        events: list[JSON | str] = [*begin, *stream, end]
        if self.habits.strays:
            self.answer.strays += self.late(stream, end)
        if self.habits.heartbeats:
            events = [frame for event in events for frame in (*self.heartbeats(), event)]
        self.answer.frames = events

    def late(self, stream: Step, end: JSON) -> Step:
        """Events of the response that come after its end."""
        late: Step = []
        texts = [event for event in stream if event["type"].endswith((".delta", ".done"))]
        if texts and coin(self.random):
            late.append(self.random.choice(texts))
        if self.end in ("completed", "incomplete", "cut") and coin(self.random):
            late.append({**end, "type": self.random.choice([end["type"], "response.done"])})
        return late

    def heartbeats(self) -> list[JSON | str]:
        if self.random.random() > 0.3:
            return []
        found: list[JSON | str] = [*({"type": kind} for kind in HEARTBEAT_TYPES), *OTHER_FRAMES]
        return [self.random.choice(found)]


def whole(text: str) -> str:
    """Join the halves of characters."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def draw_answer(random: Random, habits: Habits, number: int) -> Answer:
    """Draw the answer to one request."""
    answer = Answer(number)
    ends = habits.ends * (1 + 2 * len(ERROR_ENDS) // len(habits.ends)) + ERROR_ENDS
    end = random.choice([*ends, "close"])
    is_told = habits.ids == "own" or (habits.ids not in ("new", "same") and habits.begin in ("created", "in_progress"))
    if "failed" in end and not is_told:
        end = "error"  # nothing tells whose failure it is, or whose end the next one
    if habits.ids == "first end" and "failed" in end:
        end = "error"  # behind an `error`, a failure with the id of an ended response is of that response
    _Maker(random, habits, answer, "completed" if end == "close" else end).make()
    if end == "close":
        del answer.frames[random.randint(0, len(answer.frames) - 1) :]
        answer.close = random.choice([(1000, ""), (1001, "restart"), (1011, "internal"), (1012, "")])
        answer.strays.clear()
    return answer


def tagged(frame: JSON | str, lane: str | None, *, echoes: bool) -> str:
    """Return a frame as text, with the name of its lane if the server echoes it."""
    if isinstance(frame, str):
        return frame
    return json.dumps({**frame, "stream_id": lane} if echoes and lane is not None else frame)

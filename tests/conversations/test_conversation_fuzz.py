"""Conversations and their branches at random, with faults: what the model is given is always the whole history."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rxresponses import Conversation
from rxresponses.testing import Close, Expire, Failure, Fault, FunctionCall, Reasoning, Request, ResponsesServer
from rxresponses.wire.requests.sent import plain_json

from ..effort import examples
from ..support.recorder import Recorder
from .talk import drop, talk

FAULTS: list[Any] = [
    *(Close(1006, after=0), Close(1011, after=3), Expire(after=4)),
    *(Failure(after=2), Failure("invalid_prompt", after=0), Failure("previous_response_not_found", after=0)),
]


def key(item: Any) -> tuple[Any, ...]:
    """Return what an item says, however it is written."""
    data = plain_json(item)
    if data["type"] != "message":
        return data["type"], data.get("call_id") or data.get("id")
    content = data["content"]
    return data["role"], content if isinstance(content, str) else content[0]["text"]


class Talk:
    """Conversations on one sender, and what the server has given to the model."""

    def __init__(self, server: ResponsesServer, sender: Any, rng: random.Random, **settings: Any) -> None:
        self.server = server
        self.sender = sender
        self.rng = rng
        self.given: dict[int, list[Any]] = {}  # by the number of the request
        self.count = 0
        self.chats = [Conversation(sender, model="m", **settings)]
        server.on(lambda request: True, self.reply)
        for number, what in enumerate(FAULTS):
            server.fault(Fault(what, probability=0.06, seed=rng.randrange(1000) + number))

    def reply(self, request: Request) -> Any:
        self.given[request.number] = list(request.items)
        kind = request.number % 4
        answer = f"answer {request.number}"
        return [[Reasoning("hm"), answer], answer, answer, FunctionCall("look", call_id=f"call_{request.number}")][kind]

    def input(self, chat: Conversation) -> list[Any]:
        self.count += 1
        items = [plain_json(item) for item in chat.history]
        answered = {item["call_id"] for item in items if item["type"] == "function_call_output"}
        calls = [item["call_id"] for item in items if item["type"] == "function_call"]
        outputs = [
            {"type": "function_call_output", "call_id": call_id, "output": "seen"}
            for call_id in calls
            if call_id not in answered
        ]
        return [*outputs, {"type": "message", "role": "user", "content": f"question {self.count}"}]

    # What may happen.

    def turn(self) -> None:
        chat = self.rng.choice(self.chats)
        self.check(chat, talk(chat, self.input(chat), **self.rng.choice([{}, {}, {}, {"temperature": 0.5}])))

    def turns_at_once(self) -> None:
        chats = self.rng.sample(self.chats, min(3, len(self.chats)))
        turns = [Recorder(chat.send(self.input(chat))) for chat in chats]
        for chat, turn in zip(chats, turns, strict=True):
            self.check(chat, turn.wait())

    def fork(self) -> None:
        if len(self.chats) < 6:
            self.chats.append(self.rng.choice(self.chats).fork())

    def forget(self) -> None:
        if len(self.chats) > 1:
            self.chats.pop(self.rng.randrange(len(self.chats)))

    def dispose(self) -> None:
        chat = self.rng.choice(self.chats)
        before = chat.history
        count = self.rng.randrange(1, 4)
        turn = Recorder(chat.send(self.input(chat)))
        turn.wait(lambda: turn.ended or len(turn.values) >= count)
        turn.subscription.dispose()
        assert len(chat.history) >= len(before)

    def edit(self) -> None:
        chat = self.rng.choice(self.chats)
        questions = [number for number, item in enumerate(chat.history) if key(item)[0] == "user"]
        chat.replace_history(chat.history[self.rng.choice([*questions, 0]) :])

    def lose(self) -> None:
        drop(self.server, self.sender)

    def restore(self) -> None:
        number = self.rng.randrange(len(self.chats))
        self.chats[number] = Conversation.from_json(self.chats[number].to_json(), self.sender)

    def check(self, chat: Conversation, turn: Recorder[Any]) -> None:
        end = turn.values[-1]
        if end.type != "response.completed":
            return
        exchange = next(one for one in self.server.exchanges if one.response_id == end.response.id)
        seen = [*self.given[exchange.number], *end.response.output]
        history = [item for item in chat.history if not is_left_out(item, seen)]
        assert [key(item) for item in seen] == [key(item) for item in history]


def is_left_out(item: Any, seen: list[Any]) -> bool:
    """Whether this is reasoning that could not be sent back, since nobody had stored it."""
    data = plain_json(item)
    if data["type"] != "reasoning" or data.get("encrypted_content"):
        return False
    return key(item) not in map(key, seen)


@pytest.mark.parametrize("kind", ["socket", "client"])
@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("seed", range(examples(10)))
def test_the_model_is_always_given_the_whole_history(
    server: ResponsesServer, request: pytest.FixtureRequest, kind: str, store: bool, seed: int
) -> None:
    rng = random.Random(f"{seed}/{kind}/{store}")
    talks = Talk(server, request.getfixturevalue(kind), rng, store=store)
    often = [talks.turn] * 6 + [talks.turns_at_once] * 4 + [talks.fork] * 3
    ways = [*often, talks.forget, talks.dispose, talks.edit, talks.lose, talks.restore]
    for _ in range(max(20, examples(40))):
        rng.choice(ways)()
    assert talks.given

"""Conversations that are saved, and go on in another process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from rxresponses import (
    ConfigurationError,
    Conversation,
    DecodeError,
    FunctionTool,
    ResponsesClient,
    ResponsesWebSocket,
    ResponseTextConfig,
    tool,
)
from rxresponses.testing import Raw, ResponsesServer

from ..support.events import completed
from ..support.events import created as created_event
from ..support.frames import created
from .chains import user
from .scripted_sender import ScriptedSender
from .talk import parents, reasons, said, talk, text_of

MCP: dict[str, Any] = {
    "type": "mcp",
    "server_label": "docs",
    "server_url": "https://x/sse?key=sesame-1",
    "authorization": "sesame-2",
    "headers": {"x-api-key": "sesame-3"},
}


EMPTY = '{"version":1,"settings":{},"withheld":[],"usage":{},"chain":{}}'


@tool
def look(name: str) -> str:
    """Look something up."""
    return name


def restored(chat: Conversation, sender: Any, **settings: Any) -> Conversation:
    return Conversation.from_json(chat.to_json(), sender, **settings)


@pytest.mark.parametrize("store", [True, False])
def test_it_goes_on(server: ResponsesServer, client: ResponsesClient, store: bool) -> None:
    with ResponsesWebSocket(server.url) as socket:
        chat = Conversation(socket, model="m", store=store, instructions="be brief")
        talk(chat, "a")
        talk(chat, "b")
    again = restored(chat, client)
    assert dict(again.settings) == dict(chat.settings)
    assert again.usage == chat.usage
    assert [text_of(item) for item in again.history] == [text_of(item) for item in chat.history]
    assert again.last_response is None
    lost = [] if store else ["the conversation was restored, and its parent is lost"]
    assert reasons(talk(again, "c")) == lost
    assert parents(server) == [None, 1, 2 if store else None]
    if not store:
        assert len(said(server)[2]) == 5
    assert reasons(talk(again, "d")) == []


def test_a_setting_may_be_given_anew(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    chat = Conversation(socket, model="m")
    talk(chat, "a")
    assert reasons(talk(restored(chat, socket, temperature=1), "b")) == ["settings have changed: temperature"]


def test_unknown_items_and_fields_are_saved(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    odd = {"type": "new_kind", "id": "x_1", "payload": {"deep": [1, None], "text": "\ud83c half"}}
    done = {"type": "response.completed", "response": {"id": "resp_odd", "output": [odd]}}
    server.reply(Raw([json.dumps(created("resp_odd")), json.dumps(done)]), "B")
    chat = Conversation(socket, model="m")
    talk(chat, [user("a") | {"odd": 1}])
    again = restored(chat, socket)
    talk(again, "b", temperature=1)
    assert server.requests[-1]["input"][:2] == [user("a") | {"odd": 1}, odd]


@dataclass
class Point:
    x: int


@dataclass
class Place:
    name: str


@pytest.mark.parametrize("verbosity", [{}, {"text": {"verbosity": "low"}}, {"text": ResponseTextConfig()}])
def test_the_type_of_the_answer_is_saved_and_may_be_given_again(verbosity: dict[str, Any]) -> None:
    events = [created_event(), completed()]
    chat = Conversation(ScriptedSender(events), model="m", text_format=Point, **verbosity)
    talk(chat, "a")
    for kind in (None, Point, Place):
        sender = ScriptedSender(events, events, events)
        again = restored(chat, sender, **({} if kind is None else {"text_format": kind}))
        assert bool(reasons(talk(again, "b"))) == (kind is Place)
        talk(again, "c", text_format=None)
        talk(again, "d", text={"format": {"type": "json_object"}})
        names = [request.get("text", {}).get("format", {}).get("name") for request in sender.requests]
        assert names == [getattr(kind, "__name__", "Point"), None, None]
        assert sender.requests[2]["text"]["format"] == {"type": "json_object"}


def test_fields_of_a_newer_service_are_saved() -> None:
    sender = ScriptedSender([created_event(), completed()])
    chat = restored(Conversation(sender, model="m", extra_body={"new_field": {"a": 1}}), sender)
    talk(chat, "a")
    assert sender.requests[0]["new_field"] == {"a": 1}


def test_no_secret_is_saved_and_it_is_asked_for() -> None:
    chat = Conversation(ScriptedSender(), model="m", tools=[MCP], metadata={"a": "b"})
    text = chat.to_json()
    assert "sesame" not in text
    assert "tools" not in json.loads(text)["settings"]
    with pytest.raises(ConfigurationError, match="without `tools`"):
        restored(chat, ScriptedSender())
    assert restored(chat, ScriptedSender(), tools=[MCP]).settings["tools"] == [MCP]


@pytest.mark.parametrize("body", [{"authorization": "sesame"}, {"a": [{"headers": {"x": "sesame"}}]}])
def test_secrets_of_a_newer_service_are_asked_for(body: dict[str, Any]) -> None:
    chat = Conversation(ScriptedSender(), model="m", extra_body=body)
    assert "sesame" not in chat.to_json()
    with pytest.raises(ConfigurationError, match="without `extra_body`"):
        restored(chat, ScriptedSender())
    assert restored(chat, ScriptedSender(), extra_body=body).settings["extra_body"] == body
    sender = ScriptedSender([created_event(), completed()])
    started = talk(restored(chat, sender, extra_body=body), "a").values[0]
    assert "sesame" not in started.to_json()
    assert sender.requests[0].items() >= body.items()


def test_tools_without_secrets_are_saved(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    headers = {"type": "object", "properties": {"headers": {"type": "string"}}}
    function = FunctionTool(name="f", parameters=headers, strict=False)
    chat = Conversation(socket, model="m", tools=[function, {"type": "web_search"}])
    talk(chat, "a")
    again = restored(chat, socket)
    assert again.settings["tools"][0]["parameters"] == headers
    assert reasons(talk(again, "b")) == []


def test_functions_are_asked_for(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    chat = Conversation(socket, model="m", tools=[look], max_turns=3, approve=lambda call: True)
    talk(chat, "a")
    with pytest.raises(ConfigurationError, match="without `approve`, `tools`"):
        restored(chat, socket)
    again = restored(chat, socket, tools=[look], approve=None)
    assert again.settings["max_turns"] == 3
    assert reasons(talk(again, "b")) == []


def test_a_conversation_without_a_model(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    chat = Conversation(socket)
    talk(chat, "a", model="m")
    again = restored(chat, socket)
    assert "model" not in again.settings
    assert reasons(talk(again, "b", model="m")) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2}',
        "[" * 100_000,
        '{"version":1,"settings":{},"withheld":[],"usage":{},"chain":{}}',
    ],
    ids=["nothing", "a list", "empty", "another version", "deep", "no chain"],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match=r"^the (text is|data are) not "):
        Conversation.from_json(text, ScriptedSender())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"items":[', '"items":"\\ud800","_":['),
        ('"settings":{', '"settings":{"of_a_newer_version":1,'),
        ('"settings":{', '"settings":{"temperature":"hot",'),
        ('"settings":{', '"settings":{"max_turns":0,'),
    ],
    ids=["half an emoji", "unknown setting", "wrong setting", "wrong option"],
)
def test_damaged_text_is_refused(old: str, new: str) -> None:
    chat = Conversation(ScriptedSender([created_event(), completed()]), model="m")
    talk(chat, "a")
    with pytest.raises(DecodeError, match=r"^the (text is|data are) not "):
        Conversation.from_json(chat.to_json().replace(old, new, 1), ScriptedSender())


@pytest.mark.parametrize("kind", ["{}", "[]", "5", "null"])
def test_an_item_whose_type_is_damaged_is_no_call(kind: str) -> None:
    chat = Conversation(ScriptedSender([created_event(), completed()]), model="m")
    talk(chat, [user("a")])
    again = Conversation.from_json(chat.to_json().replace('"type":"message"', f'"type":{kind}', 1), ScriptedSender())
    assert len(again.history) == len(chat.history)

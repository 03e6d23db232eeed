"""`rxresponses ask`: stream the answer to a prompt."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, cast

from .arguments import (
    DEFAULT_MODEL,
    add_connection,
    add_instructions,
    add_record,
    add_tools,
    connection_options,
    instructions,
    positive_number,
    sendable,
    start_recording,
)

if TYPE_CHECKING:
    from reactivex import Observable

    from ..wire.events import ServerEvent
    from ..wire.requests import ResponseCreate
    from .approvals import Approvals
    from .screen import Screen


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ask",
        help="stream the answer to a prompt",
        description="Stream the answer to a prompt.  The API key is read from OPENAI_API_KEY.  Without a key and "
        "without a URL, the embedded test server answers.",
        epilog="Exit codes: 0 for an answer, 1 for a failed response or a lost connection (with --schema also for an "
        "answer that is refused, cut or no JSON), 2 for wrong usage, 130 for Ctrl-C.",
    )
    parser.add_argument(
        "prompt",
        metavar="PROMPT",
        nargs="+",
        type=sendable,
        help="the prompt, in one or more words.  A file or pipe on standard input goes along as a document; a pipe "
        "that sends nothing is given up after seconds.  - as a word reads standard input to its end, however long "
        "that takes, and alone it is the prompt",
    )
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, help="the model to ask (default: %(default)s)")
    add_instructions(parser)
    parser.add_argument(
        "--schema",
        metavar="FILE",
        help="the answer is JSON that fits the JSON schema in this file, on one line.  All properties are required of "
        'the model, and none besides; {"strict": false, "schema": ...} leaves the schema as it is',
    )
    add_tools(parser)
    add_connection(parser)
    add_record(parser)
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=positive_number, help="give up when the answer takes longer"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--events", action="store_true", help="show each event: seconds, lane, type, summary")
    form.add_argument("--json", action="store_true", help="write each event as a line of JSON, as it was received")


def run(args: argparse.Namespace) -> int:
    """Write the answer to standard output; return 0, or raise the error of the request."""
    from ..senders.socket import ResponsesWebSocket
    from ..testing.fallback import url_or_embedded_server
    from .approvals import Approvals, terminal_question
    from .screen import Screen

    tools = _tools(args)
    request = _request(args)
    screen, options, approvals = Screen(), connection_options(args), Approvals(terminal_question())
    with url_or_embedded_server(args.url) as url, ResponsesWebSocket(url, options=options) as socket:
        start_recording(socket, args)
        if tools:
            from ..conversations.run_tools import run_tools

            events = run_tools(socket, request, tools, approve=approvals.approve)
        else:
            events = socket.send_request(request)
        try:
            with redirect_stdout(sys.stderr):  # what tools print is no part of the answer
                _show(events, args, screen, approvals)
        except KeyboardInterrupt:
            screen.interrupt()
            raise
        finally:
            screen.end_line()
    return 0


def _tools(args: argparse.Namespace) -> Sequence[Any]:
    if not args.tools:
        return ()
    from ..conversations.toolset import Toolset
    from .tools_module import load_tools

    with redirect_stdout(sys.stderr):
        tools = load_tools(args.tools)
    Toolset(tools)  # raises for what is wrong with them, before standard input is waited for
    return tools


def _request(args: argparse.Namespace) -> ResponseCreate:
    from ..wire.requests import ResponseCreate
    from .schema_file import read_format

    fields: dict[str, Any] = {}
    text = instructions(args)
    if text is not None:
        fields["instructions"] = text
    if args.schema is not None:
        fields["text"] = {"format": read_format(args.schema)}
    # Mistakes in the arguments raise here, before the command waits for standard input.
    ResponseCreate(model=args.model, **fields)
    return ResponseCreate(model=args.model, input=_input(args.prompt), **fields)


def _input(words: Sequence[str]) -> Any:
    """Return the prompt, with standard input as a document where there is one: a further part of the same message."""
    from ..errors import ConfigurationError
    from ..wire.models import ResponseInputText
    from ..wire.requests import user_message
    from .standard_input import read_document, read_prompt

    prompt = " ".join(word for word in words if word != "-")
    document = read_prompt() if "-" in words else read_document() if prompt.strip() else ""
    texts = [text for text in (prompt, document) if text.strip()]
    if not texts:
        raise ConfigurationError("the prompt is empty")
    return texts[0] if len(texts) == 1 else [user_message([ResponseInputText(text=text) for text in texts])]


def _show(events: Observable[ServerEvent], args: argparse.Namespace, screen: Screen, approvals: Approvals) -> None:
    """Write the answer as it comes, or the events, a failing event before its error is raised."""
    from time import monotonic

    from reactivex import operators as ops

    from .. import operators as rops
    from ..conversations.events import ToolApprovalEvent
    from ..errors import ResponseFailedError
    from ..wire.endings import ResponseIncompleteError, ResponseRefusedError
    from .answer import Answer
    from .ending import Ending
    from .event_lines import line_of
    from .schema_file import json_line
    from .values import values

    has_schema, has_events = args.schema is not None, args.events or args.json
    # JSON that fits the schema is in the final answer only, and not in the commentary of the model.
    answer = Answer(_drop, phase="final_answer") if has_schema else Answer(screen.text, screen.end_line)
    ending = Ending()
    start = monotonic()

    def show(offset: float, event: ServerEvent) -> None:
        if args.json:
            screen.json_line(event)
        elif args.events:
            screen.event_line(offset, event)
        elif isinstance(event, ToolApprovalEvent):
            return  # the user is asked, or told why not
        elif (line := line_of(event)) is not None:
            screen.note(line)

    if has_schema:
        events = events.pipe(rops.raise_on_refusal(), rops.raise_on_incomplete())
    timed = events.pipe(rops.raise_on_failure(), ops.map(lambda event: (monotonic() - start, event)))
    try:
        for offset, event in values(timed, args.timeout):
            show(offset, event)
            if isinstance(event, ToolApprovalEvent):
                screen.end_line()
                approvals.decide(event)
            ending.see(event)
            if has_schema or not has_events:
                answer.see(event)
    except (ResponseFailedError, ResponseRefusedError, ResponseIncompleteError) as failure:
        show(monotonic() - start, cast("ServerEvent", failure.event))
        raise
    answer.end()
    for note in ending.notes:
        screen.note(note)
    if has_schema:
        line = json_line(answer.text)
        if not has_events:
            screen.json_text(line)


def _drop(piece: str) -> None:
    """Write no piece of the answer, because only the whole answer can be checked."""

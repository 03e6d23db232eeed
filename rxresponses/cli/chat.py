"""`rxresponses chat`: a conversation at the terminal."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import (
    DEFAULT_MODEL,
    add_connection,
    add_instructions,
    add_record,
    add_tools,
    connection_options,
    instructions,
    positive_number,
    start_recording,
)


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "chat",
        help="talk with a model",
        description="Talk with a model: each line is a message, and lines that begin with / are commands, which /help "
        "lists.  Ctrl-C stops the answer that runs; at the prompt, it clears the line, and a second Ctrl-C "
        "leaves, as Ctrl-D does.  If standard input is no terminal, its lines are sent one after the other.  The "
        "API key is read from OPENAI_API_KEY.  Without a key and without a URL, the embedded test server answers.",
        epilog="Exit codes: 0, or 1 if standard input is no terminal and a message got no answer; 2 for wrong usage, "
        "130 for Ctrl-C.",
    )
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, help="the model to talk with (default: %(default)s)")
    add_instructions(parser)
    add_tools(parser)
    add_connection(parser)
    add_record(parser)
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=positive_number, help="give up an answer that takes longer"
    )
    parser.add_argument("--plain", action="store_true", help="show answers as text, not as Markdown")
    history = parser.add_mutually_exclusive_group()
    history.add_argument(
        "--history",
        metavar="FILE",
        help="the file that keeps the lines for the arrow keys; only its owner may read it (default: "
        "~/.local/state/rxresponses/chat_history)",
    )
    history.add_argument("--no-history", action="store_true", help="keep no lines for later chats")


def run(args: argparse.Namespace) -> int:
    """Talk until the user leaves."""
    from pathlib import Path

    from ..backoff import Backoff
    from ..conversations.conversation import Conversation
    from ..errors import ConfigurationError
    from ..options import PoolOptions
    from ..senders.client import ResponsesClient
    from ..testing.fallback import url_or_embedded_server
    from ..wire.requests import ResponseCreate
    from .approvals import Approvals, terminal_question
    from .branches import Branches
    from .chat_commands import ChatCommands
    from .chat_session import ChatSession
    from .chat_view import ChatView
    from .line_reader import LineReader, default_history
    from .serve import stopped_by_sigterm
    from .stderr import write_line

    settings: dict[str, Any] = {"model": args.model}
    text = instructions(args)
    if text is not None:
        settings["instructions"] = text
    approvals = Approvals(terminal_question())
    tools: dict[str, Any] = {}
    if args.tools:
        from .tools_module import load_tools

        tools = {"tools": load_tools(args.tools), "approve": approvals.approve}
    ResponseCreate(**settings)  # raises for what no request can have, before the first message
    history = None if args.no_history else Path(args.history) if args.history else default_history()
    options = connection_options(args, on_dispose="close")  # Ctrl-C stops the answer at the server, too
    # A user who waits sees an error soon, and can send the message again.
    pool = PoolOptions(backoff=Backoff(max_retries=3, max_retry_after=10.0))
    with url_or_embedded_server(args.url) as url, ResponsesClient(url, options=options, pool=pool) as client:
        start_recording(client, args)
        branches = Branches(Conversation(client, **settings, **tools))

        def load(text: str) -> Conversation:
            try:
                return Conversation.from_json(text, client, **tools)
            except ConfigurationError as error:
                raise ConfigurationError(f"{error}: begin the chat with --tools") from error

        commands = ChatCommands(branches, load)
        reader, view = LineReader(history), ChatView(is_plain=args.plain)
        session = ChatSession(branches, commands, reader, view, approvals, args.timeout)
        if reader.is_interactive:
            write_line(f"talking with {args.model}; /help lists the commands, Ctrl-D leaves")
        with stopped_by_sigterm():  # the terminal gets its cursor back
            session.run()
    return 1 if session.has_failed and not reader.is_interactive else 0

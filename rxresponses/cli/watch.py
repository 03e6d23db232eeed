"""`rxresponses watch`: open the page that draws the streams of a running program."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..inspector.runtime_files import Running


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "watch",
        help="open the page that draws the streams of a running program",
        description="Open the page of a program of this user that calls serve_inspector(client), and write its URL.  "
        "The program serves the page itself, on 127.0.0.1.  The URL holds a token: keep it to yourself.",
    )
    parser.add_argument("pid", metavar="PID", nargs="?", type=int, help="the process, if several have an inspector")
    parser.add_argument("--no-browser", action="store_true", help="only write the URL")


def run(args: argparse.Namespace) -> int:
    """Find the program, write the URL of its page, and open it."""
    import webbrowser

    running = _choose(args.pid)
    print(running.url, flush=True)
    if not args.no_browser:
        # Not the URL itself: a browser is started with it, and all users can see the arguments of programs.
        webbrowser.open(running.file.as_uri())
    return 0


def _choose(pid: int | None) -> Running:
    from ..errors import ConfigurationError
    from ..inspector.runtime_files import running_programs

    found = [running for running in running_programs() if pid is None or running.pid == pid]
    if not found:
        who = "no running program has" if pid is None else f"process {pid} does not run, or has not"
        raise ConfigurationError(f"{who} an inspector: call rxresponses.serve_inspector(client) in it")
    if pid is None and len({running.pid for running in found}) > 1:
        programs = "; ".join(f"{running.pid} ({running.title}, since {running.started})" for running in found)
        raise ConfigurationError(f"several programs have an inspector; name the process: {programs}")
    return found[-1]

"""The command line: which commands there are, and the exit code that each end has.

A command module imports what it needs when the command runs.  So `--help` and wrong usage are answered without
loading the server, the batch or rich.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ..redaction import terminal_line
from . import ask, batch, chat, marbles, serve, watch
from .stderr import drop, end_interrupted_line, logged_errors, replace_closed_streams, unbreakable_stderr, write_line

_FAILED, _WRONG_USAGE, _BUDGET_SPENT, _INTERRUPTED = 1, 2, 3, 130
_COMMANDS = {
    "ask": ask.run,
    "batch": batch.run,
    "chat": chat.run,
    "marbles": marbles.run,
    "serve": serve.run,
    "watch": watch.run,
}


def program() -> int:
    """Run a command as all that this process does, and return its exit code."""
    code = main()
    if f"{__package__}.tools_module" not in sys.modules:
        # At its end Python would look for garbage among all objects of all modules, which takes about 50 ms.  Files
        # that are open in a module of the user may need it: it closes those that are in reference cycles.
        gc.freeze()
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    The code is 0 for success, 1 for a failed response, a lost connection or another error, 2 for wrong usage, 3 for a
    batch that its budget has stopped, 130 for Ctrl-C.  A reader that closes the pipe of standard output early (such as
    `head`) wants no more, so that is success.  Standard error has no influence on the code.
    """
    replace_closed_streams()
    with unbreakable_stderr(), logged_errors():
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    command = None
    try:
        args = _parse(argv)
        command = args.command
        code = _run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        end_interrupted_line()
        return _INTERRUPTED
    except OSError as error:
        if isinstance(error, BrokenPipeError) and command != "batch":  # a batch writes nothing to standard output
            drop(sys.stdout)
            return 0
        return _complain(str(error), _FAILED)
    return code


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="rxresponses", description="The Responses API over WebSocket.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (ask, chat, batch, serve, marbles, watch):
        command.add_parser(commands)
    args = parser.parse_args(argv)
    checks = {"serve": serve.problem_of, "marbles": marbles.problem_of}
    if args.command in checks and (problem := checks[args.command](args)):
        parser.error(problem)
    return args


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with a line about wrong usage; the message may hold an argument of the user as it was typed."""
        super().error(terminal_line(message))


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from ..version import installed_version

        print(f"rxresponses {installed_version() or '(not installed)'}")
        parser.exit()


def _run(args: argparse.Namespace) -> int:
    """Run the command; an error of this package becomes a line of text and an exit code."""
    from ..errors import BudgetExceededError, ConfigurationError, InvalidRequestError, ResponsesError

    try:
        return _COMMANDS[args.command](args)
    except (ConfigurationError, InvalidRequestError) as error:
        return _complain(str(error), _WRONG_USAGE)
    except BudgetExceededError as error:
        return _complain(str(error), _BUDGET_SPENT)
    except ResponsesError as error:
        return _complain(str(error), _FAILED)


def _complain(message: str, code: int) -> int:
    write_line(f"rxresponses: {message}")
    return code

"""`rxresponses marbles`: draw a recording as a marble diagram."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from .arguments import number_from_0

if TYPE_CHECKING:
    from ..marbles.diagram import Diagram
    from ..recording.format import Recording

_FORMATS = {".svg": "svg", ".html": "html", ".htm": "html"}


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "marbles",
        help="draw a recording as a marble diagram",
        description="Draw a recording as a marble diagram: a line for each request, a marble for each event, and a "
        "band where events are too close to each other.  An SVG file is a picture; an HTML file is a page that can be "
        "zoomed and filtered, shows each event as JSON, and needs no network.  A file with one event a line is drawn "
        "as well, with the same distance between all events.",
    )
    parser.add_argument("recording", metavar="RECORDING", help="the file; - is standard input")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="the file to write, .svg or .html; - is standard output",
    )
    parser.add_argument(
        "--format", choices=("svg", "html"), help="what to write (default: by the name of FILE; svg for -)"
    )
    parser.add_argument("--title", help="the title of the diagram (default: the name of the recording)")
    parser.add_argument(
        "--from",
        dest="begin",
        metavar="SECONDS",
        type=number_from_0,
        help="leave out what came earlier; without times in the file, the number of an event",
    )
    parser.add_argument("--to", dest="end", metavar="SECONDS", type=number_from_0, help="leave out what came later")
    parser.add_argument(
        "--lane",
        metavar="NAME",
        action="append",
        help="draw this lane, and no other; may be repeated; the lane without a name is `default`",
    )
    parser.add_argument(
        "--type",
        metavar="TYPE",
        action="append",
        help="draw events of this type or family, such as response.completed or text, and no others; may be repeated",
    )


def problem_of(args: argparse.Namespace) -> str | None:
    """Return why these arguments do not go together, `None` when they do."""
    if args.begin is not None and args.end is not None and args.begin > args.end:
        return "--from is later than --to"
    if args.format is None and args.output != "-" and _suffix(args.output) not in _FORMATS:
        return f"the output {args.output!r} is neither .svg nor .html: choose with --format"
    if _is_same_file(args.recording, args.output):
        return "the output is the recording itself, which the picture would overwrite"
    return None


def _is_same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them does not exist, or is standard input or output
        return False


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def run(args: argparse.Namespace) -> int:
    """Draw the recording."""
    from ..marbles.page import page_of
    from ..marbles.svg import svg_of

    diagram = _diagram(args)
    picture = args.format or _FORMATS.get(_suffix(args.output), "svg")
    _write(args.output, page_of(diagram) if picture == "html" else svg_of(diagram))
    return 0


def _diagram(args: argparse.Namespace) -> Diagram:
    from ..errors import ConfigurationError
    from ..marbles.rows import diagram_of
    from ..marbles.selection import Selection

    recording = _read(args.recording)
    name = "standard input" if args.recording == "-" else args.recording
    if not recording.records:
        raise ConfigurationError(f"nothing to draw: {name} has no records: {recording.why_empty}")
    shift = 0 if recording.has_times else 1  # events without times are counted from 1
    selection = Selection(
        begin=None if args.begin is None else args.begin - shift,
        end=None if args.end is None else args.end - shift,
        lanes=args.lane,
        types=args.type,
    )
    title = args.title if args.title is not None else os.path.basename(name)
    diagram = diagram_of(recording, title=title, selection=selection)
    is_all = selection == Selection()
    if all(row.kind == "connection" for row in diagram.rows) and not (is_all and diagram.rows):
        raise ConfigurationError(f"nothing to draw: {_reason(recording, args)}")
    return diagram


def _reason(recording: Recording, args: argparse.Namespace) -> str:
    """Return why the selection leaves nothing to draw."""
    from ..marbles.selection import choices

    lanes, types = choices(recording)
    for option, wanted, there in (("--lane", args.lane, lanes), ("--type", args.type, types)):
        if wanted and not set(wanted) & set(there):
            return f"{option} {' '.join(wanted)} is not in the recording, which has: {', '.join(there)}"
    return "no event is in the selected time, lanes and types"


def _read(name: str) -> Recording:
    from ..errors import ConfigurationError
    from ..recording.file import load_recording
    from ..recording.reader import read_recording

    try:
        if name != "-":
            return load_recording(name)
        # Opened by its number, standard input is UTF-8 whatever the locale is.
        with open(sys.stdin.fileno(), encoding="utf-8", errors="surrogateescape", newline="\n", closefd=False) as lines:
            return read_recording(lines)
    except OSError as error:
        raise ConfigurationError(f"cannot read the recording: {error}") from error
    except ValueError as error:
        raise ConfigurationError(f"no recording: {error}") from error


def _write(name: str, text: str) -> None:
    from ..errors import ConfigurationError

    if name == "-":
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
        return
    try:
        # Without translated line breaks, which would change the digest of the page's script.
        with contextlib.closing(open(name, "w", encoding="utf-8", newline="")) as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"cannot write the picture: {error}") from error

"""Arguments that several commands have, and the types of their values."""

from __future__ import annotations

import argparse
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..options import ConnectionOptions
    from ..senders.recorded import RecordedSender

DEFAULT_MODEL = "gpt-5.2"


def add_connection(parser: argparse.ArgumentParser, *, servers: str | None = None) -> None:
    """Add the options for the service that answers; `servers` says what several URLs mean, if they may be given."""
    parser.add_argument(
        "--url",
        action="store" if servers is None else "append",
        help="base URL of the API (default: OPENAI_BASE_URL, else the official one)"
        + (f"; {servers}" if servers else ""),
    )
    parser.add_argument(
        "--header",
        metavar="'NAME: VALUE'",
        dest="headers",
        type=_header,
        action="append",
        default=[],
        help="send a header when connecting; may be repeated, and an authorization header replaces the API key",
    )
    parser.add_argument("--ca-file", metavar="FILE", help="trust the certificates of this file (PEM), and no others")
    parser.add_argument(
        "--proxy",
        metavar="URL",
        help="connect through this proxy (default: that of the environment, as HTTPS_PROXY); '' is none",
    )
    parser.add_argument(
        "--allow-insecure-credentials",
        action="store_true",
        help="send the API key also without encryption, to a host that is not this machine",
    )


def add_tools(parser: argparse.ArgumentParser) -> None:
    """Add the option for functions that the model may call."""
    parser.add_argument(
        "--tools",
        metavar="MODULE",
        action="append",
        default=[],
        help="let the model call the tools of this module (a name, or a .py file): its list `tools`, or else all "
        "functions with @tool; may be repeated",
    )


def connection_options(args: argparse.Namespace, **more: Any) -> ConnectionOptions:
    """Return the options of connections that these arguments ask for, and `more` of them."""
    import ssl

    from ..errors import ConfigurationError
    from ..options import ConnectionOptions

    context = None
    if args.ca_file is not None:
        try:
            context = ssl.create_default_context(cafile=args.ca_file)
        except (OSError, ValueError) as error:  # `ssl.SSLError` is an `OSError`
            raise ConfigurationError(f"cannot read the certificates in {args.ca_file}: {error}") from error
    return ConnectionOptions(ssl=context, **connection_fields(args), **more)


def connection_fields(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of `ConnectionOptions` that these arguments ask for, without the certificates."""
    return {
        "headers": dict(args.headers),
        "allow_insecure_credentials": args.allow_insecure_credentials,
        "proxy": True if args.proxy is None else args.proxy,
        "close_timeout": 0.5,  # seconds; a slow server must not delay the end after Ctrl-C
    }


def add_record(parser: argparse.ArgumentParser) -> None:
    """Add the option for a recording."""
    parser.add_argument(
        "--record",
        metavar="FILE",
        help="write what is sent and received to FILE, with the times, as lines of JSON; credentials are hidden.  FILE "
        "must not exist yet",
    )


def start_recording(sender: RecordedSender, args: argparse.Namespace) -> None:
    """Record a sender until it is closed, if the arguments ask for it; raise `ConfigurationError` if it cannot be."""
    from ..errors import ConfigurationError

    if args.record is not None:
        try:
            sender.record(args.record)
        except FileExistsError as error:
            text = f"cannot record: {args.record} exists already; name another file, or remove this one"
            raise ConfigurationError(text) from error
        except OSError as error:
            raise ConfigurationError(f"cannot record: {error}") from error


def add_instructions(parser: argparse.ArgumentParser) -> None:
    """Add the options for the instructions, which go with each request and come before the conversation."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--instructions", metavar="TEXT", type=sendable, help="the instructions (system prompt)")
    form.add_argument("--system", metavar="FILE", help="the same, read from a file")


def instructions(args: argparse.Namespace) -> str | None:
    """Return the instructions that these arguments ask for, `None` for none."""
    given: str | None = args.instructions
    return given if args.system is None else _read_instructions(args.system)


def _read_instructions(path: str) -> str:
    """Return the text of a file; raise `ConfigurationError` if it has none."""
    from ..errors import ConfigurationError
    from .standard_input import text_of

    try:
        with open(path, "rb") as file:
            text = text_of(file.read(), path)
    except OSError as error:
        raise ConfigurationError(f"cannot read the instructions: {error}") from error
    if not text.strip():
        raise ConfigurationError(f"cannot read the instructions: {path} is empty")
    return text


def sendable(text: str) -> str:
    """Return an argument with U+FFFD for each byte that is no text in the encoding of the locale."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (name.strip() and colon):
        raise argparse.ArgumentTypeError("must be NAME: VALUE (not shown: it may be a secret)")
    return name.strip(), value.strip()


def positive_number(text: str) -> float:
    """Return a number of seconds, or a factor, above 0."""
    value = number(text)
    if not 0 < value <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text}")
    return value


def number_from_0(text: str) -> float:
    """Return a number of seconds that may be 0."""
    value = number(text)
    if not 0 <= value <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"must be 0 or a positive number, not {text}")
    return value


def number(text: str) -> float:
    """Return any number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None

"""Arguments that several commands have, and the types of their values."""

from __future__ import annotations

import argparse
import threading

DEFAULT_MODEL = "gpt-5.2"


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add the option for the service that answers."""
    parser.add_argument("--url", help="base URL of the API (default: OPENAI_BASE_URL, else the official one)")


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

"""The dataclasses of all server events: the public names of `rxresponses.wire.events`."""

from .wire.events import *  # noqa: F403 - a front; the names are listed once, in `wire.events`
from .wire.events import __all__ as __all__

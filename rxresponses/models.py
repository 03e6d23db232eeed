"""The dataclasses of responses and their items: the public names of `rxresponses.wire.models`."""

from .wire.models import *  # noqa: F403 - a front; the names are listed once, in `wire.models`
from .wire.models import __all__ as __all__

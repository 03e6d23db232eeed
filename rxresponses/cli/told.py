"""An error of the user's code as one line, with the place where it was raised."""

from __future__ import annotations

import os
import traceback

from ..errors import ResponsesError
from ..raised import named_text, text_of

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def told(error: BaseException) -> str:
    """Return the kind, the text and the place of an error; of an error of this package, the text."""
    if isinstance(error, ResponsesError):
        return text_of(error)
    names = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
    place = f" ({names[-1].filename}, line {names[-1].lineno})" if names else ""
    return f"{named_text(error)}{place}"


def _is_theirs(path: str) -> bool:
    return not path.startswith((_PACKAGE, "<"))

"""`error_line`: an error of the user's code as a text for one line, with the place where it was raised."""

from __future__ import annotations

import os
import traceback

from ..errors import ResponsesError
from ..raised import named_text, text_of

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def error_line(error: BaseException) -> str:
    """Return the type, the text and the place of an error; of an error of this package, the text only."""
    if isinstance(error, ResponsesError):
        return text_of(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_of_user(frame.filename)]
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{named_text(error)}{place}"


def _is_of_user(path: str) -> bool:
    return not path.startswith((_PACKAGE, "<"))

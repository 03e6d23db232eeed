"""Which requests a rule or a fault is for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .arguments import CheckedArguments
from .request import Request

_LONGEST = 100_000  # characters of a text that are searched: some expressions take longer than linear time


@dataclass(frozen=True, kw_only=True)
class When(CheckedArguments):
    """The requests that meet all of the conditions, as the first argument of `ResponsesServer.on`.

    Each condition but `tool` is a regular expression, which is searched in the first 100,000 characters.  An
    expression with repetitions inside of repetitions, such as `(a+)+$`, can still keep the server busy for hours.

    Args:
        message: the pattern of the text of the latest user message.
        tool: the request has to bring the output of a call of this tool.  `shell`, `local_shell`, `apply_patch` and
            `computer` are names too.
        output: the pattern of the output of a call that the request brings; with `tool`, of the output of this tool.
            For an approval of MCP, the output is `approved`, or `denied` and the reason.
        model: the pattern of the name of the model.
        instructions: the pattern of the instructions.

    Raises:
        re.error: if a condition is not a valid regular expression.
    """

    message: str | None = None
    tool: str | None = None
    output: str | None = None
    model: str | None = None
    instructions: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for pattern in (self.message, self.output, self.model, self.instructions):
            if pattern is not None:
                re.compile(pattern)

    def __call__(self, request: Request) -> bool:
        """Return whether a request meets all of the conditions."""
        texts = (
            (self.message, request.text),
            (self.model, str(request.body.get("model") or "")),
            (self.instructions, request.body.get("instructions") or ""),
        )
        if not all(pattern is None or is_found(pattern, text) for pattern, text in texts):
            return False
        if self.tool is None and self.output is None:
            return True
        outputs = [text for name, text in request.tool_outputs if self.tool in (None, name)]
        return any(self.output is None or is_found(self.output, text) for text in outputs)


Match = str | Callable[[Request], bool]
"""Which requests a rule or a fault is for.

A string is a regular expression, which `re.search` has to find in the text of the latest user message.  A
function, or a `When`, receives the request and returns whether it matches.
"""


def matches(match: Match, request: Request) -> bool:
    """Return whether `match` is for `request`."""
    return is_found(match, request.text) if isinstance(match, str) else match(request)


def is_about_messages(match: Match) -> bool:
    """Return whether `match` is a pattern without a condition on the outputs of calls."""
    return isinstance(match, str) or (isinstance(match, When) and match.tool is None and match.output is None)


def is_found(pattern: str, text: str) -> bool:
    """Return whether a regular expression is found in the first 100,000 characters of a text."""
    return re.search(pattern, text[:_LONGEST]) is not None

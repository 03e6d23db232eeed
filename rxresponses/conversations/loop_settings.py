"""The options of a run: its limits, and the function that approves calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigurationError
from ..scalars import take_plain_scalars
from ..structured.function import checked_timeout
from .approvals import Approve
from .toolset import Toolset


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """The options of `run_tools`, which describes them."""

    max_turns: int = 20
    max_concurrent: int = 8
    timeout: float | None = 600.0
    max_tokens: int | None = None
    approve: Approve | None = None
    on_error: Literal["output", "raise"] = "output"
    eager: bool = True

    def __post_init__(self) -> None:
        take_plain_scalars(self)
        for name in ("max_turns", "max_concurrent", "max_tokens"):
            value = getattr(self, name)
            if not (name == "max_tokens" and value is None) and (type(value) is not int or value < 1):
                raise ConfigurationError(f"`{name}` must be an integer from 1, not {value!r}")
        checked_timeout(self.timeout)
        if self.on_error not in ("output", "raise"):
            raise ConfigurationError(f"`on_error` must be 'output' or 'raise', not {self.on_error!r}")
        if type(self.eager) is not bool:
            raise ConfigurationError(f"`eager` must be True or False, not {self.eager!r}")
        if self.approve is not None and not callable(self.approve):
            raise ConfigurationError(
                f"`approve` must be a function that takes a ToolApprovalEvent, not {type(self.approve).__name__}"
            )

    def check(self, tools: Toolset) -> None:
        """Raise `ConfigurationError` if a tool needs approval and there is no `approve`."""
        if self.approve is None and (names := tools.needs_approval):
            raise ConfigurationError(
                f"the tool {names[0]!r} needs approval: pass `approve`, a function that says whether a call may be made"
            )

"""`Limits`: how many requests and tokens a minute may begin."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from ..errors import ConfigurationError
from ..scalars import take_plain_scalars


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a client, each for a minute; `None` is no limit of your own.

    `requests_per_minute` counts the requests that are sent, also those that the server refuses and those sent again.
    `tokens_per_minute` counts the tokens in both directions, and the other two each direction.  Tokens are estimated
    when a request is sent, and corrected when the server tells how many it used.

    Requests are spread over the minute: in any 10 seconds no more than a sixth of a limit begins, and at most one
    request more.  A limit that the server tells, in headers such as `x-ratelimit-limit-requests` or in the message of
    an error, counts where it is lower, and where the field is `None`.  So `Limits()` takes the server's limits only.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        take_plain_scalars(self)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ConfigurationError(f"`{field.name}` must be a positive number, not {value!r}")

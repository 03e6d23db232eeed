"""What services call a limit, a spent quota, and a server that is busy or fails: in codes, in types and in messages.

Each service has codes of its own, but the words in them are the same: `RateLimitReached`, `rate_limit_reached_error`
and `model_rate_limit` are all limits of a rate.  So the words are looked for, in lower case and without anything but
letters and digits.
"""

from __future__ import annotations

import re
from typing import Literal

Reason = Literal["rate limit", "usage limit", "spent", "busy", "failing"]
"""A `usage limit` is that of a plan or a quota, renewed after hours or days, and `spent` is not renewed by itself."""

_NOT_IN_CODES = re.compile(r"[^a-z0-9]")
_CODE_LENGTH = 200  # characters of a code that are searched
_MESSAGE_LENGTH = 2000  # and of a message

# The first that is found counts.  `re` compiles each when it is first used, and keeps it.
_CODES: tuple[tuple[Reason, str], ...] = (
    (
        "spent",
        r"insufficient(?:account)?(?:quota|credit|fund|balance)"
        r"|(?:credit|balance)s?(?:is|are)?(?:too)?(?:low|exhausted|depleted)"
        r"|(?:outof|no)credits|budgetexceeded|exceededbudget|billing(?:hard)?limit|billingnotactive|paymentrequired"
        r"|arrearage|usagenotincluded",
    ),
    (
        "usage limit",
        r"usagelimit|spend(?:ing)?limit|creditlimit|(?<!service)quota(?:limit)?(?:exceeded|exhausted|reached)"
        r"|exceeded(?:your)?current(?:token)?quota|(?:daily|monthly)[a-z]{0,10}limit",
    ),
    (
        "rate limit",
        r"(?:^|http|error|status)429$|ratelimit|limitrequests|toomanyrequests|throttl|resource[a-z]{0,12}exhausted|slowdown"
        r"|(?:request|concurrency)limit(?:exceeded|reached)|^tokenlimitexceeded|per(?:second|minute|hour|day)limit"
        r"|tokensper(?:second|minute|hour|day)|requestsper(?:second|minute|hour|day)|servicequotaexceeded",
    ),
    (
        "busy",
        r"overload|serviceunavailable|temporarilyunavailable|serverbusy|^unavailable$|nocapacity|capacityexceeded"
        r"|modelnotready",
    ),
    (
        "failing",
        r"^servererror$|internal(?:server|service)?(?:error|exception|failure)|^apierror$|badgateway"
        r"|responsealreadyinflight|websocketconnectionlimitreached|websocketqueuefull|websocketstreamlimitreached",
    ),
)
_SPENT_MESSAGE = (
    r"credit balance is too low|insufficient (?:account )?(?:balance|credits?|funds|quota)|exceeded your current quota"
    r"|(?:used (?:all|up)|run out of|out of) (?:your |all )?(?:available |remaining )?credits?|budget has been exceeded"
    r"|(?:spending|billing)(?: hard)? limit"
)
_LIMIT_MESSAGE = r"rate[ -]?limit|too many requests|\bHTTP 429\b"


def reason_of(word: object) -> Reason | None:
    """Return what the code of an error means, or its type; `None` for any other word."""
    if not isinstance(word, str):
        return None
    plain = _NOT_IN_CODES.sub("", word[:_CODE_LENGTH].lower())
    return next((reason for reason, words in _CODES if re.search(words, plain)), None)


def tells_of_spent_quota(message: str) -> bool:
    """Whether the text of an error says that no credit is left, for services that tell it nowhere else."""
    return re.search(_SPENT_MESSAGE, message[:_MESSAGE_LENGTH], re.IGNORECASE) is not None


def tells_of_rate_limit(message: str) -> bool:
    """Whether the text of an error says that there are too many requests."""
    return re.search(_LIMIT_MESSAGE, message[:_MESSAGE_LENGTH], re.IGNORECASE) is not None

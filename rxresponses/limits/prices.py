"""`Prices`: what the tokens of each model cost."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigurationError
from ..scalars import plain_scalar
from ..wire.models import ResponseUsage

# A price in USD for a million tokens, times this, is a whole number for each token, in 10^-12 USD.  Sums of whole
# numbers do not depend on their order, so what is spent is exactly the sum of what was settled.
PER_TOKEN = 10**6
PER_USD = 10**12

_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest)$")
_ANY = "*"
_HIGHEST = 10**9  # price, in USD for a million tokens: more than any, and far from the end of floats


class Price(NamedTuple):
    """What a million tokens of a model cost, in USD.  Reasoning tokens are output tokens."""

    input: float
    cached_input: float
    output: float


class Prices:
    """The prices of models, in USD for a million tokens.

    `models` has a mapping for each model: `{"gpt-4.1": {"input": 2.0, "cached_input": 0.5, "output": 8.0}}`.  Without
    `cached_input`, tokens from the cache cost as much as others.  The price of a name is also that of its dated
    versions, such as `gpt-4.1-2025-04-14`, and of the name behind a provider's, such as `openai/gpt-4.1`.  The name
    `*` has the price of every other model.  `as_of` says of which day the prices are.

    Discounts and surcharges of service tiers (batch, flex, priority), for long contexts and for tools of the server are
    not known here.

    Raises `ConfigurationError` for a price that is no number from 0 on.
    """

    def __init__(self, models: Mapping[str, Mapping[str, float]], *, as_of: str | None = None) -> None:
        if not isinstance(models, Mapping) or not models:
            raise ConfigurationError("prices need `models`: a mapping of the names of models to their prices")
        self.as_of = as_of
        self._prices = {str(name): _price(str(name), fields) for name, fields in models.items()}

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Prices:
        """Read a JSON file: `{"as_of": "2026-01-31", "models": {…}}`; other fields are notes of its author.

        Raises `ConfigurationError` for a file that cannot be read or has no such prices.
        """
        try:
            data = json.loads(Path(path).read_bytes())  # `loads` finds out which UTF it is
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"the prices in {str(path)!r} cannot be read: {error}") from error
        try:
            return cls._of_json(data)
        except ConfigurationError as error:
            raise ConfigurationError(f"the prices in {str(path)!r} cannot be used: {error}") from error

    @classmethod
    def default(cls) -> Prices:
        """Return the prices of some models that this version of the package knows, as of `as_of`.

        Prices change.  Compare them with the service's price list, or load a file of your own.
        """
        return cls.load(Path(__file__).with_name("default_prices.json"))

    @classmethod
    def _of_json(cls, data: Any) -> Prices:
        if not isinstance(data, dict):
            raise ConfigurationError("the file must hold a JSON object with `models`")
        as_of = data.get("as_of")
        return cls(data.get("models", {}), as_of=None if as_of is None else str(as_of))

    def __repr__(self) -> str:
        return f"<Prices of {len(self._prices)} models{f', as of {self.as_of}' if self.as_of else ''}>"

    def find(self, model: str | None) -> Price | None:
        """Return the price of a model, `None` if it is unknown."""
        for name in _names(model):
            if name in self._prices:
                return self._prices[name]
        return self._prices.get(_ANY)

    def price_of(self, model: str | None) -> Price:
        """Return the price of a model; raises `ConfigurationError` for a model without one."""
        price = self.find(model)
        if price is None:
            dated = f" of {self.as_of}" if self.as_of else ""
            named = f"the model {model!r}" if model is not None else "a request that names no model"
            raise ConfigurationError(
                f"the prices{dated} have none for {named}, so a budget in USD cannot be kept, and such a request is "
                "not sent: add its price to a file of prices (`Prices.load`, or `--prices` of the command), or limit "
                'the budget by tokens; "*" in the file is the price of every other model'
            )
        return price

    def cost(self, usage: ResponseUsage, model: str | None) -> float:
        """Return what a response cost, in USD; raises `ConfigurationError` for a model without a price.

        If only the total of the tokens is known, it is priced as output.
        """
        return units_of(usage, self.price_of(model)) / PER_USD


def units_of(usage: ResponseUsage, price: Price) -> int:
    """Return what a response cost, in 10^-12 USD."""
    input_tokens, output_tokens = tokens_of(usage)
    details = usage.input_tokens_details
    cached = min(input_tokens, max(0, (details.cached_tokens or 0) if details is not None else 0))
    return (
        (input_tokens - cached) * round(price.input * PER_TOKEN)
        + cached * round(price.cached_input * PER_TOKEN)
        + output_tokens * round(price.output * PER_TOKEN)
    )


def tokens_of(usage: ResponseUsage) -> tuple[int, int]:
    """Return the input tokens and the output tokens; what only the total has counts as those that are not told.

    Of a mere total, all count as output.
    """
    input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
    rest = (usage.total_tokens or 0) - (input_tokens or 0) - (output_tokens or 0)
    if output_tokens is None:
        output_tokens = rest
    elif input_tokens is None:
        input_tokens = rest
    return max(0, input_tokens or 0), max(0, output_tokens)


def is_known(usage: ResponseUsage | None) -> bool:
    """Whether a server tells in a usage how many tokens were used."""
    return usage is not None and (usage.input_tokens, usage.output_tokens, usage.total_tokens) != (None, None, None)


def _names(model: str | None) -> list[str]:
    if model is None:
        return []
    bare = model.rpartition("/")[2]
    return [model, _DATED.sub("", model), bare, _DATED.sub("", bare)]


def _price(model: str, fields: object) -> Price:
    if not isinstance(fields, Mapping):
        raise ConfigurationError(f"the price of {model!r} must be a mapping with `input` and `output`, not {fields!r}")
    unknown = ", ".join(sorted(map(repr, fields.keys() - set(Price._fields))))
    if unknown:
        raise ConfigurationError(f"the price of {model!r} has {unknown}: it has `input`, `cached_input` and `output`")
    values = {name: plain_scalar(fields.get(name)) for name in Price._fields}
    if values["cached_input"] is None:
        values["cached_input"] = values["input"]
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _HIGHEST:
            raise ConfigurationError(
                f"`{name}` of {model!r} must be USD for a million tokens, from 0 to 10^9, not {value!r}"
            )
    return Price(**values)

"""One part of an output item of a response that is being assembled: its model, and the texts that grow in it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from .base import Model
from .growing_text import GrowingText
from .merging import evolve, merge
from .models import ReasoningText, ResponseOutputRefusal, ResponseOutputText, ShellCommandOutput, SummaryText

_PART_TEXTS: Mapping[type[Model], tuple[str, ...]] = {
    ResponseOutputText: ("text",),
    ResponseOutputRefusal: ("refusal",),
    ReasoningText: ("text",),
    SummaryText: ("text",),
    ShellCommandOutput: ("stdout", "stderr"),
}


class Part:
    """A part of an item: what is known of it, and its texts.  Without a model it is not in the item yet."""

    __slots__ = ("_built", "_indexes", "_source", "annotations", "logprobs", "model", "texts")

    def __init__(self) -> None:
        self.model: Model | str | None = None
        self.texts: dict[str, GrowingText] = {}
        self.annotations: list[Any] = []  # in the order of their indexes, so that a snapshot only copies the list
        self._indexes: list[int] = []  # of the annotations
        self.logprobs: list[Any] = []
        self._built: Any = None
        self._source: Model | None = None  # the model from which `_built` was made

    def text(self, field: str) -> GrowingText:
        text = self.texts.get(field)
        if text is None:
            text = self.texts[field] = GrowingText()
        return text

    def take(self, model: Model | str, *, announced: bool) -> str:
        """Take a part as the server sent it; return the output text that it adds at the end."""
        if isinstance(model, str):
            self.model = ""
            return take_text(self.text("command"), model, announced=announced)
        piece = ""
        for field in _PART_TEXTS.get(type(model), ()):
            if value := getattr(model, field):
                piece = take_text(self.text(field), value, announced=announced)
        self.model = merge(self.model, model) if isinstance(self.model, Model) else model
        return piece if isinstance(model, ResponseOutputText) else ""

    def annotate(self, index: int | None, annotation: Any) -> None:
        """Add an annotation, or replace that of the same index; without an index it comes behind all others."""
        if index is None:
            index = self._indexes[-1] + 1 if self._indexes else 0
        at = bisect_left(self._indexes, index)
        if self._indexes[at : at + 1] == [index]:
            self.annotations[at] = annotation
        else:
            self._indexes.insert(at, index)
            self.annotations.insert(at, annotation)

    def output_text(self) -> str:
        """Return the text of a part of output text, `""` of any other part."""
        return str(self.text("text")) if isinstance(self.model, ResponseOutputText) else ""

    def build(self) -> Any:
        """Return the part so far, `None` if it is not in the item yet."""
        if self.model is None:
            return None
        if not isinstance(self.model, Model):
            return str(self.text("command"))
        model = self._built if self._source is self.model else self.model
        changes: dict[str, Any] = {}
        for field, text in self.texts.items():
            if (whole := str(text)) != (getattr(model, field) or ""):
                changes[field] = whole
        if isinstance(model, ResponseOutputText):
            if len(self.annotations) > len(model.annotations):
                changes["annotations"] = list(self.annotations)
            if len(self.logprobs) > len(model.logprobs or ()):
                changes["logprobs"] = list(self.logprobs)
        self._built, self._source = evolve(model, **changes) if changes else model, self.model
        return self._built


def take_text(text: GrowingText, value: str, *, announced: bool) -> str:
    """Take a text as the server sent it; return what it adds at its end."""
    if announced:
        text.announce(value)
        return ""
    return text.complete(value)

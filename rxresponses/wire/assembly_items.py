"""The items of a response that is being assembled: which of them an event is about, and their order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from ..scalars import MAX_INTEGER
from .assembly_item import Item
from .base import Model
from .ordered import Ordered

_WINDOW = 64  # items that are compared with an event, of those that it may be about; of more, only the id tells


class Items(Ordered[Item]):
    """The items in the order of their output indices; those of one index stay as they came."""

    __slots__ = ("_by_id", "_by_index", "_next_index", "_next_number")

    def __init__(self, text_of: Callable[[Item], str] = Item.output_text) -> None:
        super().__init__(Item.build, text_of)
        self._by_index: dict[int, list[Item]] = {}
        self._by_id: dict[str, Item] = {}
        self._next_index = 0  # for an item without an index
        self._next_number = 0

    def lacks_index(self, index: int | None) -> bool:
        """Whether an event names an output index that no item has."""
        index = _known(index)
        return index is not None and index not in self._by_index

    def make(self, index: int | None, model: Model) -> Item:
        """Make an item; `index` is `None` for the place behind the last one."""
        index = _known(index)
        if index is None:
            index = self._next_index
        self._next_index = max(self._next_index, index + 1)
        item = Item(self._next_number, index, model)
        self._next_number += 1
        self.add(item.key, item)
        self._by_index.setdefault(index, []).append(item)
        if item_id := getattr(model, "id", None):
            self._by_id.setdefault(item_id, item)
        return item

    def of_model(self, index: int | None, model: Model, *, announced: bool) -> Item:
        """Return the item that an event with a whole item is about, to be changed; make it if it is new."""
        item = self._of_model(index, model, announced=announced)
        if item is None:
            item = self.make(index, model)
        else:
            self.touch(item.key)
        if item_id := getattr(model, "id", None):
            self._by_id[item_id] = item
        return item

    def _of_model(self, index: int | None, model: Model, *, announced: bool) -> Item | None:
        index = _known(index)
        model_id, call_id = getattr(model, "id", None), getattr(model, "call_id", None)
        known = self._by_id.get(model_id) if model_id is not None else None
        if index is None and known is not None:
            return known
        latest = reversed(self) if index is None else reversed(self._by_index.get(index, ()))
        for item in islice(latest, _WINDOW):
            its_id, its_call_id = getattr(item.model, "id", None), getattr(item.model, "call_id", None)
            if type(item.model) is not type(model):
                continue
            if model_id and model_id == its_id:  # even if the call id changes, as that of a tool search does
                return item
            if call_id and its_call_id and call_id != its_call_id:
                continue
            differs = bool(model_id and its_id and model_id != its_id)
            if index is None:
                if not (differs or item.is_done or announced):
                    return item
            elif not differs or not (item.is_done or (announced and item.was_added)):
                return item
        return known if known is not None and known.index == index and type(known.model) is type(model) else None

    def of_event(self, event: Any, cls: type[Model], whole: str | None = None) -> Item | None:
        """Return the item of an event about a part of it, to be changed; make it if no event announced it.

        The output index decides, since some servers give an item another id in each event.  Some servers omit the
        index; then the id decides, and without a known id, the latest item that is not finished.  Returns `None` if the
        item is of another class.  `whole` is the text of the event if that is a whole text.
        """
        item = self._of_event(event, cls, whole)
        if item is not None:
            self.touch(item.key)
        return item

    def _of_event(self, event: Any, cls: type[Model], whole: str | None) -> Item | None:
        index, item_id = _known(event.output_index), getattr(event, "item_id", None)
        known = self._by_id.get(item_id) if item_id is not None else None
        if index is None:
            if known is not None:
                return known if type(known.model) is cls else None
            latest = next(reversed(self), None)
            is_about_latest = latest is not None and type(latest.model) is cls and not latest.is_over(whole)
            return latest if is_about_latest else self.make(None, cls(id=item_id))
        same = self._by_index.get(index)
        if same is None:
            return self.make(index, cls(id=item_id))
        item = same[-1]
        if len(same) > _WINDOW:
            item = known if known is not None and known.index == index else item
        elif len(same) > 1:
            item = next((item for item in same if getattr(item.model, "id", None) == item_id), item)
        if type(item.model) is cls:
            return item
        its_id = getattr(item.model, "id", None)
        if item_id and its_id and item_id != its_id:
            return self.make(index, cls(id=item_id))
        return None


def _known(index: int | None) -> int | None:
    """Return an output index, `None` for one out of bounds, which tells nothing."""
    return None if index is None or not 0 <= index <= MAX_INTEGER else index

"""What goes into a batch: prompts and requests from anywhere, pulled one by one and never ahead of need."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterable, Iterable, Mapping, Sized
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from luma_async._batch.rules import KeyCounter, derive_key
from luma_async._journal.fingerprint import canonical
from luma_async.values.errors import InvalidInput
from luma_async.values.requests import Request, as_request
from luma_async.values.validators import check_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Wanted: TypeAlias = "Iterable[Request | str] | AsyncIterable[Request | str]"
"""Prompts, requests, or both."""
Keys: TypeAlias = "Iterable[str | None] | AsyncIterable[str | None]"
"""The caller's own names; None leaves one to be derived."""


@attrs.frozen(kw_only=True)
class Item:
    """One thing to buy, or what is wrong with it."""

    index: int
    """Its place in the input, from 0."""
    request: Request | None = None
    """What is wanted."""
    key: str = ""
    """The key of the purchase."""
    fault: InvalidInput | None = None
    """Why it cannot be bought."""


class Source:
    """An input with its keys. It is never read ahead, and left where it was when nobody pulls any more."""

    def __init__(self, wanted: Wanted, keys: Keys | None, *, name: str | None) -> None:
        _check_many(wanted, keys)
        self.length: int | None = len(wanted) if isinstance(wanted, Sized) else None
        """How many there are, if that can be known."""
        self.waits: bool = isinstance(wanted, AsyncIterable) or isinstance(keys, AsyncIterable)
        """Whether pulling may take a while."""
        self._wanted = _iterator(wanted)
        self._keys = _iterator(itertools.repeat(None) if keys is None else keys)
        self._name = name
        self._counter = KeyCounter()
        self._indexes = itertools.count()

    @property
    def duplicates(self) -> int:
        """How many of those with a derived key were equal to an earlier one."""
        return self._counter.duplicates

    def next(self) -> Item | None:
        """Pull one from an input that never waits; None at its end."""
        assert not isinstance(self._wanted, AsyncIterable)
        assert not isinstance(self._keys, AsyncIterable)
        try:
            wanted = next(self._wanted)
        except StopIteration:
            return None
        try:
            key = next(self._keys)
        except StopIteration:
            key = _END
        return self._item(wanted, key)

    async def outwait_next(self) -> Item | None:
        """Pull one, however long that takes; None at the end."""
        wanted = await _pull(self._wanted)
        return None if wanted is _END else self._item(wanted, await _pull(self._keys))

    def _item(self, wanted: Any, key: Any) -> Item:
        if key is _END:
            raise InvalidInput(field="keys", message="there are fewer keys than prompts.")
        index = next(self._indexes)
        try:
            request = as_request(wanted, {})
            if key is None:
                key = self._derive(request)
            else:
                check_key(key)
        except InvalidInput as error:
            return Item(index=index, fault=error)
        return Item(index=index, request=request, key=key)

    def _derive(self, request: Request) -> str:
        if self._name is None:
            # The next run would derive another one, and buy again.
            raise InvalidInput(field="keys", message="one is None, which over a lasting journal needs batch(name=…).")
        return self._counter.number(derive_key(self._name, canonical(request)))


_END: Any = object()


def _check_many(wanted: object, keys: object) -> None:
    """Refuse what holds no prompts: a text would be bought letter by letter, a mapping name by name."""
    if not _is_many(wanted):
        raise InvalidInput(field="batch", message='takes many prompts or requests, such as ["a cat", "a dog"].')
    if keys is not None and not _is_many(keys):
        raise InvalidInput(field="keys", message="must be as many keys as there are prompts.")
    lengths = [len(values) for values in (wanted, keys) if isinstance(values, Sized)]
    if len(set(lengths)) > 1:
        raise InvalidInput(field="keys", message=f"there are {lengths[1]} for {lengths[0]} prompts.")


def _is_many(values: object) -> bool:
    return isinstance(values, Iterable | AsyncIterable) and not isinstance(values, str | bytes | Mapping)


def _iterator(values: Iterable[Any] | AsyncIterable[Any]) -> Iterator[Any] | AsyncIterator[Any]:
    return aiter(values) if isinstance(values, AsyncIterable) else iter(values)


async def _pull(values: Iterator[Any] | AsyncIterator[Any]) -> Any:
    return next(values, _END) if isinstance(values, Iterable) else await anext(values, _END)

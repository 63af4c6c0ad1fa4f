"""The input of a batch: prompts and requests from any iterable, taken one by one and never ahead of need."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterable, Iterable, Mapping, Sized
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from luma_async._batch.keys import KeyCounter, derive_key
from luma_async._journal.fingerprint import canonical_form
from luma_async.values.errors import InvalidInput
from luma_async.values.requests import Request, as_request
from luma_async.values.validators import check_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

BatchRequests: TypeAlias = "Iterable[Request | str] | AsyncIterable[Request | str]"
"""Prompts, requests, or both."""
BatchKeys: TypeAlias = "Iterable[str | None] | AsyncIterable[str | None]"
"""The caller's own keys; None for a key that is derived from the batch's name."""


@attrs.frozen(kw_only=True)
class BatchInput:
    """A request to submit, or the error in it."""

    index: int
    """Its place in the input, from 0."""
    request: Request | None = None
    """What to submit."""
    key: str = ""
    """The key of the purchase."""
    error: InvalidInput | None = None
    """Why it cannot be submitted."""


class Source:
    """An input with its keys. It is never read ahead of the calls of `next()` and `wait_for_next()`."""

    def __init__(self, wanted: BatchRequests, keys: BatchKeys | None, *, name: str | None) -> None:
        _check_many(wanted, keys)
        self.length: int | None = len(wanted) if isinstance(wanted, Sized) else None
        """How many items there are; None when that is unknown."""
        self.waits: bool = isinstance(wanted, AsyncIterable) or isinstance(keys, AsyncIterable)
        """Whether it is asynchronous, so that `wait_for_next()` has to be used."""
        self._wanted = _iterator(wanted)
        self._keys = _iterator(itertools.repeat(None) if keys is None else keys)
        self._name = name
        self._counter = KeyCounter()
        self._indexes = itertools.count()

    @property
    def duplicates(self) -> int:
        """How many items with a derived key were equal to an earlier item."""
        return self._counter.duplicates

    def next(self) -> BatchInput | None:
        """Return the next item of a synchronous input; None at its end."""
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

    async def wait_for_next(self) -> BatchInput | None:
        """Return the next item; None at the end."""
        wanted = await _pull(self._wanted)
        return None if wanted is _END else self._item(wanted, await _pull(self._keys))

    def _item(self, wanted: Any, key: Any) -> BatchInput:
        if key is _END:
            raise InvalidInput(field="keys", message="got fewer keys than prompts.")
        index = next(self._indexes)
        try:
            request = as_request(wanted, {})
            if key is None:
                key = self._derive(request)
            else:
                check_key(key)
        except InvalidInput as error:
            return BatchInput(index=index, error=error)
        return BatchInput(index=index, request=request, key=key)

    def _derive(self, request: Request) -> str:
        if self._name is None:
            # The next run would derive another key, and submit again.
            raise InvalidInput(
                field="keys",
                message="a key is None; with a persistent journal pass batch(name=…) so that it can be derived.",
            )
        return self._counter.make_unique(derive_key(self._name, canonical_form(request)))


_END: Any = object()


def _check_many(wanted: object, keys: object) -> None:
    """Refuse a string, which would be submitted letter by letter, and a mapping."""
    if not _is_many(wanted):
        raise InvalidInput(field="batch", message='takes many prompts or requests, such as ["a cat", "a dog"].')
    if keys is not None and not _is_many(keys):
        raise InvalidInput(field="keys", message="must be as many keys as there are prompts.")
    lengths = [len(values) for values in (wanted, keys) if isinstance(values, Sized)]
    if len(set(lengths)) > 1:
        raise InvalidInput(field="keys", message=f"got {lengths[1]} keys for {lengths[0]} prompts.")


def _is_many(values: object) -> bool:
    return isinstance(values, Iterable | AsyncIterable) and not isinstance(values, str | bytes | Mapping)


def _iterator(values: Iterable[Any] | AsyncIterable[Any]) -> Iterator[Any] | AsyncIterator[Any]:
    return aiter(values) if isinstance(values, AsyncIterable) else iter(values)


async def _pull(values: Iterator[Any] | AsyncIterator[Any]) -> Any:
    return next(values, _END) if isinstance(values, Iterable) else await anext(values, _END)

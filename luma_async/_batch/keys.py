"""The keys of a batch's purchases. Golden: other keys would submit every earlier batch again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from luma_async.values.validators import MAX_KEY_LENGTH

KEY_VERSION = 1
"""Part of each digest. A golden test holds the digests."""

_MARK_BYTES = 8
"""What is remembered of each key. 64 bits collide in one of forty million batches of a million items."""


def derive_key(name: str, form: dict[str, Any]) -> str:
    """Return the key of a request in a batch: the same name and request give the same key, in any run.

    Args:
        name: the batch's name.
        form: the request's canonical form.
    """
    text = json.dumps([KEY_VERSION, name, form], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def retry_key(key: str, number: int) -> str:
    """Return the key under which an item is submitted for the `number`-th time, counted from 1."""
    if number == 1:
        return key
    again = f"{key}~{number}"
    return again if len(again) <= MAX_KEY_LENGTH else f"{hashlib.sha256(key.encode()).hexdigest()}~{number}"


class KeyCounter:
    """Makes the keys of equal items distinct: each item is a purchase of its own.

    It keeps about eighty bytes for each distinct key; nothing else of a batch grows with its length.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._again: dict[int, int] = {}
        self.duplicates = 0
        """How many items were equal to an earlier one."""

    def make_unique(self, key: str) -> str:
        """Return the key, with a counter if it came before."""
        mark = int(key[: 2 * _MARK_BYTES], 16)
        if mark not in self._seen:
            self._seen.add(mark)
            return key
        self.duplicates += 1
        self._again[mark] = number = self._again.get(mark, 1) + 1
        return f"{key}.{number}"

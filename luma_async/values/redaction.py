"""What logs, errors and reprs may show: short texts, addresses without signatures, no keys, no inline images."""

from __future__ import annotations

import hashlib
import re
from typing import Any, cast

EXCERPT_CHARS = 200
"""How much of a service's text an error keeps: enough to recognise it, too little to flood a log."""
DIGEST_PREFIX = "data:sha256,"
"""What stands before the digest of an inline image that was replaced."""

_SHOWN_URL_CHARS = 80
_MIN_SCRUBBED_CHARS = 6
_IMAGE = re.compile(r"data:image/|data:(?=[\w.+-]+/|;|,)[^,]*,")
"""The beginning of an inline image of any type. A prompt may begin with the word `data` too."""


class Secret:
    """A text that is only shown by `reveal()`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text."""
        return self._value

    def scrub(self, text: bytes) -> bytes:
        """Replace the secret in a text that came from elsewhere."""
        # Shorter texts occur in many bodies by chance, and no service issues such a key.
        return text.replace(self._value.encode(), b"[secret]") if len(self._value) >= _MIN_SCRUBBED_CHARS else text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a secret cannot be pickled; pass it to the new process by itself")


def clip(text: str, limit: int = EXCERPT_CHARS) -> str:
    """Shorten a text to one line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def show_url(url: str | None) -> str:
    """Show an address without its query, which may hold a signature, and only the beginning of an inline image."""
    if url is None:
        return "None"
    place, mark, _ = url.partition("?")
    return repr(clip(place, _SHOWN_URL_CHARS) + ("?…" if mark else ""))


def without_image(text: str) -> str:
    """Replace an inline image by its digest; return any other text as it is."""
    if not _IMAGE.match(text):
        return text
    return DIGEST_PREFIX + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def without_images(value: Any) -> Any:
    """Replace inline images anywhere in a JSON value by their digests."""
    if isinstance(value, str):
        return without_image(value)
    if isinstance(value, dict):
        return {name: without_images(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [without_images(item) for item in cast("list[Any]", value)]
    return value

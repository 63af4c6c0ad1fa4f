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
_ADDRESS = re.compile(r"(://)(?:[^\s/?#]*@)?([^\s?#]*)(?:[?#]\S*)?")
_IMAGE = re.compile(r"data:image/|data:(?=[\w.+-]+/|;|,)[^,]*,")
"""The beginning of an inline image of any type. A prompt may begin with the word `data` too."""


class Secret:
    """A text that is only shown by `reveal()`."""

    __slots__ = ("_marks", "_pattern", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._marks: dict[bytes, list[bytes]] = {}
        self._pattern: re.Pattern[bytes] | None = None

    def reveal(self) -> str:
        """Return the text."""
        return self._value

    def scrub(self, text: bytes) -> bytes:
        """Replace the secret in a text that came from elsewhere, also where it is escaped or encoded."""
        # Shorter texts occur in many bodies by chance, and no service issues such a key.
        if len(self._value) < _MIN_SCRUBBED_CHARS:
            return text
        if self._pattern is None:
            self._pattern = re.compile(b"".join(map(_any_encoding, self._value)))
            self._marks = _marks(self._value)
        # The pattern is slow, so it runs only on a text that holds one of the marks.
        if any(sign in text and any(mark in text for mark in marks) for sign, marks in self._marks.items()):
            return self._pattern.sub(b"[secret]", text)
        return text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a secret cannot be pickled; pass it to the new process by itself")


def _any_encoding(char: str) -> bytes:
    """Return a pattern of a character: plain, in UTF-16 or UTF-32, escaped in JSON or HTML, or URL-encoded."""
    either_case = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{ord(char):02x}")
    escaped = rf"\\+u00{either_case}|%(?:25)*{either_case}|&#(?:0*{ord(char)}|[xX]0*{either_case});"
    # UTF-16 and UTF-32 put zero bytes around an ASCII character. JSON may escape punctuation with a backslash.
    return rb"(?:\0{0,3}\\*" + re.escape(char.encode()) + rb"\0{0,3}|" + escaped.encode() + rb")"


def _marks(value: str) -> dict[bytes, list[bytes]]:
    """Return byte strings of which a text holds one if it holds the value, each list by a sign that all of it contain.

    Encoders leave letters and digits as they are, so the longest run of them is there, or they encode every character,
    so the encoded beginning is there.
    """
    run = max(re.findall(r"[A-Za-z0-9]+", value) or [value], key=len).encode()
    first, second = value[:2].encode()
    pair = first, second
    return {
        run: [run],
        b"\0": [b"%c\0%c" % pair, b"%c\0\0\0%c" % pair],
        b"%": [b"%%%02x%%%02x" % pair, b"%%%02X%%%02X" % pair],
        b"%25": [b"%%25%02x%%25%02x" % pair, b"%%25%02X%%25%02X" % pair],
        b"\\u00": [b"\\u00%02x\\u00%02x" % pair, b"\\u00%02X\\u00%02X" % pair],
        b"\\\\u00": [b"\\\\u00%02x\\\\u00%02x" % pair, b"\\\\u00%02X\\\\u00%02X" % pair],
        b"&#": [b"&#%d;&#%d;" % pair, b"&#x%x;&#x%x;" % pair, b"&#x%X;&#x%X;" % pair],
    }


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


def without_queries(value: Any) -> Any:
    """Remove password, query and fragment from every address in a JSON value: they may hold a signature or a token."""
    if isinstance(value, str):
        return _ADDRESS.sub(r"\1\2", value)
    if isinstance(value, dict):
        return {name: without_queries(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [without_queries(item) for item in cast("list[Any]", value)]
    return value


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

"""Whether the prompt that an answer repeats is the one that was sent.

A relay that does not know the field of the prompt sells a video of nothing, and its answer shows that. But many
services repeat a prompt changed: shortened, with other spaces and quotes, without emoji, or with something added.
"""

from __future__ import annotations

import html
import unicodedata

_ELLIPSES = ("...", "\u2026")
_MIN_CUT_CHARS = 100
"""A service that cuts prompts without an ellipsis keeps at least this much."""


def is_other_prompt(sent: str, repeated: str | None, *, expanded: bool) -> bool:
    """Whether an answer shows that the service has read another prompt.

    Args:
        sent: the prompt of the request.
        repeated: the prompt in the answer; None if it holds none.
        expanded: whether the service was asked to improve the prompt.
    """
    if repeated is None or not sent.strip() or repeated.strip() == sent.strip():
        return False
    ours, theirs = _letters(sent), _letters(repeated)
    if not ours or not theirs:
        # Without a letter, only an empty prompt, or marks where letters were sent, is certainly another one.
        return bool(ours) or not repeated.strip()
    if expanded or ours in theirs:
        return False
    text = repeated.rstrip()
    cut = text.endswith(_ELLIPSES) or len(text) >= _MIN_CUT_CHARS
    return not (cut and ours.startswith(theirs))


def _letters(text: str) -> str:
    """Return the letters and digits alone, in one spelling."""
    plain = unicodedata.normalize("NFKC", html.unescape(text)).casefold()
    return "".join(character for character in unicodedata.normalize("NFKC", plain) if character.isalnum())

"""The values of flags that are numbers, checked while the command line is parsed, before anything else happens."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SECONDS = 10 * 365 * 86_400
"""Ten years. A longer time is a typing error, and breaks the clocks of some systems."""


def whole(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Return a reader of whole numbers between these bounds."""
    bounds = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = minimum - 1
        if number < minimum or (maximum is not None and number > maximum):
            raise argparse.ArgumentTypeError(f"must be a whole number {bounds}, not {text!r}")
        return number

    return read


def seconds(text: str) -> float:
    """Read a number of seconds."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0 to {MAX_SECONDS}, not {text!r}")
    return number

"""The way to the converter, which is loaded with the first answer: importing the package loads no cattrs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luma_async.values.models import Generation


@cache
def structure() -> Callable[[Mapping[str, Any]], Generation]:
    """Return what structures a generation."""
    from luma_async._wire.converter import generation  # noqa: PLC0415 - cattrs is loaded with the first answer

    return generation

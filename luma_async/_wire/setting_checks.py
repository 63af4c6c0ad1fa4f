"""How the settings of dialects are checked: attrs validators that raise `InvalidInput`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    import re

    import attrs

SEGMENT = r"/[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
"""One step of a path, as a pattern: nothing that could lead upwards or elsewhere."""


def matches(pattern: re.Pattern[str], message: str) -> Any:
    """Take a text of this form."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise InvalidInput(field=attribute.name, message=message)

    return check

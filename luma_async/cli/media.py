"""The original of an edit, as it is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luma_async import FileReference
from luma_async.prompts import read_keyframe
from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    from luma_async.values.keyframes import Media

MEDIA_HELP = "the original: a URL, an image file, id:GENERATION, or file:ID of an uploaded file"


def read_media(value: str, field: str) -> Media:
    """Read the original of an edit.

    Raises:
        InvalidInput: it is not valid, or the file cannot be read.
    """
    try:
        if value.startswith("file:") and "/" not in value:
            return FileReference(value.removeprefix("file:"))
        return value if "://" in value else read_keyframe(value, field)
    except InvalidInput as error:
        message = error.message
    raise InvalidInput(field=field, message=message)

"""Files that were uploaded to a service, as the service describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from luma_async.values.public import public
from luma_async.values.redaction import show_url

Json = dict[str, Any]


@public
@attrs.frozen(kw_only=True)
class UploadedFile:
    """A file at the service. `FileReference(file.id)` uses it in a request."""

    id: str
    """The id that the service assigned."""
    state: str = ""
    """`pending`, `ready`, `failed` or `deleted`. Only a file that is ready can be used."""
    mime_type: str | None = None
    """The media type, such as `image/png`."""
    size_bytes: int | None = None
    """The size."""
    purpose: str | None = None
    """`input` or `reference`."""
    filename: str | None = None
    """The name that was given at the upload."""
    user_id: str | None = None
    """Your own mark for the person for whom it was uploaded."""
    created_at: datetime | None = None
    """When it was created, aware UTC."""
    expires_at: datetime | None = None
    """When the service deletes it, aware UTC; None if it does not say."""
    deleted_at: datetime | None = None
    """When it was deleted, aware UTC."""
    failure_reason: str | None = None
    """Why it cannot be used, in the service's words."""
    raw: Json = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """The JSON as received."""


@attrs.frozen(kw_only=True)
class UploadTarget:
    """Where the bytes of a new file go."""

    id: str
    """The id of the file."""
    url: str = attrs.field(repr=show_url)
    """The signed address."""
    headers: tuple[tuple[str, str], ...] = ()
    """The headers that the signature covers."""


@attrs.frozen(kw_only=True)
class FilePage:
    """One page of the files of an account."""

    files: tuple[UploadedFile, ...]
    """Newest first."""
    next_cursor: str | None
    """Where the next page begins; None after the last."""

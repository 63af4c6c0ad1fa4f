"""The files of Luma's Agents API: announced, sent to a signed address of a storage host, taken in, and deleted.

Source: Luma's Python SDK `luma-agents` 0.5.0, whose schemas the samples follow. Assumed: the statuses and texts of
errors, that a deleted file is still found by its id, and that a list leaves it out unless asked for it.
"""

from __future__ import annotations

import base64
import binascii
import email
import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.policy import HTTP
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import attrs
from aiohttp import web

from luma_async.testing.agents import schema
from luma_async.testing.agents.bodies import moment
from luma_async.testing.agents.rules import MAX_IMAGE_BYTES
from luma_async.testing.answers import json_answer
from luma_async.testing.clips import refuse
from luma_async.testing.dream_machine.validation import RefusedBodyError
from luma_async.testing.exchange import Received
from luma_async.testing.store import FakeClock

if TYPE_CHECKING:
    from luma_async.testing.exchange import Exchange

_MAX_FILE_BYTES = 5 * 1024**3
_UPLOAD_LIVES_S = 3600
_STATES = frozenset({"pending", "ready", "failed", "deleted"})
_DATE_FORMAT = "%Y%m%dT%H%M%SZ"


@attrs.define(kw_only=True, eq=False)
class FakeFile:
    """A file that a client announced."""

    id: str
    number: int
    """Counts from 1, in the order of announcements."""
    body: Mapping[str, Any] = attrs.field(repr=False)
    """The announcement."""
    created: datetime
    clock: FakeClock = attrs.field(repr=False)
    signature: str = attrs.field(factory=secrets.token_hex, repr=False)
    received: Received | None = None
    """What the storage host received; None before that."""
    ready_at: float | None = None
    """Seconds of the loop's clock at which it is taken in; None before it is complete."""
    failure_reason: str | None = None
    """Why it is not taken in."""
    deleted_at: datetime | None = None

    @property
    def state(self) -> str:
        """The state now: pending, ready, failed or deleted."""
        if self.deleted_at is not None:
            return "deleted"
        if self.ready_at is None or self.clock.now() < self.ready_at:
            return "pending"
        return "failed" if self.failure_reason else "ready"


class FakeFiles:
    """All files of the fake gateway."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.held: dict[str, FakeFile] = {}

    def add(self, body: Mapping[str, Any], file_id: str | None = None) -> FakeFile:
        """Add a file that was announced now."""
        name = file_id or str(uuid.uuid4())
        file = FakeFile(id=name, number=len(self.held) + 1, body=body, created=self._clock.wall(), clock=self._clock)
        self.held[name] = file
        return file

    def find(self, file_id: str, *, invent: bool) -> FakeFile | None:
        """The file; with `invent`, an unknown id names a file that is ready."""
        if file_id not in self.held and invent:
            self.add({"mime_type": "image/jpeg", "size_bytes": 1}, file_id).ready_at = self._clock.now()
        return self.held.get(file_id)

    def page(self, query: Mapping[str, str], *, strict: bool) -> dict[str, Any]:
        """A page of the list, newest first.

        Raises:
            RefusedBodyError: 422, for a wrong limit, state or cursor.
        """
        limit = query.get("limit", "25")
        if not limit.isdecimal() or not 1 <= int(limit) <= 100:
            raise RefusedBodyError(422, "limit: must be between 1 and 100")
        state = query.get("state")
        if state is not None and state not in _STATES:
            raise RefusedBodyError(422, f"state: must be one of {', '.join(sorted(_STATES))}")
        before = _number(query["cursor"]) if "cursor" in query else None
        if before is None and strict and "cursor" in query:
            raise RefusedBodyError(422, "cursor: invalid")
        found = [
            file
            for file in reversed(self.held.values())
            if (before is None or file.number < before)
            and (file.state == state if state else file.state != "deleted")
            and query.get("purpose") in {None, _purpose(file)}
        ]
        shown = found[: int(limit)]
        page: dict[str, Any] = {"data": [file_body(file) for file in shown], "has_more": len(found) > len(shown)}
        return page | ({"next_cursor": _cursor(shown[-1])} if page["has_more"] else {})


def announce(files: FakeFiles, exchange: Exchange) -> tuple[FakeFile, bool]:
    """Add the file of a request, and say whether its bytes came with it.

    Raises:
        RefusedBodyError: 413 or 422.
    """
    content_type = exchange.seen.headers.get("Content-Type", "")
    if content_type.startswith("multipart/form-data"):
        body, received = _parts(content_type, exchange.raw)
    else:
        body, received = exchange.seen.body, None
    fields = schema.check(schema.FILE, body)
    size_bytes = fields["size_bytes"]
    if not 0 < size_bytes <= _MAX_FILE_BYTES:
        raise RefusedBodyError(422, f"size_bytes: must be between 1 and {_MAX_FILE_BYTES}")
    if fields["mime_type"].startswith("image/") and size_bytes > MAX_IMAGE_BYTES:
        raise RefusedBodyError(413, "Image exceeds 50 MB size limit")
    file = files.add(fields)
    file.received = received
    return file, received is not None


def created_body(file: FakeFile, upload: dict[str, Any] | None) -> dict[str, Any]:
    """The answer to the announcement of a file."""
    return {"id": file.id, "state": file.state, "file": file_body(file), "upload": upload}


def file_body(file: FakeFile) -> dict[str, Any]:
    """A file as the service sends it."""
    given = {name: file.body.get(name) for name in ("filename", "expires_at", "user_id")}
    return {
        "id": file.id,
        "created_at": moment(file.created),
        "mime_type": file.body["mime_type"],
        "purpose": _purpose(file),
        "size_bytes": file.body["size_bytes"],
        "state": file.state,
        **given,
        "deleted_at": None if file.deleted_at is None else moment(file.deleted_at),
        "failure_reason": file.failure_reason if file.state == "failed" else None,
    }


def upload_body(file: FakeFile, origin: str) -> dict[str, Any]:
    """Where the bytes of a file go: a signed address that works for an hour."""
    now = file.clock.wall()
    query = {
        "X-Amz-Date": now.strftime(_DATE_FORMAT),
        "X-Amz-Expires": str(_UPLOAD_LIVES_S),
        "X-Amz-Signature": file.signature,
    }
    return {
        "method": "PUT",
        "url": f"{origin}/uploads/{file.id}?{urlencode(query)}",
        "headers": {"Content-Type": file.body["mime_type"]},
        "expires_at": moment(now + timedelta(seconds=_UPLOAD_LIVES_S)),
    }


def store_bytes(files: FakeFiles, exchange: Exchange) -> web.Response:
    """Answer a PUT as a storage host does: the address is the only permission, and another one is an error."""
    file, received, seen = files.held.get(exchange.generation_id), exchange.received, exchange.seen
    if "Authorization" in seen.headers:
        return refuse(400, "InvalidArgument", "Only one auth mechanism allowed")
    if file is None or received is None or seen.query.get("X-Amz-Signature") != file.signature:
        return refuse(403, "SignatureDoesNotMatch", "The request signature does not match")
    issued = datetime.strptime(seen.query["X-Amz-Date"], _DATE_FORMAT).replace(tzinfo=UTC)
    if file.clock.wall() >= issued + timedelta(seconds=_UPLOAD_LIVES_S):
        return refuse(403, "AccessDenied", "Request has expired")
    if seen.headers.get("Content-Type") != file.body["mime_type"]:
        return refuse(403, "SignatureDoesNotMatch", "The Content-Type is not the signed one")
    if received.size_bytes != file.body["size_bytes"]:
        return refuse(400, "IncompleteBody", "The size is not the announced one")
    file.received = received
    return web.Response(headers={"ETag": f'"{received.sha256}"'})


def not_found() -> web.Response:
    """The answer to an unknown file."""
    return json_answer({"detail": "File not found"}, 404)


def _purpose(file: FakeFile) -> str:
    return str(file.body.get("purpose", "input"))


def _cursor(file: FakeFile) -> str:
    return base64.urlsafe_b64encode(f"before:{file.number}".encode()).decode()


def _number(cursor: str) -> int | None:
    """The number in a cursor; None if it has none."""
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("before:"))
    except (binascii.Error, ValueError):
        return None


def _parts(content_type: str, raw: bytes) -> tuple[dict[str, Any], Received]:
    """The fields and the bytes of a multipart form."""
    form = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + raw, policy=HTTP)
    fields: dict[str, Any] = {}
    data = None
    for part in form.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if name == "file":
            data = content
            described = {"mime_type": part.get_content_type(), "filename": part.get_filename()}
            fields = described | {"size_bytes": len(content)} | fields
        else:
            text = content.decode()
            fields[str(name)] = int(text) if name == "size_bytes" and text.isdecimal() else text
    if data is None:
        raise RefusedBodyError(422, "file: field required")
    return fields, Received.of(data)

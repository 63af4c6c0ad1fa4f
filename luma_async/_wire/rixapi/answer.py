"""Where the answers of a relay hold what only relays have: several generations, a link, accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async._wire.answer import is_list, is_object
from luma_async._wire.generation import find_all, structure
from luma_async._wire.links import absolute, find_result
from luma_async.values.errors import UnreadableResponse
from luma_async.values.models import KeyUsage, User

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Row


def find_many(document: Document, generation_ids: Sequence[str] = ()) -> tuple[Row, ...]:
    """Find the generations that were asked for; rows without an id are left out.

    Raises:
        UnreadableResponse: there is no list of them.
    """
    payload = document.payload
    rows: Any = payload
    if is_object(payload) and "data" in payload:
        # Relays are written in Go, which writes an empty list as null.
        rows = [] if payload["data"] is None else payload["data"]
    if not is_list(rows):
        raise document.unreadable("the response holds no list of generations", "data")
    return find_all(rows, document, frozenset(generation_ids))


def find_link(document: Document) -> str:
    """Find the watermark-free link.

    Raises:
        UnreadableResponse: there is none.
    """
    payload = document.payload
    link = find_result(payload) if is_object(payload) else None
    if link is not None:
        return absolute(link, document.base_url)
    raise document.unreadable("the response holds no link", "url")


def read_user(document: Document) -> User:
    """Read the account.

    Raises:
        UnreadableResponse: there is none.
    """
    data = _find_data(document)
    return structure(User, {**data, "raw": data})


def read_key(document: Document) -> KeyUsage:
    """Read the API key's quota.

    Raises:
        UnreadableResponse: there is none.
    """
    data = _find_data(document)
    fields = {
        "name": data.get("name"),
        "granted": data.get("total_granted"),
        "used": data.get("total_used"),
        "available": data.get("total_available"),
        "unlimited": data.get("unlimited_quota"),
        "expires_at": data.get("expires_at"),
        "raw": data,
    }
    return structure(KeyUsage, fields)


def _find_data(document: Document) -> dict[str, Any]:
    """Find the data of an account page, without the account's access token.

    Raises:
        UnreadableResponse: there is none; it has no excerpt, which could hold that token.
    """
    payload = document.payload
    data = payload.get("data") if is_object(payload) else None
    if not is_object(data):
        raise UnreadableResponse(message="the response holds no data", status=document.status, paths=("data",))
    return {name: value for name, value in data.items() if name != "access_token"}

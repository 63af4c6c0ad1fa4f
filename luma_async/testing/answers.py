"""JSON, error and web page answers, as the relay writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeGuard

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

_JSON = {"Content-Type": "application/json; charset=utf-8"}


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a decoded value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a decoded value is a JSON array."""
    return isinstance(value, list)


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer with a JSON body."""
    data = json.dumps(body).encode()
    return web.Response(body=data, status=status, headers={**_JSON, **(headers or {})})


def error_answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error in the form of the relay's front end."""
    error = {"message": message, "type": "new_api_error", "code": code}
    return json_answer({"error": error}, status, headers)


def task_error(status: int, code: str, message: str) -> web.Response:
    """An error in the form of the relay's task endpoints."""
    return json_answer({"code": code, "message": message, "data": None}, status)


def wrong_key() -> web.Response:
    """The relay's answer to an unknown key."""
    return error_answer(401, "", "无效的令牌 (request id: 20250101)")


def no_such_task() -> web.Response:
    """The relay's answer to an unknown generation id."""
    return task_error(400, "task_not_exist", "task_not_exist")


def wrong_path(method: str, path: str) -> web.Response:
    """The relay's answer to a path that does not exist."""
    message = f"Invalid URL ({method} {path})"
    error = {"message": message, "type": "invalid_request_error", "param": "", "code": ""}
    return json_answer({"error": error}, 404)


def html_answer(status: int) -> web.Response:
    """A web page."""
    text = f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>"
    return web.Response(status=status, text=text, content_type="text/html")


def body_of(response: web.Response) -> bytes:
    """The body of an answer that has not been sent yet."""
    body = response.body
    return body if isinstance(body, bytes) else b""

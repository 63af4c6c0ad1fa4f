"""The relay's routes (RixAPI format) over a store of generations.

Source: the relay's documentation, the recorded answers, and the published source of relays of its family.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs
from aiohttp import web

from luma_async.testing import clips, rix_bodies
from luma_async.testing.answers import (
    error_answer,
    html_answer,
    json_answer,
    no_such_task,
    task_error,
    wrong_key,
    wrong_path,
)
from luma_async.testing.exchange import Exchange, Route
from luma_async.testing.json_shapes import is_list, is_object
from luma_async.testing.rix_bodies import Edition, SubmitShape
from luma_async.testing.rix_orders import InvalidBodyError, edition_of, read_order, unknown_fields
from luma_async.testing.scripts import Rejection

if TYPE_CHECKING:
    from luma_async.testing.credentials import Credentials
    from luma_async.testing.store import FakeGeneration

Handle: TypeAlias = Callable[[Exchange], web.Response]

USER_ID_HEADERS = ("New-Api-User", "Rix-Api-User", "X-Api-User")
QUOTA = 1_000_000
"""What the fake account and its key own at first, in the relay's unit; 500,000 are a dollar on most relays."""
PRICE = 1_000
"""What one generation takes of it: so little that a test with hundreds of them does not reach the end."""


@attrs.define(kw_only=True)
class RixBehaviour:
    """The differences between relays; each may be changed while the gateway runs."""

    edition: Edition | Literal["both"] = "both"
    """The submit bodies that are understood, and the form of the answers; "both" answers as the submit was spelled."""
    submit_status: int = 201
    """201 as documented, 200 as on sister relays."""
    submit_shape: SubmitShape = "flat"
    """The answer to a submit: flat, flat with more ids, or the id nested in `data`."""
    batch: Literal["envelope", "list", "missing", "html"] = "envelope"
    """The answer to a query for many; "missing" is a 404, "html" a web page with status 200."""
    batch_limit: int | None = None
    """How many ids one such query may have; None for any number."""
    batch_limit_status: int = 413
    """The answer to more: 413 or 400."""


class RixRoutes:
    """Answers as the relay does."""

    def __init__(self, behaviour: RixBehaviour, credentials: Credentials, unknown: set[str]) -> None:
        self._behaviour = behaviour
        self._credentials = credentials
        self._unknown_fields = unknown

    def routes(self, prefix: str) -> list[Route]:
        """Every route of the relay, below a path prefix, which may be empty."""
        one = f"{prefix}/luma/generations/{{id}}"
        return [
            self._keyed("POST", f"{prefix}/luma/generations", "submit", self._submit),
            self._keyed("POST", f"{one}/extend", "extend", self._extend),
            self._keyed("GET", f"{one}/download_video_url", "link", self._link),
            self._keyed("GET", one, "query", self._query),
            self._keyed("POST", f"{prefix}/luma/tasks", "tasks", self._tasks),
            self._keyed("GET", f"{prefix}/api/usage/token", "key", self._key_usage),
            Route(method="GET", path=f"{prefix}/api/user/self", kind="user", secret="access_token", handle=self._user),
        ]

    @staticmethod
    def fallback() -> Route:
        """The route that must come last: whatever no other one takes."""
        return Route(method="*", path="/{tail:.*}", kind="unknown", secret="api_key", handle=_wrong_path)

    def _keyed(self, method: str, path: str, kind: str, handle: Handle) -> Route:
        """A route that wants the API key."""
        return Route(
            method=method, path=path, kind=kind, secret="api_key", handle=functools.partial(self._check_key, handle)
        )

    def _check_key(self, handle: Handle, exchange: Exchange) -> web.Response:
        """Serve whoever shows the API key."""
        admitted = self._credentials.admit(exchange.seen.headers.get("Authorization"))
        return handle(exchange) if admitted else wrong_key()

    def _submit(self, exchange: Exchange) -> web.Response:
        """Start a video, or sound for a finished video.

        Assumed: sound is a submit with `task_id`; its own path is documented nowhere.
        """
        body = exchange.seen.body
        source_id = body.get("task_id") if is_object(body) else None
        return self._buy(exchange, "audio" if source_id else "video", source_id=source_id or None)

    def _extend(self, exchange: Exchange) -> web.Response:
        """Start a longer video."""
        return self._buy(exchange, "extend", source_id=exchange.generation_id)

    def _buy(self, exchange: Exchange, kind: str, source_id: str | None = None) -> web.Response:
        """Start something that is paid for."""
        body = exchange.seen.body
        if not is_object(body):
            return task_error(400, "invalid_request", "the request body is not a JSON object")
        edition = self._edition(body)
        try:
            prompt = read_order(body, edition, needs_ratio=source_id is None)
        except InvalidBodyError as error:
            return task_error(400, "invalid_request", str(error))
        if source_id is not None:
            source = _find(exchange, source_id)
            if source is None or not source.completed:
                return _not_usable(source)
        self._unknown_fields |= unknown_fields(body, edition)
        bought = exchange.store.buy(kind=kind, prompt=prompt, body=body, source=source_id)
        if isinstance(bought, Rejection):
            return error_answer(bought.status, bought.code, bought.message)
        if kind == "extend":
            return json_answer(rix_bodies.sister(bought))
        status = self._behaviour.submit_status
        return json_answer(rix_bodies.submitted(bought, status=status, shape=self._behaviour.submit_shape), status)

    def _query(self, exchange: Exchange) -> web.Response:
        """Show one generation."""
        generation = _find(exchange, exchange.generation_id)
        if generation is None:
            return no_such_task()
        return json_answer(rix_bodies.flat(generation, self._edition(generation.body), exchange.origin))

    def _tasks(self, exchange: Exchange) -> web.Response:
        """Show many generations; ids that are not known are left out without a word."""
        behaviour = self._behaviour
        if behaviour.batch == "missing":
            return _wrong_path(exchange)
        if behaviour.batch == "html":
            return html_answer(200)
        asked = _ids(exchange.seen.body)
        if asked is None:
            return task_error(400, "invalid_request", "field ids is required")
        if behaviour.batch_limit is not None and len(asked) > behaviour.batch_limit:
            return task_error(behaviour.batch_limit_status, "invalid_request", "too many ids")
        spell = rix_bodies.flat if behaviour.batch == "list" else rix_bodies.row
        found = (_find(exchange, generation_id) for generation_id in dict.fromkeys(asked))
        rows = [spell(each, self._edition(each.body), exchange.origin) for each in found if each is not None]
        return json_answer(rows if behaviour.batch == "list" else {"code": "success", "message": "", "data": rows})

    def _link(self, exchange: Exchange) -> web.Response:
        """Give out the watermark-free link."""
        generation = _find(exchange, exchange.generation_id)
        if generation is None or not generation.completed:
            return _not_usable(generation)
        if not generation.script.link_endpoint:
            return task_error(400, "fail_to_fetch_task", "the account of this task is gone")
        return json_answer({"url": clips.link(exchange.origin, generation, clips.CLEAN)})

    def _user(self, exchange: Exchange) -> web.Response:
        """Show the account to whoever has the system access token and names the user.

        Assumed: the path is that of the relay's published relatives.
        """
        headers, token = exchange.seen.headers, self._credentials.access_token
        if token is None or headers.get("Authorization", "").removeprefix("Bearer ") != token:
            return json_answer({"success": False, "message": "无权进行此操作, access token 无效"})
        if str(self._credentials.user_id) not in {headers.get(name) for name in USER_ID_HEADERS}:
            return json_answer({"success": False, "message": "无权进行此操作, 未提供 New-Api-User"}, 401)
        bought = len(exchange.store.charges)
        data = {
            "id": self._credentials.user_id,
            "username": "user123",
            "display_name": "user123",
            "email": "user@example.com",
            "role": 1,
            "status": 1,
            "quota": QUOTA - bought * PRICE,
            "used_quota": bought * PRICE,
            "request_count": bought,
            "group": "default",
            "inviter_id": 0,
            "aff_code": "abc123",
            "aff_count": 5,
            "aff_quota": 10000,
        }
        return json_answer({"success": True, "message": "", "data": data})

    def _key_usage(self, exchange: Exchange) -> web.Response:
        """Show what the API key has used.

        Assumed: the path is that of the relay's published relatives.
        """
        used = len(exchange.store.charges) * PRICE
        data = {
            "object": "token_usage",
            "name": "Default Token",
            "total_granted": QUOTA,
            "total_used": used,
            "total_available": QUOTA - used,
            "unlimited_quota": False,
            "model_limits": {"gpt-4o-mini": True},
            "model_limits_enabled": False,
            "expires_at": 0,
        }
        return json_answer({"code": True, "message": "ok", "data": data})

    def _edition(self, body: Mapping[str, Any]) -> Edition:
        """The edition in which to talk about a submit body."""
        edition = self._behaviour.edition
        return edition_of(body) if edition == "both" else edition


def _ids(body: Any) -> list[str] | None:
    """The ids that a query for many names; None if it names none."""
    ids = body.get("ids") if is_object(body) else None
    return ids if is_list(ids) and all(isinstance(each, str) for each in ids) else None


def _find(exchange: Exchange, generation_id: str) -> FakeGeneration | None:
    """The video of this id. There are no pictures in this format."""
    generation = exchange.store.find(generation_id)
    return None if generation is None or generation.is_image else generation


def _not_usable(source: FakeGeneration | None) -> web.Response:
    """Nothing can be had or made of this generation: it is not known, or not completed.

    Assumed: the status 400 is documented, the code of the second answer is not.
    """
    return no_such_task() if source is None else task_error(400, "task_not_completed", "the task is not completed")


def _wrong_path(exchange: Exchange) -> web.Response:
    """There is nothing under this path."""
    return wrong_path(exchange.seen.method, exchange.seen.path)

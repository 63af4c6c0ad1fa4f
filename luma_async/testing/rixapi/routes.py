"""The routes of the relay dialect (RixAPI), which serve the generations of a store.

Source: the relay's documentation, the recorded answers, and the published source of related relays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs
from aiohttp import web

from luma_async.testing import clips
from luma_async.testing.answers import (
    error_answer,
    html_answer,
    is_list,
    is_object,
    json_answer,
    no_such_task,
    task_error,
    wrong_key,
    wrong_path,
)
from luma_async.testing.exchange import Exchange, Route
from luma_async.testing.rixapi import bodies
from luma_async.testing.rixapi.bodies import Edition, SubmitShape
from luma_async.testing.rixapi.validation import InvalidBodyError, check_body, edition_of, unknown_fields
from luma_async.testing.scripts import Rejection

if TYPE_CHECKING:
    from luma_async.testing.exchange import Credentials
    from luma_async.testing.store import FakeGeneration

Handle: TypeAlias = Callable[[Exchange], web.Response]

USER_ID_HEADERS = ("New-Api-User", "Rix-Api-User", "X-Api-User")
QUOTA = 1_000_000
"""The initial balance of the fake account and its key, in the relay's unit; 500,000 are a dollar on most relays."""
PRICE = 1_000
"""The price of a generation: so low that a test with hundreds of them does not use up the balance."""


@attrs.define(kw_only=True)
class RixAPIBehaviour:
    """The differences between relays; may be changed while the gateway runs."""

    edition: Edition | Literal["both"] = "both"
    """The edition of accepted submit bodies and of answers; "both" answers in the edition of the submit."""
    submit_status: int = 201
    """201 as documented, 200 as on related relays."""
    submit_shape: SubmitShape = "flat"
    """The answer to a submit: flat, flat with more ids, or the id nested in `data`."""
    batch: Literal["envelope", "list", "missing", "html"] = "envelope"
    """The answer to a query for many; "missing" is a 404, "html" a web page with status 200."""
    batch_limit: int | None = None
    """The maximum of ids in such a query; None means no limit."""
    batch_limit_status: int = 413
    """The answer above that limit: 413 or 400."""


class RixAPIRoutes:
    """Answer as the relay does."""

    def __init__(self, behaviour: RixAPIBehaviour, credentials: Credentials, unknown: set[str]) -> None:
        self._behaviour = behaviour
        self._credentials = credentials
        self._unknown_fields = unknown

    def routes(self, prefix: str) -> list[Route]:
        """Every route of the relay, below a path prefix (may be empty)."""
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
        """The route for paths that do not exist; it must come last."""
        return Route(method="*", path="/{tail:.*}", kind="unknown", secret="api_key", handle=_wrong_path)

    def _keyed(self, method: str, path: str, kind: str, handle: Handle) -> Route:
        """A route that requires the API key."""
        return Route(
            method=method, path=path, kind=kind, secret="api_key", handle=functools.partial(self._check_key, handle)
        )

    def _check_key(self, handle: Handle, exchange: Exchange) -> web.Response:
        """Serve the request if it has the API key."""
        accepted = self._credentials.accept(exchange.seen.headers.get("Authorization"))
        return handle(exchange) if accepted else wrong_key()

    def _submit(self, exchange: Exchange) -> web.Response:
        """Start a video, or add audio to a finished video.

        Assumed: audio is a submit with `task_id`; no path of its own is documented.
        """
        body = exchange.seen.body
        source_id = body.get("task_id") if is_object(body) else None
        return self._submit_paid(exchange, "audio" if source_id else "video", source_id=source_id or None)

    def _extend(self, exchange: Exchange) -> web.Response:
        """Start an extension of a video."""
        return self._submit_paid(exchange, "extend", source_id=exchange.generation_id)

    def _submit_paid(self, exchange: Exchange, kind: str, source_id: str | None = None) -> web.Response:
        """Start a paid generation."""
        body = exchange.seen.body
        if not is_object(body):
            return task_error(400, "invalid_request", "the request body is not a JSON object")
        edition = self._edition(body)
        try:
            prompt = check_body(body, edition, needs_ratio=source_id is None)
        except InvalidBodyError as error:
            return task_error(400, "invalid_request", str(error))
        if source_id is not None:
            source = _find(exchange, source_id)
            if source is None or not source.completed:
                return _not_usable(source)
        self._unknown_fields |= unknown_fields(body, edition)
        submitted = exchange.store.submit(kind=kind, prompt=prompt, body=body, source=source_id)
        if isinstance(submitted, Rejection):
            return error_answer(submitted.status, submitted.code, submitted.message)
        if kind == "extend":
            return json_answer(bodies.related(submitted))
        status = self._behaviour.submit_status
        return json_answer(bodies.submitted(submitted, status=status, shape=self._behaviour.submit_shape), status)

    def _query(self, exchange: Exchange) -> web.Response:
        """Return a generation."""
        generation = _find(exchange, exchange.generation_id)
        if generation is None:
            return no_such_task()
        return json_answer(bodies.flat(generation, self._edition(generation.body), exchange.origin))

    def _tasks(self, exchange: Exchange) -> web.Response:
        """Return many generations; unknown ids are left out."""
        behaviour = self._behaviour
        if behaviour.batch == "missing":
            return _wrong_path(exchange)
        if behaviour.batch == "html":
            return html_answer(200)
        ids = _ids(exchange.seen.body)
        if ids is None:
            return task_error(400, "invalid_request", "field ids is required")
        if behaviour.batch_limit is not None and len(ids) > behaviour.batch_limit:
            return task_error(behaviour.batch_limit_status, "invalid_request", "too many ids")
        build = bodies.flat if behaviour.batch == "list" else bodies.row
        found = (_find(exchange, generation_id) for generation_id in dict.fromkeys(ids))
        rows = [build(each, self._edition(each.body), exchange.origin) for each in found if each is not None]
        return json_answer(rows if behaviour.batch == "list" else {"code": "success", "message": "", "data": rows})

    def _link(self, exchange: Exchange) -> web.Response:
        """Return the watermark-free link."""
        generation = _find(exchange, exchange.generation_id)
        if generation is None or not generation.completed:
            return _not_usable(generation)
        if not generation.script.link_endpoint:
            return task_error(400, "fail_to_fetch_task", "the account of this task is gone")
        return json_answer({"url": clips.link(exchange.origin, generation, clips.CLEAN)})

    def _user(self, exchange: Exchange) -> web.Response:
        """Return the account, if the request has the system access token and the user id.

        Assumed: the path is that of related relays with published source.
        """
        headers, token = exchange.seen.headers, self._credentials.access_token
        if token is None or headers.get("Authorization", "").removeprefix("Bearer ") != token:
            return json_answer({"success": False, "message": "无权进行此操作, access token 无效"})
        if str(self._credentials.user_id) not in {headers.get(name) for name in USER_ID_HEADERS}:
            return json_answer({"success": False, "message": "无权进行此操作, 未提供 New-Api-User"}, 401)
        charges = len(exchange.store.charges)
        data = {
            "id": self._credentials.user_id,
            "username": "user123",
            "display_name": "user123",
            "email": "user@example.com",
            "role": 1,
            "status": 1,
            "quota": QUOTA - charges * PRICE,
            "used_quota": charges * PRICE,
            "request_count": charges,
            "group": "default",
            "inviter_id": 0,
            "aff_code": "abc123",
            "aff_count": 5,
            "aff_quota": 10000,
        }
        return json_answer({"success": True, "message": "", "data": data})

    def _key_usage(self, exchange: Exchange) -> web.Response:
        """Return the usage of the API key.

        Assumed: the path is that of related relays with published source.
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
        """The edition of the answers about a submit body."""
        edition = self._behaviour.edition
        return edition_of(body) if edition == "both" else edition


def _ids(body: Any) -> list[str] | None:
    """The ids in a query for many; None if the body has no list of ids."""
    ids = body.get("ids") if is_object(body) else None
    return ids if is_list(ids) and all(isinstance(each, str) for each in ids) else None


def _find(exchange: Exchange, generation_id: str) -> FakeGeneration | None:
    """The video with this id; this dialect has no images."""
    generation = exchange.store.find(generation_id)
    return None if generation is None or generation.is_image else generation


def _not_usable(source: FakeGeneration | None) -> web.Response:
    """The answer about a generation that is unknown or not completed.

    Assumed: the status 400 is documented; the code for "not completed" is not.
    """
    return no_such_task() if source is None else task_error(400, "task_not_completed", "the task is not completed")


def _wrong_path(exchange: Exchange) -> web.Response:
    """The answer to a path that does not exist."""
    return wrong_path(exchange.seen.method, exchange.seen.path)

"""The routes of Luma's Dream Machine API (v1), which serve the generations of a store.

Source: Luma's OpenAPI document 1.1.0, and Luma's documentation for what the document leaves out.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
from aiohttp import web

from luma_async.testing.answers import (
    error_answer,
    is_object,
    json_answer,
    no_such_task,
    task_error,
    wrong_key,
    wrong_path,
)
from luma_async.testing.dream_machine import bodies, validation
from luma_async.testing.dream_machine.validation import PaidRequest, RefusedBodyError
from luma_async.testing.exchange import Exchange, Route
from luma_async.testing.rixapi.bodies import flat
from luma_async.testing.scripts import Rejection

if TYPE_CHECKING:
    from luma_async.testing.exchange import Credentials
    from luma_async.testing.store import FakeGeneration

Handle: TypeAlias = Callable[[Exchange], web.Response]

ROOT = "/dream-machine/v1"
CONCEPTS = ("dolly_zoom", "orbit_left", "orbit_right", "pan_left", "pan_right", "push_in", "pull_out", "static")
CAMERA_MOTIONS = ("Static", "Pan Left", "Pan Right", "Orbit Left", "Orbit Right", "Push In", "Pull Out")
BALANCE_CENTS = 100_000.0
"""The initial balance of the fake account."""
PRICE_CENTS = 10.0
"""The price of a generation of any kind."""
SYNC_TIMEOUT_S = 60.0
"""The longest wait for a synchronous image without `sync_timeout`."""
_PAGE_SIZE = 100
_INTEGER = re.compile(r"-?[0-9]{1,1000}")


@attrs.define(kw_only=True)
class DreamMachineBehaviour:
    """The differences between Luma's service and relays of it; may be changed while the gateway runs."""

    relay: bool = False
    """Whether the gateway behaves like a relay in front of Luma's service.

    Then only the endpoints that relays document exist: the older create path and the query. `model` is optional, null
    means absent, answers have `type`, `version` and nulls, and errors have the form of the relay.
    """
    flat_query: bool = False
    """Whether a query answers with the flat body of the relay dialect, as one relay documents."""


class DreamMachineRoutes:
    """Answer as Luma's own service does."""

    def __init__(self, behaviour: DreamMachineBehaviour, credentials: Credentials, unknown: set[str]) -> None:
        self._behaviour = behaviour
        self._credentials = credentials
        self._unknown_fields = unknown

    def routes(self, prefix: str) -> list[Route]:
        """Every route of the service, below a path prefix (may be empty)."""
        root = f"{prefix}{ROOT}"
        every, one = f"{root}/generations", f"{root}/generations/{{id}}"
        routes = [
            self._route("GET", f"{root}/ping", "ping", _ping),
            self._route("GET", f"{root}/credits", "credits", _credits),
            self._route("GET", f"{every}/concepts/list", "concepts", lambda _: json_answer(CONCEPTS)),
            self._route("GET", f"{every}/camera_motion/list", "camera_motions", lambda _: json_answer(CAMERA_MOTIONS)),
            self._route("GET", every, "list", self._list),
            self._route("POST", every, "submit", self._submit, relayed=True),
            self._route("POST", f"{every}/video", "submit", self._submit),
            self._paid(f"{every}/image", "image", validation.IMAGE),
            self._paid(f"{every}/image/reframe", "reframe", validation.REFRAME_IMAGE),
            self._paid(f"{every}/video/reframe", "reframe", validation.REFRAME_VIDEO),
            self._paid(f"{every}/video/modify", "modify", validation.MODIFY),
            self._paid(f"{one}/upscale", "upscale", validation.UPSCALE),
            self._paid(f"{one}/audio", "audio", validation.AUDIO),
            self._route("GET", one, "query", self._query, relayed=True),
            self._route("DELETE", one, "delete", self._delete),
        ]
        allowed = {route.path: [each.method for each in routes if each.path == route.path] for route in routes}
        missing = [self._missing(path, 405, methods) for path, methods in allowed.items()]
        return [*routes, *missing, self._missing(f"{root}/{{tail:.*}}", 404)]

    def _route(self, method: str, path: str, kind: str, handle: Handle, *, relayed: bool = False) -> Route:
        """A route that requires the API key; `relayed` if relays have it too."""
        guarded = functools.partial(self._check_access, handle, relayed=relayed)
        return Route(method=method, path=path, kind=kind, secret="api_key", handle=guarded)

    def _paid(self, path: str, kind: str, paid: PaidRequest) -> Route:
        """A route of a paid request."""
        return self._route("POST", path, kind, functools.partial(self._submit_paid, paid))

    def _missing(self, path: str, status: int, allowed: list[str] | None = None) -> Route:
        """A route for a path that does not exist, or for methods that a path does not allow."""
        text = "Method Not Allowed" if status == 405 else "Not Found"
        headers = {"Allow": ", ".join(allowed)} if allowed else {}

        def refuse(exchange: Exchange) -> web.Response:
            if self._behaviour.relay:
                return wrong_path(exchange.seen.method, exchange.seen.path)
            return json_answer({"detail": text}, status, headers)

        return Route(method="*", path=path, kind="unknown", secret="api_key", handle=refuse)

    def _check_access(self, handle: Handle, exchange: Exchange, *, relayed: bool) -> web.Response:
        """Serve the request if the endpoint exists here and the key is accepted."""
        if self._behaviour.relay and not relayed:
            return wrong_path(exchange.seen.method, exchange.seen.path)
        if self._credentials.accept(exchange.seen.headers.get("Authorization")):
            return handle(exchange)
        return wrong_key() if self._behaviour.relay else json_answer({"detail": "Invalid API key is provided"}, 401)

    def _submit(self, exchange: Exchange) -> web.Response:
        """Start a video, or an extension of earlier videos."""
        return self._submit_paid(validation.RELAYED_VIDEO if self._behaviour.relay else validation.VIDEO, exchange)

    def _submit_paid(self, paid: PaidRequest, exchange: Exchange) -> web.Response:
        """Start a paid generation."""
        body = exchange.seen.body
        if self._behaviour.relay and is_object(body):
            body = {name: value for name, value in body.items() if value is not None}
        try:
            paid.check(body)
            if self._credentials.strict:
                validation.check_rules(paid, body)
            source_ids = self._check_sources(exchange, body)
        except RefusedBodyError as error:
            return self._refuse(error.status, error.detail)
        self._unknown_fields |= set(body) - set(paid.record.fields)
        submitted = exchange.store.submit(
            kind="extend" if paid.kind == "video" and source_ids else paid.kind,
            prompt=body.get("prompt", ""),
            body=body,
            source=next(iter(source_ids), None),
        )
        if isinstance(submitted, Rejection):
            if self._behaviour.relay:
                return error_answer(submitted.status, submitted.code, submitted.message)
            return json_answer({"detail": submitted.message}, submitted.status)
        if body.get("sync") is True:
            wait_s = min(submitted.script.ends_after_s, float(body.get("sync_timeout", SYNC_TIMEOUT_S)))
            exchange.answer_later(wait_s, lambda: self._show(submitted, exchange, paid.status))
        return self._show(submitted, exchange, paid.status)

    def _check_sources(self, exchange: Exchange, body: Mapping[str, Any]) -> list[str]:
        """The ids of the generations that this request builds on: the id in the path, or those in its keyframes.

        Assumed: the statuses and the messages are not documented.
        """
        in_path = exchange.request.match_info.get("id")
        source_ids = validation.source_ids(body) if in_path is None else [in_path]
        for source_id in source_ids:
            source = self._find(exchange, source_id)
            if source is None:
                raise RefusedBodyError(400 if in_path is None else 404, "Generation not found")
            if not source.completed or source.is_image:
                raise RefusedBodyError(400, "Generation is not a completed video")
        return source_ids

    def _query(self, exchange: Exchange) -> web.Response:
        """Return a generation."""
        generation = self._find(exchange, exchange.generation_id)
        if generation is None:
            return self._not_found()
        if self._behaviour.flat_query:
            return json_answer(flat(generation, "2025", exchange.origin))
        return self._show(generation, exchange)

    def _delete(self, exchange: Exchange) -> web.Response:
        """Delete a generation."""
        generation = self._find(exchange, exchange.generation_id)
        if generation is None:
            return self._not_found()
        generation.deleted = True
        return web.Response(status=204)

    def _list(self, exchange: Exchange) -> web.Response:
        """Return a page of all generations, newest first.

        Assumed: a negative limit or offset counts as 0.
        """
        query = {"limit": str(_PAGE_SIZE), "offset": "0", **exchange.seen.query}
        wrong = [name for name in ("limit", "offset") if not _INTEGER.fullmatch(query[name])]
        if wrong:
            kind = "type_error.integer"
            return self._refuse(
                422, [{"loc": ["query", name], "msg": "value is not a valid integer", "type": kind} for name in wrong]
            )
        limit, offset = int(query["limit"]), int(query["offset"])
        held = exchange.store.newest_first()
        first = max(0, offset)
        last = first + max(0, limit)
        page = [bodies.generation_body(generation, exchange.origin) for generation in held[first:last]]
        body = {"has_more": last < len(held), "count": len(page), "limit": limit, "offset": offset}
        return json_answer({**body, "generations": page})

    def _show(self, generation: FakeGeneration, exchange: Exchange, status: int = 200) -> web.Response:
        """Answer with a generation."""
        build = bodies.relayed_body if self._behaviour.relay else bodies.generation_body
        return json_answer(build(generation, exchange.origin), status)

    def _find(self, exchange: Exchange, generation_id: str) -> FakeGeneration | None:
        """The generation; without `strict`, there is a generation for every id."""
        if self._credentials.strict:
            return exchange.store.find(generation_id)
        return exchange.store.find_or_invent(generation_id)

    def _not_found(self) -> web.Response:
        """The answer to an unknown id."""
        return no_such_task() if self._behaviour.relay else json_answer({"detail": "Generation not found"}, 404)

    def _refuse(self, status: int, detail: Any) -> web.Response:
        """Refuse a request; a relay wraps the refusal of the service."""
        body = {"detail": detail}
        if self._behaviour.relay:
            return task_error(status, "fail_to_fetch_task", json.dumps(body, separators=(",", ":")))
        return json_answer(body, status)


def _ping(_exchange: Exchange) -> web.Response:
    """Answer a ping."""
    return json_answer({"message": "pong"})


def _credits(exchange: Exchange) -> web.Response:
    """Return the balance of the account."""
    return json_answer({"credit_balance": BALANCE_CENTS - PRICE_CENTS * len(exchange.store.charges)})

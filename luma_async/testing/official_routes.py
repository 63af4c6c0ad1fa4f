"""The routes of the official format (Dream Machine v1) over the same store of generations.

Source: Luma's OpenAPI document 1.1.0 and its documentation for what the document leaves out.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
from aiohttp import web

from luma_async.testing import official_bodies, official_orders, rix_bodies
from luma_async.testing.answers import error_answer, json_answer, no_such_task, task_error, wrong_key, wrong_path
from luma_async.testing.exchange import Exchange, Route
from luma_async.testing.json_shapes import is_object
from luma_async.testing.official_orders import Order, RefusedBodyError
from luma_async.testing.scripts import Rejection

if TYPE_CHECKING:
    from luma_async.testing.credentials import Credentials
    from luma_async.testing.store import FakeGeneration

Handle: TypeAlias = Callable[[Exchange], web.Response]

ROOT = "/dream-machine/v1"
CONCEPTS = ("dolly_zoom", "orbit_left", "orbit_right", "pan_left", "pan_right", "push_in", "pull_out", "static")
CAMERA_MOTIONS = ("Static", "Pan Left", "Pan Right", "Orbit Left", "Orbit Right", "Push In", "Pull Out")
BALANCE_CENTS = 100_000.0
"""What the fake account owns at first."""
PRICE_CENTS = 10.0
"""What one generation of any kind takes of it."""
SYNC_TIMEOUT_S = 60.0
"""How long a synchronous image may take if the request does not say."""
_PAGE = 100
_WHOLE = re.compile(r"-?[0-9]{1,1000}")


@attrs.define(kw_only=True)
class OfficialBehaviour:
    """The differences between the official service and relays; each may be changed while the gateway runs."""

    relay: bool = False
    """Whether a relay stands in front.

    Then only what relays document is there: the older create path and the query. `model` may be left out, null is as
    good as nothing, answers say `type` and `version` and have nulls, and errors look like the relay's own.
    """
    flat_query: bool = False
    """Whether a query answers with the flat body of the relay's own format, as one relay documents."""


class OfficialRoutes:
    """Answers as Luma's own service does."""

    def __init__(self, behaviour: OfficialBehaviour, credentials: Credentials, unknown: set[str]) -> None:
        self._behaviour = behaviour
        self._credentials = credentials
        self._unknown_fields = unknown

    def routes(self, prefix: str) -> list[Route]:
        """Every route of the service, below a path prefix, which may be empty."""
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
            self._paid(f"{every}/image", "image", official_orders.IMAGE),
            self._paid(f"{every}/image/reframe", "reframe", official_orders.REFRAME_IMAGE),
            self._paid(f"{every}/video/reframe", "reframe", official_orders.REFRAME_VIDEO),
            self._paid(f"{every}/video/modify", "modify", official_orders.MODIFY),
            self._paid(f"{one}/upscale", "upscale", official_orders.UPSCALE),
            self._paid(f"{one}/audio", "audio", official_orders.AUDIO),
            self._route("GET", one, "query", self._query, relayed=True),
            self._route("DELETE", one, "delete", self._delete),
        ]
        allowed = {route.path: [each.method for each in routes if each.path == route.path] for route in routes}
        nowhere = [self._nowhere(path, 405, methods) for path, methods in allowed.items()]
        return [*routes, *nowhere, self._nowhere(f"{root}/{{tail:.*}}", 404)]

    def _route(self, method: str, path: str, kind: str, handle: Handle, *, relayed: bool = False) -> Route:
        """A route that wants the API key; `relayed` if relays have it too."""
        guarded = functools.partial(self._admit, handle, relayed=relayed)
        return Route(method=method, path=path, kind=kind, secret="api_key", handle=guarded)

    def _paid(self, path: str, kind: str, order: Order) -> Route:
        """A route at which something is bought."""
        return self._route("POST", path, kind, functools.partial(self._buy, order))

    def _nowhere(self, path: str, status: int, allowed: list[str] | None = None) -> Route:
        """A path, or the methods of one, under which there is nothing."""
        text = "Method Not Allowed" if status == 405 else "Not Found"
        headers = {"Allow": ", ".join(allowed)} if allowed else {}

        def refuse(exchange: Exchange) -> web.Response:
            if self._behaviour.relay:
                return wrong_path(exchange.seen.method, exchange.seen.path)
            return json_answer({"detail": text}, status, headers)

        return Route(method="*", path=path, kind="unknown", secret="api_key", handle=refuse)

    def _admit(self, handle: Handle, exchange: Exchange, *, relayed: bool) -> web.Response:
        """Serve whoever shows a key that opens, where there is something to serve."""
        if self._behaviour.relay and not relayed:
            return wrong_path(exchange.seen.method, exchange.seen.path)
        if self._credentials.admit(exchange.seen.headers.get("Authorization")):
            return handle(exchange)
        return wrong_key() if self._behaviour.relay else json_answer({"detail": "Invalid API key is provided"}, 401)

    def _submit(self, exchange: Exchange) -> web.Response:
        """Start a video, maybe from earlier ones."""
        return self._buy(official_orders.RELAYED_VIDEO if self._behaviour.relay else official_orders.VIDEO, exchange)

    def _buy(self, order: Order, exchange: Exchange) -> web.Response:
        """Start something that is paid for."""
        body = exchange.seen.body
        if self._behaviour.relay and is_object(body):
            body = {name: value for name, value in body.items() if value is not None}
        try:
            order.check(body)
            if self._credentials.strict:
                official_orders.check_rules(order, body)
            source_ids = self._check_sources(exchange, body)
        except RefusedBodyError as error:
            return self._refuse(error.status, error.detail)
        self._unknown_fields |= set(body) - set(order.record.fields)
        bought = exchange.store.buy(
            kind="extend" if order.kind == "video" and source_ids else order.kind,
            prompt=body.get("prompt", ""),
            body=body,
            source=next(iter(source_ids), None),
        )
        if isinstance(bought, Rejection):
            if self._behaviour.relay:
                return error_answer(bought.status, bought.code, bought.message)
            return json_answer({"detail": bought.message}, bought.status)
        if body.get("sync") is True:
            wait_s = min(bought.script.ends_after_s, float(body.get("sync_timeout", SYNC_TIMEOUT_S)))
            exchange.answer_later(wait_s, lambda: self._show(bought, exchange, order.status))
        return self._show(bought, exchange, order.status)

    def _check_sources(self, exchange: Exchange, body: Mapping[str, Any]) -> list[str]:
        """The earlier generations that this one needs: the one in the path, or those that frames are taken from.

        Assumed: the statuses and the words are documented nowhere.
        """
        in_path = exchange.request.match_info.get("id")
        source_ids = official_orders.sources(body) if in_path is None else [in_path]
        for source_id in source_ids:
            source = self._find(exchange, source_id)
            if source is None:
                raise RefusedBodyError(400 if in_path is None else 404, "Generation not found")
            if not source.completed or source.is_image:
                raise RefusedBodyError(400, "Generation is not a completed video")
        return source_ids

    def _query(self, exchange: Exchange) -> web.Response:
        """Show one generation."""
        generation = self._find(exchange, exchange.generation_id)
        if generation is None:
            return self._not_found()
        if self._behaviour.flat_query:
            return json_answer(rix_bodies.flat(generation, "2025", exchange.origin))
        return self._show(generation, exchange)

    def _delete(self, exchange: Exchange) -> web.Response:
        """Forget one generation."""
        generation = self._find(exchange, exchange.generation_id)
        if generation is None:
            return self._not_found()
        generation.deleted = True
        return web.Response(status=204)

    def _list(self, exchange: Exchange) -> web.Response:
        """Show a page of all generations, newest first.

        Assumed: a negative limit or offset is as good as 0.
        """
        asked = {"limit": str(_PAGE), "offset": "0", **exchange.seen.query}
        wrong = [name for name in ("limit", "offset") if not _WHOLE.fullmatch(asked[name])]
        if wrong:
            kind = "type_error.integer"
            return self._refuse(
                422, [{"loc": ["query", name], "msg": "value is not a valid integer", "type": kind} for name in wrong]
            )
        limit, offset = int(asked["limit"]), int(asked["offset"])
        held = exchange.store.newest_first()
        first = max(0, offset)
        last = first + max(0, limit)
        page = [official_bodies.official(generation, exchange.origin) for generation in held[first:last]]
        body = {"has_more": last < len(held), "count": len(page), "limit": limit, "offset": offset}
        return json_answer({**body, "generations": page})

    def _show(self, generation: FakeGeneration, exchange: Exchange, status: int = 200) -> web.Response:
        """Tell what has become of a generation."""
        spell = official_bodies.relayed if self._behaviour.relay else official_bodies.official
        return json_answer(spell(generation, exchange.origin), status)

    def _find(self, exchange: Exchange, generation_id: str) -> FakeGeneration | None:
        """The generation; a gateway that is not strict has one for every id."""
        if self._credentials.strict:
            return exchange.store.find(generation_id)
        return exchange.store.find_or_invent(generation_id)

    def _not_found(self) -> web.Response:
        """There is no such generation."""
        return no_such_task() if self._behaviour.relay else json_answer({"detail": "Generation not found"}, 404)

    def _refuse(self, status: int, detail: Any) -> web.Response:
        """Refuse a request; a relay wraps what the service said."""
        body = {"detail": detail}
        if self._behaviour.relay:
            return task_error(status, "fail_to_fetch_task", json.dumps(body, separators=(",", ":")))
        return json_answer(body, status)


def _ping(_exchange: Exchange) -> web.Response:
    """Be there."""
    return json_answer({"message": "pong"})


def _credits(exchange: Exchange) -> web.Response:
    """Show what is left of the account."""
    return json_answer({"credit_balance": BALANCE_CENTS - PRICE_CENTS * len(exchange.store.charges)})

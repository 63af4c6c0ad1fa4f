"""A fake service: a real HTTP server that speaks the RixAPI and the official format and counts what it charges for."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from aiohttp import web
from yarl import URL

from luma_async.testing import clips
from luma_async.testing.clock import FakeClock
from luma_async.testing.credentials import Credentials
from luma_async.testing.exchange import Exchange, Route, Seen
from luma_async.testing.faults import Fault, FaultPlan
from luma_async.testing.official_routes import ROOT, OfficialBehaviour, OfficialRoutes
from luma_async.testing.rix_routes import RixBehaviour, RixRoutes
from luma_async.testing.scripts import ScriptChoice, succeeds
from luma_async.testing.store import Charge, FakeGeneration, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luma_async.testing.rix_bodies import Edition, SubmitShape

_BODY_CAP_BYTES = 64 * 1024 * 1024
"""Room for two inline pictures; a relay's own bound on bodies is not documented."""
_IDLE_S = 75.0
"""What common reverse proxies grant an idle connection."""
_STOP_S = 2.0
"""Handlers let go when the server stops; this only bounds a client that reads nothing."""


class FakeGateway:
    """Run a service on this machine that plays scripts instead of making videos.

    It speaks the relay's format (`/luma/…`) and Luma's official one (`/dream-machine/v1/…`) about the same generations:
    what was bought in one can be looked at in the other, except pictures, which relays do not know.

    Use it with `async with`, or `await start()` and `await stop()`; what it has seen stays readable afterwards, and it
    can be started again on the same port with the same generations. All durations run on the event loop's clock, so
    under virtual time minutes take milliseconds.

    Args:
        api_key: the key that clients must show.
        strict: only this key opens, unknown ids are unknown, and prompts are checked. Otherwise any key does, the
            official format has a completed video for every id, and takes whatever its schema allows, so that any client
            can be pointed at it.
        script: what becomes of a generation whose prompt has no script of its own in `scripts`; or a function of the
            prompt and the number of generations asked for before, for shares and random ones.
        edition: the submit bodies that are understood: "2024" (`user_prompt`), "2025" (`prompt`), or both.
        submit_status: 201 as documented, or 200 as on sister relays.
        submit_shape: the answer to a submit: "flat", "server_id" (flat with more ids) or "nested" (the id in `data`).
        batch: the answer to a query for many: "envelope", "list", "missing" (404) or "html" (a web page with 200).
        batch_limit: how many ids such a query may have; None for any number.
        batch_limit_status: the answer to more: 413 or 400.
        free_slots: how many generations may run at once; a submit above it gets 429. None for any number.
        official: how the official format is spoken, by the service itself unless it says otherwise.
        links_live_s: seconds that a watermark-free link works after it was given out; None for ever.
        access_token: the system access token that the account endpoint wants; None lets nobody in.
        user_id: the id that its header must name.
        prefix: a path in front of every route but the files.
        host: the interface to listen on.
        port: 0 takes a free one.
        close_idle_after: seconds after which an idle connection is closed, without a word to the client.
        record: whether `requests` keeps every request; counts, charges and leaks are always kept.
        clock: a function that returns seconds, in place of the running loop's clock.
    """

    def __init__(
        self,
        *,
        api_key: str = "sk-fake",
        strict: bool = True,
        script: ScriptChoice | None = None,
        edition: Edition | Literal["both"] = "both",
        submit_status: int = 201,
        submit_shape: SubmitShape = "flat",
        batch: Literal["envelope", "list", "missing", "html"] = "envelope",
        batch_limit: int | None = None,
        batch_limit_status: int = 413,
        free_slots: int | None = None,
        official: OfficialBehaviour | None = None,
        links_live_s: int | None = None,
        access_token: str | None = None,
        user_id: int = 1,
        prefix: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        close_idle_after: float = _IDLE_S,
        record: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.api_key = api_key
        self.access_token = access_token
        self.user_id = user_id
        self.host = host
        self.port: int = port
        self.counts: Counter[str] = Counter()
        """Requests per kind. Of both formats: submit, query, file, unknown. Of the relay's: extend, tasks, link, user,
        key. Of the official one: list, delete, upscale, audio, image, reframe, modify, concepts, camera_motions,
        credits, ping."""
        self.unknown_fields: set[str] = set()
        """Fields that submits had and the documentation of their format has not. They are ignored."""
        self.behaviour: RixBehaviour = RixBehaviour(
            edition=edition,
            submit_status=submit_status,
            submit_shape=submit_shape,
            batch=batch,
            batch_limit=batch_limit,
            batch_limit_status=batch_limit_status,
        )
        """The differences between relays; may be changed at any moment."""
        self.official: OfficialBehaviour = official or OfficialBehaviour()
        """How the official format is spoken; may be changed at any moment."""
        self._prefix = prefix
        self._close_idle_after_s = close_idle_after
        self._record = record
        self._clock = FakeClock(clock)
        plays = script or succeeds()
        self._store = Store(clock=self._clock, script=plays, free_slots=free_slots, links_live_s=links_live_s)
        self.scripts: dict[str, ScriptChoice] = self._store.scripts
        """Scripts per prompt; a prompt without one plays the default."""
        self._faults = FaultPlan()
        self._requests: list[Seen] = []
        self._leaks: list[Seen] = []
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        credentials = Credentials(api_key=api_key, access_token=access_token, user_id=user_id, strict=strict)
        self._routes = self._build_routes(credentials, prefix)

    def _build_routes(self, credentials: Credentials, prefix: str) -> list[Route]:
        """The routes of both formats, and of the files that both point at."""
        rix = RixRoutes(self.behaviour, credentials, self.unknown_fields)
        luma = OfficialRoutes(self.official, credentials, self.unknown_fields)
        return [*clips.routes(), *rix.routes(prefix), *luma.routes(prefix), rix.fallback()]

    async def start(self) -> None:
        """Listen. It returns when connections are accepted.

        Raises:
            OSError: the port is taken, or there is no such interface.
            OverflowError: there is no such port.
        """
        app = web.Application(client_max_size=_BODY_CAP_BYTES)
        for route in self._routes:
            app.router.add_route(route.method, route.path, self._handler(route))
        self._closing.clear()
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=self._close_idle_after_s, shutdown_timeout=_STOP_S
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except Exception:
            await self.stop()
            raise
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection and stop listening; generations go on in time."""
        if self._runner is not None:
            self._closing.set()
            await self._runner.cleanup()
            self._runner = None

    async def serve_forever(self) -> None:
        """Start unless it is started, and serve until cancelled."""
        if self._runner is None:
            await self.start()
        try:
            await asyncio.Event().wait()
        finally:
            await self.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def base_url(self) -> str:
        """Where clients find it, without a slash at the end; the port is known once it is started."""
        return str(URL.build(scheme="http", host=self.host, port=self.port)) + self._prefix

    @property
    def official_url(self) -> str:
        """The base URL as clients of Luma's own service want it, `…/dream-machine/v1`."""
        return self.base_url + ROOT

    @property
    def charges(self) -> tuple[Charge, ...]:
        """The paid submits that started a generation, in order."""
        return tuple(self._store.charges)

    @property
    def generations(self) -> Mapping[str, FakeGeneration]:
        """Every generation by its id; it tells its state now."""
        return MappingProxyType(self._store.generations)

    @property
    def running(self) -> int:
        """How many generations have not ended."""
        return self._store.running

    @property
    def requests(self) -> tuple[Seen, ...]:
        """Everything that arrived, in order; empty with `record=False`."""
        return tuple(self._requests)

    @property
    def leaks(self) -> tuple[Seen, ...]:
        """Requests that carried a secret where it does not belong.

        The API key or the access token in any address; either of them, or any `Authorization` header, at a file; either
        of them at an endpoint that wants the other.
        """
        return tuple(self._leaks)

    @property
    def free_slots(self) -> int | None:
        """How many generations may run at once; may be changed at any moment."""
        return self._store.free_slots

    @free_slots.setter
    def free_slots(self, slots: int | None) -> None:
        self._store.free_slots = slots

    def inject(
        self, fault: Fault, on: str = "submit", times: float = 1, when: Callable[[Seen], bool] | None = None
    ) -> None:
        """Let a fault strike.

        Faults of one kind of request strike in the order in which they were injected, each `times` times.

        Args:
            fault: what goes wrong.
            on: the kind of request, as in `counts`.
            times: how often; `ALWAYS` until `clear_faults()`.
            when: strikes only requests for which this is true; others are left to the faults behind it.

        Raises:
            TypeError: it is no fault, such as `hang` without its parentheses.
            ValueError: there is no such kind of request.
        """
        kinds = {route.kind for route in self._routes}
        _check_fault(fault)
        if on not in kinds:
            raise ValueError(f"There is no kind of request {on!r}; the kinds are {', '.join(sorted(kinds))}.")
        self._faults.add(fault, on, times, when)

    def clear_faults(self, on: str | None = None) -> None:
        """Forget the faults that wait for a kind of request, or all of them."""
        self._faults.clear(on)

    def _handler(self, route: Route) -> Callable[[web.Request], Any]:
        """What aiohttp calls for a route."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._answer(route, request)

        return handle

    async def _answer(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Count and record a request, then let a fault have it, or serve it."""
        self.counts[route.kind] += 1
        fault = self._faults.take_before_reading(route.kind)
        try:
            raw = b"" if fault else await request.read()
        except ConnectionError:
            return web.Response()
        seen = self._see(route, request, raw)
        fault = fault or self._faults.take(seen)
        exchange = Exchange(request=request, route=route, seen=seen, store=self._store, closing=self._closing)
        if fault is None:
            return await exchange.answer()
        try:
            return await fault.act(exchange)
        except ConnectionError:
            return exchange.close_connection()

    def _see(self, route: Route, request: web.Request, raw: bytes) -> Seen:
        """Keep what arrived, and note a secret in the wrong place."""
        seen = Seen(
            kind=route.kind,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=_decoded(raw),
            at=self._clock.now(),
        )
        if self._record:
            self._requests.append(seen)
        if self._is_leak(route, request):
            self._leaks.append(seen)
        return seen

    def _is_leak(self, route: Route, request: web.Request) -> bool:
        """Whether a request carries a secret where it does not belong."""
        secrets = {"api_key": self.api_key, "access_token": self.access_token}
        foreign = [secret for name, secret in secrets.items() if secret and name != route.secret]
        return (
            (route.secret is None and "Authorization" in request.headers)
            or any(secret and secret in request.path_qs for secret in secrets.values())
            or any(secret in value for secret in foreign for value in request.headers.values())
        )


def _decoded(raw: bytes) -> Any:
    """The JSON of a body, or None."""
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        return None


def _check_fault(fault: object) -> None:
    if not isinstance(fault, Fault):
        raise TypeError(f"inject() takes a fault such as hang() or server_error(503), not {fault!r}.")

"""The fake gateway: a real HTTP server that speaks three dialects and counts its charges."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from aiohttp import web
from yarl import URL

from luma_async.testing import clips
from luma_async.testing.agents.files import FakeFile, FakeFiles
from luma_async.testing.agents.routes import ROOT as AGENTS_ROOT
from luma_async.testing.agents.routes import AgentsBehaviour, AgentsRoutes
from luma_async.testing.dream_machine.routes import ROOT, DreamMachineBehaviour, DreamMachineRoutes
from luma_async.testing.exchange import Credentials, Exchange, Received, Route, Seen
from luma_async.testing.faults.plan import Fault, FaultPlan
from luma_async.testing.rixapi.routes import RixAPIBehaviour, RixAPIRoutes
from luma_async.testing.scripts import ScriptChoice, succeeds
from luma_async.testing.store import Charge, FakeClock, FakeGeneration, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luma_async.testing.rixapi.bodies import Edition, SubmitShape

_MAX_BODY_BYTES = 128 * 1024 * 1024
"""Enough for an inline image of more than 50 MB, which is refused; relays do not document their own limit."""
_IDLE_S = 75.0
"""How long common reverse proxies keep an idle connection."""
_STOP_S = 2.0
"""Handlers return when the server stops; this only limits the wait for a client that reads nothing."""


class FakeGateway:
    """Run a service on this machine whose generations follow scripts.

    It speaks the relay dialect (`/luma/…`), that of Luma's Dream Machine API (`/dream-machine/v1/…`) and that of Luma's
    Agents API (`/v1/…`) about the same generations: what was submitted in one is visible in the others, except images,
    which relays do not know.

    Use it with `async with`, or `await start()` and `await stop()`. What it recorded stays readable afterwards, and it
    can be started again on the same port with the same generations. All durations use the event loop's clock, so with
    virtual time minutes take milliseconds.

    Args:
        api_key: the key that clients must send.
        strict: accept only this key, find only existing ids, and check prompts. Otherwise any key is accepted, and
            Luma's APIs find a completed video under every id, accept whatever their schemas allow and enforce no limit,
            so that any client can be pointed at them.
        script: the script of generations whose prompt is not in `scripts`; or a function of the prompt and the number
            of scripts chosen so far.
        edition: the submit bodies that the relay dialect accepts: "2024" (`user_prompt`), "2025" (`prompt`), or both.
        submit_status: 201 as documented, or 200 as on related relays.
        submit_shape: the answer to a submit: "flat", "server_id" (flat with more ids) or "nested" (the id in `data`).
        batch: the answer to a query for many: "envelope", "list", "missing" (404) or "html" (a web page with 200).
        batch_limit: the maximum of ids in such a query; None means no limit.
        batch_limit_status: the answer above that limit: 413 or 400.
        free_slots: how many generations may run at once; more submits get a 429. None means no limit.
        dream_machine: how the Dream Machine API behaves; by default as Luma's own service.
        agents: how the Agents API behaves; by default as Luma's guides say.
        links_live_s: seconds that a watermark-free link works after it was issued; None means forever.
        access_token: the system access token that the account endpoint requires; None refuses every request there.
        user_id: the user id that the header of such a request must have.
        prefix: a path in front of every route except the files.
        host: the interface to listen on.
        port: 0 picks a free port.
        close_idle_after: seconds after which an idle connection is closed.
        on_request: called after each request with what arrived, the status of the answer (None if there was none), and
            the fault that applied.
        record: whether `requests` keeps every request; counts, charges and leaks are always kept.
        clock: a function that returns seconds; by default the running loop's clock.
    """

    _runner: web.AppRunner | None = None

    api_key: str
    access_token: str | None
    user_id: int

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
        dream_machine: DreamMachineBehaviour | None = None,
        agents: AgentsBehaviour | None = None,
        links_live_s: int | None = None,
        access_token: str | None = None,
        user_id: int = 1,
        prefix: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        close_idle_after: float = _IDLE_S,
        on_request: Callable[[Seen, int | None, Fault | None], None] | None = None,
        record: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.api_key, self.access_token, self.user_id = api_key, access_token, user_id
        self.host = host
        self.port: int = port
        self.counts: Counter[str] = Counter()
        """Requests per kind. All dialects: submit, query, file, unknown. Relay: extend, tasks, link, user, key. Dream
        Machine: list, delete, upscale, audio, image, reframe, modify, concepts, camera_motions, credits, ping. Agents:
        file_create, file_list, file_get, file_complete, file_delete, and upload for the storage host."""
        self.unknown_fields: set[str] = set()
        """Fields of submits that their dialect does not document. The gateway ignores them."""
        self.behaviour: RixAPIBehaviour = RixAPIBehaviour(
            edition=edition,
            submit_status=submit_status,
            submit_shape=submit_shape,
            batch=batch,
            batch_limit=batch_limit,
            batch_limit_status=batch_limit_status,
        )
        """The differences between relays; may be changed at any time."""
        self.dream_machine: DreamMachineBehaviour = dream_machine or DreamMachineBehaviour()
        """How the Dream Machine API behaves; may be changed at any time."""
        self.agents: AgentsBehaviour = agents or AgentsBehaviour()
        """How the Agents API behaves; may be changed at any time."""
        self._prefix, self._close_idle_after_s = prefix, close_idle_after
        self._on_request, self._record = on_request, record
        self._clock = FakeClock(clock)
        self._files = FakeFiles(self._clock)
        script = script or succeeds()
        self._store = Store(clock=self._clock, script=script, free_slots=free_slots, links_live_s=links_live_s)
        self.scripts: dict[str, ScriptChoice] = self._store.scripts
        """Scripts per prompt; other prompts get the default script."""
        self._requests: list[Seen] = []
        self._leaks: list[Seen] = []
        self._faults, self._closing = FaultPlan(), asyncio.Event()
        credentials = Credentials(api_key=api_key, access_token=access_token, user_id=user_id, strict=strict)
        self._routes = self._build_routes(credentials, prefix)

    def _build_routes(self, credentials: Credentials, prefix: str) -> list[Route]:
        """The routes of every dialect, and of the files that they link to."""
        rixapi = RixAPIRoutes(self.behaviour, credentials, self.unknown_fields)
        dream_machine = DreamMachineRoutes(self.dream_machine, credentials, self.unknown_fields)
        agents = AgentsRoutes(self.agents, credentials, self.unknown_fields, self._files, self._clock)
        dialects = (rixapi, dream_machine, agents)
        return [*clips.routes(), *(route for each in dialects for route in each.routes(prefix)), rixapi.fallback()]

    async def start(self) -> None:
        """Start to listen; return when connections are accepted.

        Raises:
            OSError: the port is in use, or the interface does not exist.
            OverflowError: the port number is out of range.
        """
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
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
        """Close every connection and stop listening. Generations keep aging."""
        if self._runner is not None:
            self._closing.set()
            await self._runner.cleanup()
            self._runner = None

    async def serve_forever(self) -> None:
        """Start, unless it was started already, and serve until cancelled."""
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
        """The base URL, without a trailing slash. The port is known once the gateway is started."""
        return str(URL.build(scheme="http", host=self.host, port=self.port)) + self._prefix

    @property
    def dream_machine_url(self) -> str:
        """The base URL in the form that Luma's SDK expects, `…/dream-machine/v1`."""
        return self.base_url + ROOT

    @property
    def agents_url(self) -> str:
        """The base URL of the Agents API in the form that Luma's SDK expects, `…/v1`."""
        return self.base_url + AGENTS_ROOT

    @property
    def files(self) -> Mapping[str, FakeFile]:
        """Every file that was announced to the Agents API by its id, each with its current state."""
        return MappingProxyType(self._files.held)

    @property
    def charges(self) -> tuple[Charge, ...]:
        """The paid submits that started a generation, in order."""
        return tuple(self._store.charges)

    @property
    def generations(self) -> Mapping[str, FakeGeneration]:
        """Every generation by its id, each with its current state."""
        return MappingProxyType(self._store.generations)

    @property
    def running(self) -> int:
        """How many generations are running."""
        return self._store.running

    @property
    def requests(self) -> tuple[Seen, ...]:
        """Every request, in order; empty with `record=False`."""
        return tuple(self._requests)

    @property
    def leaks(self) -> tuple[Seen, ...]:
        """Requests with a secret in the wrong place.

        The API key or the access token in any URL; either of them, or any `Authorization` header, in a request for a
        file or to the storage host; either of them at an endpoint that expects the other.
        """
        return tuple(self._leaks)

    @property
    def free_slots(self) -> int | None:
        """How many generations may run at once; may be changed at any time."""
        return self._store.free_slots

    @free_slots.setter
    def free_slots(self, slots: int | None) -> None:
        self._store.free_slots = slots

    def inject(
        self, fault: Fault, on: str = "submit", times: float = 1, when: Callable[[Seen], bool] | None = None
    ) -> None:
        """Apply a fault to the next requests of a kind.

        Faults on the same kind apply in the order in which they were injected, each `times` times.

        Args:
            fault: what goes wrong.
            on: the kind of request, as in `counts`.
            times: how often; `ALWAYS` means until `clear_faults()`.
            when: apply it only to requests for which this returns true; other requests meet the faults after it.

        Raises:
            TypeError: not a fault, for example `hang` without parentheses.
            ValueError: the kind of request does not exist.
        """
        kinds = {route.kind for route in self._routes}
        _check_fault(fault)
        if on not in kinds:
            raise ValueError(f"{on!r} is not a kind of request; the kinds are {', '.join(sorted(kinds))}.")
        self._faults.add(fault, on, times, when)

    def clear_faults(self, on: str | None = None) -> None:
        """Drop the faults planned for a kind of request, or all of them."""
        self._faults.clear(on)

    def _handler(self, route: Route) -> Callable[[web.Request], Any]:
        """The handler of a route, for aiohttp."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._answer(route, request)

        return handle

    async def _answer(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Count and record a request, then apply a fault or serve it."""
        self.counts[route.kind] += 1
        fault = self._faults.take_before_reading(route.kind)
        raw, received = b"", None
        try:
            if route.streams and not fault:
                received = await Received.read(request)
            elif not fault:
                raw = await request.read()
        except ConnectionError:
            return web.Response()
        seen = self._see(route, request, raw)
        fault = fault or self._faults.take(seen)
        exchange = Exchange(
            request=request,
            route=route,
            seen=seen,
            store=self._store,
            closing=self._closing,
            raw=raw,
            received=received,
        )
        status: int | None = None
        try:
            response = await (exchange.answer() if fault is None else fault.act(exchange))
            status = None if fault is not None and fault.loses_answer else response.status
        except ConnectionError:
            response = exchange.close_connection()
        finally:
            if self._on_request is not None:
                self._on_request(seen, status, fault)
        return response

    def _see(self, route: Route, request: web.Request, raw: bytes) -> Seen:
        """Record a request, and note a secret in the wrong place."""
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
        """Whether a request has a secret in the wrong place."""
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
        raise TypeError(f"inject() expects a fault such as hang() or server_error(503), not {fault!r}.")

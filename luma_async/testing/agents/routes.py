"""The routes of Luma's Agents API (v1), which serve the generations of a store and files of their own.

Source: Luma's Python SDK `luma-agents` 0.5.0, and Luma's guides to errors and to rate limits.
"""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
from aiohttp import web

from luma_async.testing.agents import bodies, files, limits, rules, schema
from luma_async.testing.answers import json_answer
from luma_async.testing.dream_machine.validation import RefusedBodyError
from luma_async.testing.exchange import Exchange, Route
from luma_async.testing.scripts import Rejection
from luma_async.testing.store import SATURATED

if TYPE_CHECKING:
    from luma_async.testing.exchange import Credentials
    from luma_async.testing.store import FakeClock, FakeGeneration

Handle: TypeAlias = Callable[[Exchange], web.Response]

ROOT = "/v1"
API_VERSION = "2026-04-01"
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


@attrs.define(kw_only=True)
class AgentsBehaviour:
    """How the Agents API behaves; may be changed while the gateway runs.

    A gateway with `strict=False` enforces no limit.
    """

    submits_per_minute: int | None = 30
    """How many submits any 60 seconds may have; None means no limit."""
    max_unfinished: int | None = 10
    """How many jobs may be unfinished at once; None means no limit. `free_slots` of the gateway applies as well."""
    requests_per_minute: int | None = None
    """The general ceiling, for requests of every kind; None means no limit."""
    rate_headers: bool = True
    """Whether answers to submits have `X-RateLimit-…` headers."""
    links_live_s: int = 3600
    """Seconds that a link works after the answer that named it; scripts may say otherwise."""
    file_ready_after_s: float = 1.0
    """Seconds from the completion of a file until it is ready."""
    file_failure: str | None = None
    """The reason for which files fail when they are taken in; None means that they become ready."""
    unreachable_urls: frozenset[str] = frozenset()
    """The URLs that the service cannot fetch."""


class AgentsRoutes:
    """Answer as Luma's service does."""

    def __init__(
        self,
        behaviour: AgentsBehaviour,
        credentials: Credentials,
        unknown: set[str],
        held: files.FakeFiles,
        clock: FakeClock,
    ) -> None:
        self._files = held
        self._behaviour = behaviour
        self._credentials = credentials
        self._unknown_fields = unknown
        self._clock = clock
        self._submits = limits.Window()
        self._requests = limits.Window()
        self._unfinished = limits.Unfinished()

    def routes(self, prefix: str) -> list[Route]:
        """Every route of the service, below a path prefix (may be empty), and the storage host without it."""
        root = f"{prefix}{ROOT}"
        every, one = f"{root}/files", f"{root}/files/{{id}}"
        routes = [
            self._route("POST", f"{root}/generations", "submit", self._submit),
            self._route("GET", f"{root}/generations/{{id}}", "query", self._query),
            self._route("POST", every, "file_create", self._create_file),
            self._route("GET", every, "file_list", self._list_files),
            self._route("GET", one, "file_get", self._get_file),
            self._route("POST", f"{one}/complete", "file_complete", self._complete_file),
            self._route("DELETE", one, "file_delete", self._delete_file),
        ]
        allowed = {route.path: [each.method for each in routes if each.path == route.path] for route in routes}
        missing = [self._missing(path, 405, methods) for path, methods in allowed.items()]
        put = functools.partial(files.store_bytes, self._files)
        storage = Route(method="PUT", path="/uploads/{id}", kind="upload", secret=None, handle=put, streams=True)
        return [storage, *routes, *missing, self._missing(f"{root}/{{tail:.*}}", 404)]

    def _route(self, method: str, path: str, kind: str, handle: Handle) -> Route:
        """A route that requires the API key, and whose refusals are answers."""
        guarded = functools.partial(self._answer, handle)
        return Route(method=method, path=path, kind=kind, secret="api_key", handle=guarded)

    def _missing(self, path: str, status: int, allowed: list[str] | None = None) -> Route:
        """A route for a path that does not exist, or for methods that a path does not allow."""
        text = "Method Not Allowed" if status == 405 else "Not Found"
        headers = {"Allow": ", ".join(allowed)} if allowed else {}
        return Route(
            method="*",
            path=path,
            kind="unknown",
            secret="api_key",
            handle=functools.partial(self._answer, lambda _: json_answer({"detail": text}, status, headers)),
        )

    def _answer(self, handle: Handle, exchange: Exchange) -> web.Response:
        """Serve a request, with the headers that every answer has."""
        try:
            response = self._guard(exchange) or handle(exchange)
        except RefusedBodyError as error:
            response = json_answer({"detail": error.detail}, error.status)
        response.headers["X-Request-Id"] = exchange.seen.headers.get("X-Request-Id") or str(uuid.uuid4())
        response.headers["X-API-Version"] = API_VERSION
        return response

    def _guard(self, exchange: Exchange) -> web.Response | None:
        """Refuse a request without the key, or above the general ceiling."""
        authorization = exchange.seen.headers.get("Authorization")
        if not self._credentials.accept(authorization):
            text = "Invalid API key" if authorization else "Missing or invalid API key"
            return json_answer({"detail": text}, 401)
        ceiling, now = self._limit(self._behaviour.requests_per_minute), self._clock.now()
        if ceiling is not None and not self._requests.left(ceiling, now):
            return limits.too_many_requests(self._requests, now)
        self._requests.add(now)
        return None

    def _limit(self, limit: int | None) -> int | None:
        """The limit, unless this gateway enforces none."""
        return limit if self._credentials.strict else None

    def _submit(self, exchange: Exchange) -> web.Response:
        """Start a paid generation, unless a limit or a rule refuses it."""
        now, per_minute = self._clock.now(), self._limit(self._behaviour.submits_per_minute)
        if per_minute is not None and not self._submits.left(per_minute, now):
            return limits.minute_is_full(self._submits, now, self._minute_headers())
        self._submits.add(now)
        body = schema.check(schema.GENERATION, exchange.seen.body)
        rules.check_model(body)
        if self._credentials.strict:
            rules.check(body)
            self._check_references(exchange, body)
        self._unknown_fields |= schema.unknown_fields(body)
        most = self._limit(self._behaviour.max_unfinished)
        if most is not None and self._unfinished.count(now) >= most:
            return limits.too_many_unfinished()
        return self._start(exchange, body)

    def _start(self, exchange: Exchange, body: dict[str, Any]) -> web.Response:
        """Start a generation and charge for it."""
        source = self._extended(exchange, body)
        kind: str = body.get("type", rules.DEFAULT_TYPE)
        submitted = exchange.store.submit(
            kind="extend" if source else bodies.KINDS.get(kind, kind),
            prompt=body.get("prompt", ""),
            body=body,
            source=source,
        )
        if submitted is SATURATED:
            return limits.too_many_unfinished()
        if isinstance(submitted, Rejection):
            return json_answer({"detail": submitted.message}, submitted.status)
        self._unfinished.add(submitted)
        return self._show(submitted, exchange, 201, self._minute_headers())

    def _minute_headers(self) -> dict[str, str]:
        per_minute = self._behaviour.submits_per_minute
        if per_minute is None or not self._behaviour.rate_headers:
            return {}
        return limits.minute_headers(self._submits, per_minute, self._clock)

    def _check_references(self, exchange: Exchange, body: Mapping[str, Any]) -> None:
        """Check that every URL can be fetched, and that every id names what is complete.

        Assumed: the texts for ids.
        """
        for where, reference in rules.references(body):
            if reference.get("url") in self._behaviour.unreachable_urls:
                raise RefusedBodyError(422, f"{where}: failed to fetch URL (HTTP 404)")
            if "generation_id" in reference:
                generation = exchange.store.find(reference["generation_id"])
                if generation is None or not generation.completed:
                    raise RefusedBodyError(422, f"{where}: generation not found or not completed")
            if "file_id" in reference:
                file = self._files.find(reference["file_id"], invent=False)
                if file is None or file.state != "ready":
                    raise RefusedBodyError(422, f"{where}: file not found or not ready")

    def _extended(self, exchange: Exchange, body: Mapping[str, Any]) -> str | None:
        """The id of the video that this one extends; None for a new video.

        Raises:
            RefusedBodyError: 422, for an extension that is not offered.
        """
        if body.get("type") != "video":
            return None
        video = body.get("video", {})
        frames = {name: video[name] for name in ("start_frame", "end_frame") if name in video}
        ids: list[str] = [frame["generation_id"] for frame in frames.values() if "generation_id" in frame]
        videos = [each for each in ids if (found := exchange.store.find(each)) is None or not found.is_image]
        if not videos:
            return None
        if self._credentials.strict:
            _check_extension(video, frames)
        return videos[0]

    def _query(self, exchange: Exchange) -> web.Response:
        """Return a generation; its links are signed now."""
        generation_id, store = exchange.generation_id, exchange.store
        strict = self._credentials.strict
        generation = store.find(generation_id) if strict else store.find_or_invent(generation_id)
        if generation is None or (strict and not _UUID.fullmatch(generation_id)):
            return json_answer({"detail": "Generation not found"}, 404)
        return self._show(generation, exchange)

    def _show(
        self,
        generation: FakeGeneration,
        exchange: Exchange,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """Answer with a generation."""
        body = bodies.generation_body(generation, exchange.origin, self._behaviour.links_live_s)
        return json_answer(body, status, headers)

    def _create_file(self, exchange: Exchange) -> web.Response:
        """Announce a file; with its bytes in the request, take it in."""
        file, inline = files.announce(self._files, exchange)
        if inline:
            self._take_in(file)
        upload = None if inline else files.upload_body(file, exchange.origin)
        return json_answer(files.created_body(file, upload), 201)

    def _list_files(self, exchange: Exchange) -> web.Response:
        """Return a page of the files; without `strict`, a cursor that means nothing starts at the newest."""
        return json_answer(self._files.page(exchange.seen.query, strict=self._credentials.strict))

    def _get_file(self, exchange: Exchange) -> web.Response:
        """Return a file."""
        file = self._find_file(exchange)
        return files.not_found() if file is None else json_answer(files.file_body(file))

    def _complete_file(self, exchange: Exchange) -> web.Response:
        """Take in a file whose bytes were sent."""
        file = self._find_file(exchange)
        if file is None:
            return files.not_found()
        if self._credentials.strict and file.received is None:
            raise RefusedBodyError(422, "File has not been uploaded")
        if file.ready_at is None:
            self._take_in(file)
        return json_answer(files.file_body(file))

    def _delete_file(self, exchange: Exchange) -> web.Response:
        """Delete a file."""
        file = self._find_file(exchange)
        if file is None:
            return files.not_found()
        file.deleted_at = file.deleted_at or self._clock.wall()
        return web.Response(status=204)

    def _find_file(self, exchange: Exchange) -> files.FakeFile | None:
        """The file; without `strict`, there is a file for every id."""
        return self._files.find(exchange.generation_id, invent=not self._credentials.strict)

    def _take_in(self, file: files.FakeFile) -> None:
        """Let a file become ready, or fail, after a moment."""
        file.ready_at = self._clock.now() + self._behaviour.file_ready_after_s
        file.failure_reason = self._behaviour.file_failure


def _check_extension(video: Mapping[str, Any], frames: Mapping[str, Any]) -> None:
    """Check that an extension is one that the service offers."""
    if len(frames) > 1:
        raise RefusedBodyError(422, "'video.start_frame' excludes 'video.end_frame' with a generation")
    if video.get("hdr"):
        raise RefusedBodyError(422, "'video.hdr' is not allowed with a generation in a frame")
    if video.get("resolution") == "360p":
        raise RefusedBodyError(422, "'video.resolution' 360p is not allowed with a generation in a frame")

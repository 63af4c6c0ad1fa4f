"""The generations of the fake gateway, the clock that they age by, and the charges. It knows no dialect."""

from __future__ import annotations

import asyncio
import heapq
import math
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from luma_async.testing.scripts import COMPLETED, FAILED, PENDING, Rejection, Script, ScriptChoice, succeeds

SATURATED = Rejection(status=429, code="", message="当前分组上游负载已饱和")
_STALLED_PROGRESS = 0.3
_IMAGE_KINDS = frozenset({"image", "image_edit", "layering", "reframe_image"})


class FakeClock:
    """Read the running loop's clock, which may be virtual in a test.

    The time of day is read once, at the first reading, and moves with the loop from then on. It is not read when the
    server starts, because a fixture may start the server before virtual time begins.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now
        self._origin: tuple[float, datetime] | None = None

    def now(self) -> float:
        """Seconds of the running loop."""
        at = asyncio.get_running_loop().time() if self._now is None else self._now()
        if self._origin is None:
            self._origin = at, datetime.now(UTC)
        return at

    def wall(self, at: float | None = None) -> datetime:
        """The aware UTC time at a reading of `now()`; None means now."""
        now = self.now()
        assert self._origin is not None
        since_s = (now if at is None else at) - self._origin[0]
        return self._origin[1] + timedelta(seconds=since_s)


@attrs.frozen(kw_only=True)
class Charge:
    """A paid submit that started a generation."""

    generation_id: str
    kind: str
    """The kind: video, extend, audio, upscale, image, reframe_image, reframe_video, modify,
    image_edit or layering."""
    prompt: str
    body: Mapping[str, Any] = attrs.field(repr=False)
    """The request body as received, with unknown fields."""
    at: float
    """Seconds of the loop's clock."""


@attrs.define(kw_only=True, eq=False)
class FakeGeneration:
    """A generation, whose state follows from its age."""

    id: str
    number: int
    """Counts from 1, in the order of submits."""
    kind: str
    """The kind: video, extend, audio, upscale, image, reframe_image, reframe_video, modify,
    image_edit or layering."""
    prompt: str
    body: Mapping[str, Any] = attrs.field(repr=False)
    """The request body that started it."""
    source: str | None
    """The id of the generation that it extends or adds audio to."""
    script: Script
    started_at: float
    """Seconds of the loop's clock."""
    created: datetime
    """The time of its submit."""
    clock: FakeClock = attrs.field(repr=False)
    links_live_s: int | None
    """Seconds that a watermark-free link works; None means forever."""
    links_revoked: int = 0
    """How often its links were revoked; links from before the last revocation answer 403."""
    object_version: int = 0
    """How often its files were replaced."""
    invented: bool = False
    """Whether it was not paid for: a gateway with `strict=False` creates it when a client asks for an unknown id."""
    deleted: bool = False
    """Whether a client deleted it."""

    @property
    def age_s(self) -> float:
        """Seconds since the submit."""
        return self.clock.now() - self.started_at

    @property
    def state(self) -> str:
        """The state now: pending, processing, completed, failed, or the word of `new_state()`."""
        return self.script.step_at(self.age_s).state

    @property
    def known(self) -> bool:
        """Whether queries find it now."""
        return not self.deleted and self.script.known_after_s <= self.age_s < self.script.known_until_s

    @property
    def is_image(self) -> bool:
        """Whether it is an image rather than a video."""
        return self.kind in _IMAGE_KINDS

    @property
    def completed(self) -> bool:
        """Whether it is completed now."""
        return self.state == COMPLETED

    @property
    def ended(self) -> bool:
        """Whether it is completed or failed now."""
        return self.state in {COMPLETED, FAILED}

    @property
    def shows_link(self) -> bool:
        """Whether a query shows a link now."""
        return self.completed and self.age_s >= self.script.ends_after_s + self.script.link_delay_s

    @property
    def running_since(self) -> datetime | None:
        """The time at which it left the queue; None before that."""
        step = next((step for step in self.script.steps if step.state != PENDING), None)
        return None if step is None or self.age_s < step.at_s else self.clock.wall(self.started_at + step.at_s)

    @property
    def ended_since(self) -> datetime | None:
        """The time at which it ended; None before that."""
        return self.clock.wall(self.started_at + self.script.ends_after_s) if self.ended else None

    @property
    def progress(self) -> float:
        """The part that is done, 0 to 1; a stalled generation stays in between."""
        end_s = self.script.ends_after_s
        if math.isinf(end_s):
            return _STALLED_PROGRESS
        return 1.0 if self.ended else self.age_s / end_s

    @property
    def estimate_s(self) -> int | None:
        """The remaining seconds, rounded up, if its script reports them."""
        left_s = self.script.ends_after_s - self.age_s
        return math.ceil(left_s) if self.script.reports_estimate and 0 < left_s < math.inf else None


class Store:
    """All generations of the fake gateway."""

    def __init__(
        self, *, clock: FakeClock, script: ScriptChoice, free_slots: int | None, links_live_s: int | None
    ) -> None:
        self.clock = clock
        self.script = script
        self.scripts: dict[str, ScriptChoice] = {}
        self.free_slots = free_slots
        self.generations: dict[str, FakeGeneration] = {}
        self.charges: list[Charge] = []
        self._links_live_s = links_live_s
        self._scripts_chosen = 0
        self._ends: list[float] = []

    @property
    def running(self) -> int:
        """How many generations have not ended."""
        now = self.clock.now()
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)

    def find(self, generation_id: str) -> FakeGeneration | None:
        """The generation, if queries find it now."""
        generation = self.generations.get(generation_id)
        return generation if generation is not None and generation.known else None

    def submit(
        self, *, kind: str, prompt: str, body: Mapping[str, Any], source: str | None = None
    ) -> FakeGeneration | Rejection:
        """Start a generation and charge for it, unless all slots are taken or its script rejects the submit."""
        if self.free_slots is not None and self.running >= self.free_slots:
            return SATURATED
        script = self._choose(prompt)
        if script.rejection is not None:
            return script.rejection
        generation = self._add(str(uuid.uuid4()), script, kind=kind, prompt=prompt, body=body, source=source)
        now = generation.started_at
        heapq.heappush(self._ends, now + script.ends_after_s)
        self.charges.append(Charge(generation_id=generation.id, kind=kind, prompt=prompt, body=body, at=now))
        return generation

    def find_or_invent(self, generation_id: str) -> FakeGeneration | None:
        """The generation; if this id was never used, a new completed video that is not charged."""
        held = self.generations.get(generation_id)
        if held is not None and not (held.invented and held.deleted):
            return self.find(generation_id)
        return self._add(generation_id, succeeds(after=0), kind="video", prompt="", body={}, invented=True)

    def newest_first(self) -> list[FakeGeneration]:
        """The paid generations that queries find now."""
        held = reversed(self.generations.values())
        return [generation for generation in held if generation.known and not generation.invented]

    def _add(
        self,
        generation_id: str,
        script: Script,
        *,
        kind: str,
        prompt: str,
        body: Mapping[str, Any],
        source: str | None = None,
        invented: bool = False,
    ) -> FakeGeneration:
        """Add a generation that starts now."""
        now = self.clock.now()
        generation = FakeGeneration(
            id=generation_id,
            number=len(self.generations) + 1,
            kind=kind,
            prompt=prompt,
            body=body,
            source=source,
            script=script,
            started_at=now,
            created=self.clock.wall(now),
            clock=self.clock,
            links_live_s=self._links_live_s if script.links_live_s is None else script.links_live_s,
            invented=invented,
        )
        self.generations[generation_id] = generation
        return generation

    def _choose(self, prompt: str) -> Script:
        """The script for this prompt, or the default script."""
        choice = self.scripts.get(prompt, self.script)
        index, self._scripts_chosen = self._scripts_chosen, self._scripts_chosen + 1
        return choice if isinstance(choice, Script) else choice(prompt, index)

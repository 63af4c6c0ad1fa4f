"""Scripts: how the state of a fake generation changes over time, in seconds since the submit.

Functions such as `succeeds` and `fails` build a script. Those with `then=` change one thing of another script and can
be nested: `forgets(30, then=watermarked_only(after=20))`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs

PENDING = "pending"
PROCESSING = "processing"
COMPLETED = "completed"
FAILED = "failed"
_FINAL = frozenset({COMPLETED, FAILED})

_DEFAULT_AFTER_S = 20.0
"""Long enough for several polls with any `PollPolicy`, short enough to watch in real time."""


@attrs.frozen(kw_only=True)
class Rejection:
    """A refused submit: nothing was started or charged."""

    status: int
    """The HTTP status of the answer."""
    code: str
    """The error code; may be empty, as it is in some answers of relays."""
    message: str


Scene: TypeAlias = Literal["cat", "boat", "lighthouse"]
"""A scene of five seconds: a dancing cat, a paper boat in the rain, or a lighthouse at night (upright)."""
SCENES: tuple[Scene, ...] = ("cat", "boat", "lighthouse")


@attrs.frozen
class Step:
    """A state and the age at which it begins, in seconds since the submit."""

    at_s: float
    state: str


@attrs.frozen(kw_only=True)
class Script:
    """How the state of a generation changes; build it with the functions of this module."""

    steps: tuple[Step, ...]
    """In order of time; the first step begins at 0."""
    failure_reason: str | None = None
    """The reason that a failed generation reports."""
    failure_code: str | None = None
    """The code that a failed generation reports in the Agents API; other dialects have none."""
    known_after_s: float = 0.0
    """Queries do not find the generation before this age."""
    known_until_s: float = math.inf
    """Queries do not find the generation from this age on."""
    link_delay_s: float = 0.0
    """Seconds from completion until queries show links; infinite means never."""
    link_endpoint: bool = True
    """Whether the endpoint for a watermark-free link returns a link."""
    watermark_only: bool = False
    """Whether queries show only the watermarked link."""
    queued_words: bool = False
    """Whether pending is called queued and processing is called dreaming."""
    reports_estimate: bool = False
    """Whether a running generation reports its remaining seconds."""
    links_live_s: int | None = None
    """Seconds that a link works after it was issued; None takes the setting of the gateway."""
    scene: Scene | None = None
    """What its files show; None for a tiny clip, which tests download quickly."""
    rejection: Rejection | None = None
    """If set, the submit is refused with this answer."""

    @property
    def ends_after_s(self) -> float:
        """The age at which it completes or fails; infinite means never."""
        last = self.steps[-1]
        return last.at_s if last.state in _FINAL else math.inf

    def step_at(self, age_s: float) -> Step:
        """The current step at this age."""
        current = self.steps[0]
        for step in self.steps:
            if step.at_s <= age_s:
                current = step
        return current


ScriptChoice: TypeAlias = Script | Callable[[str, int], Script]
"""A script, or a function of the prompt and the number of scripts chosen so far."""


def succeeds(after: float = _DEFAULT_AFTER_S) -> Script:
    """Complete after `after` seconds: pending for the first quarter, then processing."""
    return Script(steps=_steps(after, COMPLETED))


def fails(
    reason: str = "Job failed", after: float = _DEFAULT_AFTER_S, *, code: str | None = "generation_failed"
) -> Script:
    """Fail after `after` seconds with this reason, and this code in the Agents API. The submit is charged."""
    return Script(steps=_steps(after, FAILED), failure_reason=reason, failure_code=code)


def stalls(processing_after: float = 1.0) -> Script:
    """Stay in processing forever."""
    return Script(steps=(Step(0.0, PENDING), Step(processing_after, PROCESSING)))


def rejects(code: str = "sensitive_words_detected", *, status: int = 400, message: str | None = None) -> Script:
    """Refuse the submit; nothing is started or charged."""
    text = code.replace("_", " ") if message is None else message
    return Script(steps=_steps(0.0, FAILED), rejection=Rejection(status=status, code=code, message=text))


def completes_without_link(
    after: float = _DEFAULT_AFTER_S, *, link_after: float | None = None, link_endpoint: bool = True
) -> Script:
    """Complete without a link.

    Args:
        after: seconds until completion.
        link_after: seconds after completion from which queries show links; None means never.
        link_endpoint: whether the endpoint for the watermark-free link returns a link meanwhile.
    """
    delay_s = math.inf if link_after is None else link_after
    return attrs.evolve(succeeds(after), link_delay_s=delay_s, link_endpoint=link_endpoint)


def watermarked_only(after: float = _DEFAULT_AFTER_S, *, link_endpoint: bool = False) -> Script:
    """Complete with only a watermarked link; with `link_endpoint`, that endpoint returns a watermark-free link."""
    return attrs.evolve(succeeds(after), watermark_only=True, link_endpoint=link_endpoint)


def new_state(word: str, then: Script | None = None) -> Script:
    """Report an undocumented state from the middle of the last running state until the end."""
    script = then or succeeds()
    *running, last = script.steps
    if last.state not in _FINAL:
        return attrs.evolve(script, steps=(*script.steps, Step(last.at_s + 1, word)))
    middle_s = (running[-1].at_s + last.at_s) / 2
    return attrs.evolve(script, steps=(*running, Step(middle_s, word), last))


def unknown_at_first(for_s: float = 5.0, then: Script | None = None) -> Script:
    """Do not find the generation in the first seconds after its submit, like a replica that lags behind."""
    return attrs.evolve(then or succeeds(), known_after_s=for_s)


def forgets(after: float, then: Script | None = None) -> Script:
    """Do not find the generation from this age on. It was charged, and counts as running until its end."""
    return attrs.evolve(then or succeeds(), known_until_s=after)


def queued_words(then: Script | None = None) -> Script:
    """Call pending queued, and processing dreaming."""
    return attrs.evolve(then or succeeds(), queued_words=True)


def estimates(then: Script | None = None) -> Script:
    """Report the remaining seconds in every answer while the generation runs."""
    return attrs.evolve(then or succeeds(), reports_estimate=True)


def shows(scene: Scene, then: Script | None = None) -> Script:
    """Deliver a clip that is worth looking at, with its thumbnail and its last frame."""
    return attrs.evolve(then or succeeds(), scene=scene)


def presigned(live_s: int = 3600, then: Script | None = None) -> Script:
    """Issue watermark-free links that answer 403 once they are `live_s` seconds old."""
    return attrs.evolve(then or succeeds(), links_live_s=live_s)


def _steps(after_s: float, end: str) -> tuple[Step, ...]:
    """Pending for a quarter of the time, processing for the rest, then the end."""
    return Step(0.0, PENDING), Step(after_s / 4, PROCESSING), Step(after_s, end)

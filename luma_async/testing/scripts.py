"""What becomes of a generation: scripts that a fake service plays, in seconds since the submit.

The outer functions (`succeeds`, `fails`, …) write a script; the ones with `then=` change one thing about another script
and can be nested: `forgets(30, then=watermarked_only(after=20))`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import attrs

PENDING = "pending"
PROCESSING = "processing"
COMPLETED = "completed"
FAILED = "failed"
_FINAL = frozenset({COMPLETED, FAILED})

_DEFAULT_AFTER_S = 20.0
"""Long enough for several looks of any polling policy, short enough to watch in real time."""


@attrs.frozen(kw_only=True)
class Rejection:
    """A submit that was refused: nothing was started, nothing was charged."""

    status: int
    """The HTTP status of the answer."""
    code: str
    """The service's word for it; empty where the service sends an empty one."""
    message: str


@attrs.frozen
class Step:
    """A state, and the seconds since the submit at which it begins."""

    at_s: float
    state: str


@attrs.frozen(kw_only=True)
class Script:
    """The life of one generation; build it with the functions of this module."""

    steps: tuple[Step, ...]
    """In order of time; the first begins at 0."""
    failure_reason: str | None = None
    """What a failed generation says about itself."""
    known_after_s: float = 0.0
    """Queries before this age answer that there is no such generation."""
    known_until_s: float = math.inf
    """Queries from this age on answer that there is no such generation."""
    link_delay_s: float = 0.0
    """Seconds from completion until a query shows links; infinite for never."""
    link_endpoint: bool = True
    """Whether the endpoint for a watermark-free link has one to give."""
    watermark_only: bool = False
    """Whether a query shows the watermarked link only."""
    queued_words: bool = False
    """Whether the states are spelled queued and dreaming."""
    tells_estimate: bool = False
    """Whether a running generation says how many seconds it will take."""
    links_live_s: int | None = None
    """Seconds that a link works after it was given out; None leaves it to the gateway."""
    rejection: Rejection | None = None
    """Refuses the submit instead of starting anything."""

    @property
    def ends_after_s(self) -> float:
        """The age at which it completes or fails; infinite if it never does."""
        last = self.steps[-1]
        return last.at_s if last.state in _FINAL else math.inf

    def step_at(self, age_s: float) -> Step:
        """The step that a generation of this age is in."""
        current = self.steps[0]
        for step in self.steps:
            if step.at_s <= age_s:
                current = step
        return current


ScriptChoice: TypeAlias = Script | Callable[[str, int], Script]
"""A script, or a function of the prompt and the number of scripts asked for before."""


def succeeds(after: float = _DEFAULT_AFTER_S) -> Script:
    """Complete `after` seconds; pending for the first quarter, then processing."""
    return Script(steps=_steps(after, COMPLETED))


def fails(reason: str = "Job failed", after: float = _DEFAULT_AFTER_S) -> Script:
    """Fail `after` seconds for this reason. The submit is charged all the same."""
    return Script(steps=_steps(after, FAILED), failure_reason=reason)


def stalls(processing_after: float = 1.0) -> Script:
    """Process for ever."""
    return Script(steps=(Step(0.0, PENDING), Step(processing_after, PROCESSING)))


def rejects(code: str = "sensitive_words_detected", *, status: int = 400, message: str | None = None) -> Script:
    """Refuse the submit. Nothing is started or charged."""
    text = code.replace("_", " ") if message is None else message
    return Script(steps=_steps(0.0, FAILED), rejection=Rejection(status=status, code=code, message=text))


def completes_without_link(
    after: float = _DEFAULT_AFTER_S, *, link_after: float | None = None, link_endpoint: bool = True
) -> Script:
    """Complete, but show no link.

    Args:
        after: seconds until completion.
        link_after: seconds after completion at which queries show links after all; None means never.
        link_endpoint: whether the endpoint for the watermark-free link has one all the while.
    """
    delay_s = math.inf if link_after is None else link_after
    return attrs.evolve(succeeds(after), link_delay_s=delay_s, link_endpoint=link_endpoint)


def watermarked_only(after: float = _DEFAULT_AFTER_S, *, link_endpoint: bool = False) -> Script:
    """Complete with the watermarked link only; `link_endpoint` tells whether that endpoint has a better one."""
    return attrs.evolve(succeeds(after), watermark_only=True, link_endpoint=link_endpoint)


def new_state(word: str, then: Script | None = None) -> Script:
    """Say a word that nobody knows, from the middle of the last running state until the end."""
    script = then or succeeds()
    *running, last = script.steps
    if last.state not in _FINAL:
        return attrs.evolve(script, steps=(*script.steps, Step(last.at_s + 1, word)))
    middle_s = (running[-1].at_s + last.at_s) / 2
    return attrs.evolve(script, steps=(*running, Step(middle_s, word), last))


def unknown_at_first(for_s: float = 5.0, then: Script | None = None) -> Script:
    """Deny the generation in the first seconds after its submit, as a lagging replica does."""
    return attrs.evolve(then or succeeds(), known_after_s=for_s)


def forgets(after: float, then: Script | None = None) -> Script:
    """Deny the generation from this age on. It was charged, and it is still counted as running until its end."""
    return attrs.evolve(then or succeeds(), known_until_s=after)


def queued_words(then: Script | None = None) -> Script:
    """Spell pending as queued and processing as dreaming."""
    return attrs.evolve(then or succeeds(), queued_words=True)


def estimates(then: Script | None = None) -> Script:
    """Tell the seconds that are left, in every answer while it runs."""
    return attrs.evolve(then or succeeds(), tells_estimate=True)


def presigned(live_s: int = 3600, then: Script | None = None) -> Script:
    """Give out watermark-free links that answer 403 once they are `live_s` seconds old."""
    return attrs.evolve(then or succeeds(), links_live_s=live_s)


def _steps(after_s: float, end: str) -> tuple[Step, ...]:
    """Pending for a quarter of the time, processing for the rest, then the end."""
    return Step(0.0, PENDING), Step(after_s / 4, PROCESSING), Step(after_s, end)

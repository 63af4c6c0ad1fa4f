"""The settings of a session: values with units, each default with its reason."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any, Final, Literal

import attrs

from luma_async.values.errors import InvalidInput
from luma_async.values.public import public


class Unset(Enum):
    """The type of an argument that was not given, where None already means something."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
"""The argument was not given; the policy decides."""


def _as_float(value: object) -> float:
    """Return a number as a float; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _at_least(floor: float, *, exclusive: bool = False, endless: bool = False) -> Any:
    """Return a validator that accepts numbers from `floor` on, and infinity if `endless`."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        _require_at_least(floor, value, attribute.name, exclusive=exclusive, endless=endless)

    return check


def _require_at_least(floor: float, value: object, field: str, *, exclusive: bool, endless: bool) -> None:
    number = _as_float(value)
    below = not number > floor if exclusive else not number >= floor
    if below or (math.isinf(number) and not endless):
        kind = "number" if endless else "finite number"
        bound = ">" if exclusive else ">="
        raise InvalidInput(field=field, message=f"must be a {kind} {bound} {floor:g}.")


def _whole(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept an integer of 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(field=attribute.name, message="must be an integer >= 1.")


def _optional(check: Any) -> Any:
    return attrs.validators.optional(check)


_SECONDS = _at_least(0)
_POSITIVE = _at_least(0, exclusive=True)
_COUNT = _at_least(1, endless=True)


def _in_flight(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and value != "auto":
        _COUNT(instance, attribute, value)


def _kind(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or value not in {"adaptive", "fixed", "exponential"}:
        raise InvalidInput(field=attribute.name, message='must be "adaptive", "fixed" or "exponential".')


def check_timeout(timeout: object) -> None:
    """Check a timeout in seconds.

    Raises:
        InvalidInput: it is negative or not a number.
    """
    if timeout is None or timeout is UNSET:
        return
    if not _as_float(timeout) >= 0:
        raise InvalidInput(field="timeout", message="must be seconds >= 0, or None for no limit.")


@public
@attrs.frozen(kw_only=True)
class PollPolicy:
    """When to poll pending generations, and when to stop.

    `adaptive()` polls when completions are likely, and needs the fewest requests for the same delay. `fixed()` is for
    tests and for services that ask for an interval. `exponential()` is what most programs do; it is here for
    comparison.
    """

    kind: Literal["adaptive", "fixed", "exponential"] = attrs.field(default="adaptive", validator=_kind)
    """The kind of schedule; the class methods set it."""
    request_cost: float = attrs.field(default=0.25, validator=_POSITIVE)
    """Adaptive: how many seconds of delay one request is worth. A smaller value polls more often."""
    first: float = attrs.field(default=1.0, validator=_POSITIVE)
    """Fixed: the interval. Exponential: the first interval. Seconds."""
    last: float = attrs.field(default=30.0, validator=_POSITIVE)
    """Exponential: the longest interval, seconds."""
    factor: float = attrs.field(default=1.5, validator=_at_least(1))
    """Exponential: the factor between two intervals."""
    max_wait: float | None = attrs.field(default=86_400.0, validator=_optional(_SECONDS))
    """Seconds that a wait lasts if no timeout is given. A day: relays fail and refund jobs that run longer."""
    max_outage: float = attrs.field(default=300.0, validator=_SECONDS)
    """Seconds during which polling may fail without a break before a wait ends. Five minutes: longer than a gateway's
    restart."""
    not_found_grace: float = attrs.field(default=30.0, validator=_SECONDS)
    """Seconds that a submitted or seen id may be reported as not found before it counts as lost: replicas of a relay
    lag behind."""

    @classmethod
    def adaptive(
        cls,
        request_cost: float = 0.25,
        *,
        max_wait: float | None = 86_400,
        max_outage: float = 300,
        not_found_grace: float = 30,
    ) -> PollPolicy:
        """Poll when completions are likely. The schedule learns from the generations that this session has seen finish.

        Args:
            request_cost: seconds of delay that one request is worth to you. A single video that takes a minute is
                polled 16 times with 0.125 and seen 2 s late on average, 12 times with 0.25 (3 s late), 8 times with
                0.5 (4 to 5 s late). Many generations share their requests and are seen about a second late.
            max_wait: seconds that a wait lasts if it has no timeout; None for no limit.
            max_outage: seconds during which polling may fail without a break before `PollingFailed`.
            not_found_grace: seconds that a submitted or seen id may be reported as not found before it counts as
                lost.
        """
        return cls(
            kind="adaptive",
            request_cost=request_cost,
            max_wait=max_wait,
            max_outage=max_outage,
            not_found_grace=not_found_grace,
        )

    @classmethod
    def fixed(
        cls, seconds: float, *, max_wait: float | None = 86_400, max_outage: float = 300, not_found_grace: float = 30
    ) -> PollPolicy:
        """Poll every so many seconds on average. The other arguments are those of `adaptive()`.

        Each poll is moved by up to 15 %, and may come half an interval early to share a request.
        """
        _require_at_least(0, seconds, "seconds", exclusive=True, endless=False)
        return cls(
            kind="fixed",
            first=seconds,
            last=seconds,
            factor=1,
            max_wait=max_wait,
            max_outage=max_outage,
            not_found_grace=not_found_grace,
        )

    @classmethod
    def exponential(
        cls,
        first: float = 1.0,
        last: float = 30.0,
        factor: float = 1.5,
        *,
        max_wait: float | None = 86_400,
        max_outage: float = 300,
        not_found_grace: float = 30,
    ) -> PollPolicy:
        """Poll after `first` seconds, then at intervals that grow by `factor` up to `last` seconds."""
        return cls(
            kind="exponential",
            first=first,
            last=last,
            factor=factor,
            max_wait=max_wait,
            max_outage=max_outage,
            not_found_grace=not_found_grace,
        )


@public
@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often to repeat what is safe to repeat: free calls, and submits that were certainly not charged."""

    attempts: int = attrs.field(default=5, validator=_whole)
    """Attempts in all. Five with these delays last longer than a gateway's reload."""
    first_delay: float = attrs.field(default=0.5, validator=_SECONDS)
    """Seconds: the upper bound of the first random delay. It doubles each time."""
    max_delay: float = attrs.field(default=8.0, validator=_SECONDS)
    """Seconds: the longest delay, unless the service names a longer one."""
    connect_retry_for: float = attrs.field(default=30.0, validator=_SECONDS)
    """Seconds during which a submit that did not leave this machine is tried again. Repeating it cannot pay twice."""


@public
@attrs.frozen(kw_only=True)
class Limits:
    """How much at once. None means the dialect's default, `math.inf` means no limit."""

    max_in_flight: float | Literal["auto"] | None = attrs.field(default=None, validator=_in_flight)
    """Paid and unfinished generations of all batches together. After a 429 it is lower for a while. "auto" finds the
    service's limit."""
    submits_per_minute: float | None = attrs.field(
        default=None, validator=_optional(_at_least(0, exclusive=True, endless=True))
    )
    """Submits per minute, on average."""
    burst: float | None = attrs.field(default=None, validator=_optional(_COUNT))
    """Submits that may start at once before the rate applies."""
    requests: int = attrs.field(default=100, validator=_whole)
    """Concurrent requests, and connections to the service. A hundred is the default of aiohttp too."""


@attrs.frozen(kw_only=True)
class KnownLimits:
    """The documented limits of a service; its dialect names them."""

    max_in_flight: float | Literal["auto"] = "auto"
    """Paid and unfinished generations; "auto" where no page names a bound."""
    submits_per_minute: float = math.inf
    """Submits per minute, on average."""
    burst: float = 1.0
    """Submits that may start at once before the rate applies."""
    sliding: bool = False
    """Whether the service counts the submits of the last sixty seconds, so that all of them may start at once."""
    bounds_unfinished: bool = False
    """Whether the service says when there are too many unfinished generations, so that a submit waits for an end."""


@public
@attrs.frozen(kw_only=True)
class Timeouts:
    """Limits for single steps, in seconds. `wait(timeout=…)` sets how long to wait for a generation."""

    connect: float = attrs.field(default=10.0, validator=_POSITIVE)
    """Opening a connection. Ten seconds: three lost packets."""
    request: float = attrs.field(default=30.0, validator=_POSITIVE)
    """One free call. No retry begins later than this either."""
    submit: float = attrs.field(default=120.0, validator=_POSITIVE)
    """One paid POST. Long, because a timeout leaves the submit in doubt, and relays may upload the keyframe first."""
    submit_keepalive: float = attrs.field(default=2.0, validator=_SECONDS)
    """How long an idle connection for submits is kept; 0 opens a new connection for each. Servers close theirs after
    5 s or more, and a POST on a connection that the server has just closed is the main avoidable cause of doubts. Use 0
    for a server that may answer a request twice, so that the second answer is not taken for that of the next submit."""
    download_stall: float = attrs.field(default=30.0, validator=_POSITIVE)
    """How long a file server may send less than 1 KiB per second before the download is resumed."""
    close: float = attrs.field(default=30.0, validator=_SECONDS)
    """How long closing a session waits for the responses to paid POSTs."""

"""What a session can be told: values with units, each default with its reason."""

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
"""Not given: the policy decides."""


def _as_float(value: object) -> float:
    """Return what can be compared and counted with; what is no such number is NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _at_least(floor: float, *, exclusive: bool = False, endless: bool = False) -> Any:
    """Refuse what is not a number, or below `floor`; infinity too, unless `endless`."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        number = _as_float(value)
        below = not number > floor if exclusive else not number >= floor
        if below or (math.isinf(number) and not endless):
            kind = "number" if endless else "finite number"
            bound = f"more than {floor:g}" if exclusive else f"{floor:g} or more"
            raise InvalidInput(field=attribute.name, message=f"must be a {kind}, {bound}.")

    return check


def _whole(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Take what can be counted: 1, 2, 3 and so on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(field=attribute.name, message="must be a whole number, 1 or more.")


def _optional(check: Any) -> Any:
    return attrs.validators.optional(check)


_SECONDS = _at_least(0)
_POSITIVE = _at_least(0, exclusive=True)
_COUNT = _at_least(1, endless=True)


def _in_flight(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and value != "auto":
        _COUNT(instance, attribute, value)


def check_timeout(timeout: object) -> None:
    """Refuse a timeout that no clock can reach.

    Raises:
        InvalidInput: it is negative or not a number.
    """
    if timeout is None or timeout is UNSET:
        return
    if not _as_float(timeout) >= 0:
        raise InvalidInput(field="timeout", message="must be seconds, 0 or more, or None for no limit.")


@public
@attrs.frozen(kw_only=True)
class PollPolicy:
    """When to look at pending generations, and when to stop.

    Choose by what a look costs you: `adaptive()` looks where completions are likely and is the cheapest for the
    same delay; `fixed()` is for tests and for services that ask for an interval; `exponential()` is what most
    programs do, and is kept for comparison.
    """

    kind: Literal["adaptive", "fixed", "exponential"] = "adaptive"
    """The shape of the schedule; use the class methods."""
    request_cost: float = attrs.field(default=0.25, validator=_POSITIVE)
    """Adaptive: how many seconds of later knowledge one request is worth. Smaller looks more often."""
    first: float = attrs.field(default=1.0, validator=_POSITIVE)
    """Fixed: the interval. Exponential: the first interval. Seconds."""
    last: float = attrs.field(default=30.0, validator=_POSITIVE)
    """Exponential: the longest interval, seconds."""
    factor: float = attrs.field(default=1.5, validator=_at_least(1))
    """Exponential: what each interval is multiplied by."""
    max_wait: float | None = attrs.field(default=86_400.0, validator=_optional(_SECONDS))
    """Seconds that a wait lasts when no timeout is given. A day: relays fail and refund what runs longer."""
    max_outage: float = attrs.field(default=300.0, validator=_SECONDS)
    """Seconds of unbroken failure to look before a wait gives up. Five minutes: longer than a gateway's restart."""
    not_found_grace: float = attrs.field(default=30.0, validator=_SECONDS)
    """Seconds an id that was bought or seen has to stay unknown until it counts as lost: replicas of a relay lag."""

    @classmethod
    def adaptive(
        cls,
        request_cost: float = 0.25,
        *,
        max_wait: float | None = 86_400,
        max_outage: float = 300,
        not_found_grace: float = 30,
    ) -> PollPolicy:
        """Look where completions are likely, learning from this session's finished generations.

        Args:
            request_cost: seconds of delay that one request is worth to you. A lone video that takes a minute is
                looked at 16 times with 0.125 and its end seen 2 s late on average, 12 times with 0.25 (3 s late), 8
                times with 0.5 (4 to 5 s late). Many that wait together share their requests and are seen within a
                second or so.
            max_wait: seconds that a wait lasts without a timeout of its own; None for no limit.
            max_outage: seconds of unbroken failure before `PollingFailed`.
            not_found_grace: seconds an id that was bought or seen has to stay unknown until it counts as lost.
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
        """Look every so many seconds on average; the other arguments are those of `adaptive()`.

        Each look is moved by up to 15 %, and may come half an interval early to share a request.
        """
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
        """Look after `first` seconds, then at intervals that grow by `factor` up to `last` seconds."""
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
    """How often to repeat what is safe to repeat: calls that cost nothing, and submits that provably were not made."""

    attempts: int = attrs.field(default=5, validator=_whole)
    """Sends in all. Five with these delays outlast a gateway's reload."""
    first_delay: float = attrs.field(default=0.5, validator=_SECONDS)
    """Seconds: the bound of the first random delay; it doubles each time."""
    max_delay: float = attrs.field(default=8.0, validator=_SECONDS)
    """Seconds: no delay is longer, unless the service names one."""
    connect_retry_for: float = attrs.field(default=30.0, validator=_SECONDS)
    """Seconds during which a submit that provably did not leave is tried again. Repeating it risks no money."""


@public
@attrs.frozen(kw_only=True)
class Limits:
    """How much at once. None is the dialect's default, `math.inf` is none."""

    max_in_flight: float | Literal["auto"] | None = attrs.field(default=None, validator=_in_flight)
    """Paid and unfinished generations of all batches together, fewer for a while after a 429; "auto" finds the
    service's cap by itself."""
    submits_per_minute: float | None = attrs.field(
        default=None, validator=_optional(_at_least(0, exclusive=True, endless=True))
    )
    """Submits per minute, on average."""
    burst: float | None = attrs.field(default=None, validator=_optional(_COUNT))
    """Submits that may start at once before the rate holds."""
    requests: int = attrs.field(default=100, validator=_whole)
    """Requests on their way at the same time, and connections to the service. A hundred is what aiohttp allows too."""


@attrs.frozen(kw_only=True)
class KnownLimits:
    """What a service is known to accept; a dialect names it."""

    max_in_flight: float | Literal["auto"] = "auto"
    """Paid and unfinished generations; "auto" where no page names a bound."""
    submits_per_minute: float = math.inf
    """Submits per minute, on average."""
    burst: float = 1.0
    """Submits that may start at once before the rate applies."""


@public
@attrs.frozen(kw_only=True)
class Timeouts:
    """Bounds on single steps, in seconds. How long to wait for a generation is `wait(timeout=…)` instead."""

    connect: float = attrs.field(default=10.0, validator=_POSITIVE)
    """To open a connection. Ten seconds: three lost packets."""
    request: float = attrs.field(default=30.0, validator=_POSITIVE)
    """One call that costs nothing; no repetition begins later than this either."""
    submit: float = attrs.field(default=120.0, validator=_POSITIVE)
    """One paid POST. Long, since giving up on it leaves a doubt, and relays may upload the keyframe first."""
    submit_keepalive: float = attrs.field(default=2.0, validator=_SECONDS)
    """How long an idle connection for submits is kept; 0 never reuses one. Servers close theirs after 5 s and more,
    and a POST on a connection that the server has just closed is the main avoidable source of doubt."""
    download_stall: float = attrs.field(default=30.0, validator=_POSITIVE)
    """Silence of a file server, or next to it (less than 1 KiB a second), after which a download is taken up again."""
    close: float = attrs.field(default=30.0, validator=_SECONDS)
    """How long closing a session waits for answers to paid POSTs that are on their way."""

"""What a service tells us: generations, their files, and balances."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs

from luma_async.values.html import figure
from luma_async.values.redaction import clip, show_url

Json = dict[str, Any]
"""A JSON object as it came."""


class State(StrEnum):
    """Where the service says a generation is; `Generation.raw_state` keeps its own word.

    Source: wire words `pending`, `processing`, `completed`, `failed`; some relays say `queued` and `dreaming`.
    """

    PENDING = "pending"
    """Accepted and waiting for its turn (also: queued)."""
    PROCESSING = "processing"
    """Being made (also: dreaming)."""
    COMPLETED = "completed"
    """Done: final."""
    FAILED = "failed"
    """Given up by the service: final."""
    UNKNOWN = "unknown"
    """A word this version does not know: not final, so waiting goes on."""

    @property
    def final(self) -> bool:
        """Whether the service will not change it any more."""
        return self in _FINAL


_FINAL = frozenset({State.COMPLETED, State.FAILED})
_SHOWN_CHARS = 60
"""How much of a prompt a repr shows."""


@attrs.frozen(kw_only=True)
class Video:
    """The links to one clip."""

    url: str | None = attrs.field(default=None, repr=show_url)
    """Where it plays; at relays this one carries a watermark."""
    download_url: str | None = attrs.field(default=None, repr=show_url)
    """The same clip without a watermark, when the service gives one."""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""
    duration_s: float | None = None
    """Seconds."""
    thumbnail_url: str | None = attrs.field(default=None, repr=show_url)
    """A still picture of it."""


@attrs.frozen(kw_only=True)
class Image:
    """The link to one picture."""

    url: str | None = attrs.field(default=None, repr=show_url)
    """Where it is."""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""


@attrs.frozen(kw_only=True)
class Generation:
    """A generation as the service last described it: a snapshot, never updated in place.

    Its repr is short and holds no link; in a notebook it shows itself.
    """

    id: str
    """The service's id."""
    state: State
    """Where it is."""
    raw_state: str = ""
    """The service's own word for the state."""
    prompt: str | None = None
    """The prompt as the service repeats it; relays may leave it empty."""
    created_at: datetime | None = None
    """When the service says it began, aware UTC. Two answers may differ in precision."""
    video: Video | None = None
    """The clip; None until it is completed, and sometimes even then."""
    video_raw: Video | None = None
    """The clip without a watermark, for the accounts that get one."""
    image: Image | None = None
    """The picture, when the generation is one."""
    thumbnail: Image | None = None
    """A still picture of the clip."""
    last_frame: Image | None = None
    """The last frame of the clip."""
    failure_reason: str | None = None
    """Why it failed, in the service's words."""
    failure_code: str | None = None
    """Why it failed, as a code."""
    progress: float | None = None
    """How far it is, 0.0 to 1.0, where the service tells."""
    estimate_wait_s: float | None = None
    """Seconds the service expects it to take from now, where it tells."""
    server_id: str | None = None
    """The relay's own name for the machine or account behind it."""
    model: str | None = None
    """The model that makes it."""
    raw: Json = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """The JSON as it came."""

    @property
    def final(self) -> bool:
        """Whether the service will not change it any more."""
        return self.state in _FINAL

    def __repr__(self) -> str:
        words = {"prompt": self.prompt, "failure_reason": self.failure_reason}
        shown = [f", {name}={clip(text, _SHOWN_CHARS)!r}" for name, text in words.items() if text]
        return f"Generation(id={self.id!r}, state={str(self.state)!r}{''.join(shown)})"

    def _repr_html_(self) -> str:
        """Show the clip or the picture in a notebook, by its link, watermark-free if there is one."""
        video, raw = self.video or Video(), self.video_raw or Video()
        clip_link = video.download_url or raw.download_url or raw.url or video.url or ""
        still = (self.thumbnail.url if self.thumbnail else None) or video.thumbnail_url
        return figure(
            state=self.raw_state or str(self.state),
            prompt=self.prompt or "",
            reason=self.failure_reason or "",
            link=clip_link or (self.image.url if self.image else None) or "",
            poster=still or "",
            picture=not clip_link,
        )


@attrs.frozen(kw_only=True)
class User:
    """The account at a relay."""

    id: int | None = None
    """The relay's number for the account."""
    username: str | None = None
    """The name of the account."""
    group: str | None = None
    """The price group it belongs to."""
    quota: int | None = None
    """What is left, in the relay's units: on most relays 500,000 of them are one US dollar."""
    used_quota: int | None = None
    """What was used, in the same units."""
    request_count: int | None = None
    """Requests made so far."""
    raw: Json = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """The JSON as it came, without `access_token`."""


@attrs.frozen(kw_only=True)
class KeyUsage:
    """What one API key may spend at a relay, in the relay's quota units."""

    name: str | None = None
    """The name of the key."""
    granted: int | None = None
    """What it was given."""
    used: int | None = None
    """What it has used."""
    available: int | None = None
    """What is left."""
    unlimited: bool | None = None
    """Whether only the account's quota bounds it."""
    expires_at: datetime | None = None
    """When it ends, aware UTC; None for never."""
    raw: Json = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """The JSON as it came."""


@attrs.frozen(kw_only=True)
class Credits:
    """The balance at the official service."""

    balance_cents: float
    """US cents."""
    raw: Json = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """The JSON as it came."""

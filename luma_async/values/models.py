"""What a service returns: generations, their files, and balances."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import attrs

from luma_async.values.html import figure
from luma_async.values.public import public
from luma_async.values.redaction import clip, show_url

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]
"""A JSON object as received."""


@public
class State(StrEnum):
    """The state of a generation; `Generation.raw_state` has the service's own word.

    Source: the services send `pending`, `processing`, `completed`, `failed`, and some relays the words of others, such
    as `queued`, `dreaming`, `succeeded` and `cancelled`.
    """

    PENDING = "pending"
    """Accepted and queued (also: `queued`)."""
    PROCESSING = "processing"
    """Running (also: `dreaming`)."""
    COMPLETED = "completed"
    """Finished with a result: final."""
    FAILED = "failed"
    """Ended by the service without a result: final."""
    UNKNOWN = "unknown"
    """A word that this version does not know: not final, so waiting continues."""

    @property
    def final(self) -> bool:
        """Whether the state will no longer change."""
        return self in _FINAL


_FINAL = frozenset({State.COMPLETED, State.FAILED})
_SHOWN_CHARS = 60
"""The part of a prompt that a repr shows."""


@public
@attrs.frozen(kw_only=True)
class Video:
    """The links to a video."""

    url: str | None = attrs.field(default=None, repr=show_url)
    """The link to play it; relays return a video with a watermark here."""
    download_url: str | None = attrs.field(default=None, repr=show_url)
    """The link to the same video without a watermark, if the service returns it."""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""
    duration_s: float | None = None
    """Seconds."""
    thumbnail_url: str | None = attrs.field(default=None, repr=show_url)
    """The link to a still image of it."""


@public
@attrs.frozen(kw_only=True)
class Image:
    """The link to an image."""

    url: str | None = attrs.field(default=None, repr=show_url)
    """The link."""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""


@public
@attrs.frozen(kw_only=True)
class Layer(Image):
    """One layer of a picture that was taken apart."""

    index: int | None = None
    """Its place, from 0 at the front."""
    label: str | None = None
    """What it shows, in a word."""
    description: str | None = None
    """What it shows, in a sentence."""
    alpha_hint: str | None = None
    """What the edges of its transparent areas are: `soft`, `hard` or `none`."""


@public
@attrs.frozen(kw_only=True)
class OtherOutput:
    """A result of a kind that this version does not know, such as EXR files."""

    type: str
    """The service's own word."""
    url: str = attrs.field(repr=show_url)
    """The link."""


Output: TypeAlias = Video | Image | Layer | OtherOutput
"""One result of a generation."""


def _known_outputs(generation: Generation) -> tuple[Output, ...]:
    return tuple(each for each in (generation.video, generation.image) if each is not None)


@public
@attrs.frozen(kw_only=True)
class Generation:
    """A generation as the service last described it: a snapshot, never updated in place.

    Its repr is short and has no link. A notebook displays the result.
    """

    id: str
    """The id that the service assigned."""
    state: State
    """The state."""
    raw_state: str = ""
    """The service's own word for the state."""
    prompt: str | None = None
    """The prompt as the service returns it; may be empty at relays."""
    created_at: datetime | None = None
    """The creation time in the response, aware UTC. Its precision may differ between responses."""
    video: Video | None = None
    """The video; None until the generation is completed, and sometimes even then."""
    video_raw: Video | None = None
    """The video without a watermark, for accounts that have it."""
    image: Image | None = None
    """The image, if the generation is an image."""
    outputs: tuple[Output, ...] = attrs.field(default=attrs.Factory(_known_outputs, takes_self=True))
    """All results, in the service's order. `video` and `image` are the first of their kind."""
    thumbnail: Image | None = None
    """A still image of the video."""
    last_frame: Image | None = None
    """The last frame of the video."""
    failure_reason: str | None = None
    """Why it failed, in the service's words."""
    failure_code: str | None = None
    """Why it failed, as a code."""
    progress: float | None = None
    """The progress, 0.0 to 1.0, if the service reports it."""
    estimate_wait_s: float | None = None
    """The remaining seconds that the service expects, if it reports them."""
    server_id: str | None = None
    """The relay's id for the machine or account that runs the generation."""
    model: str | None = None
    """The model."""
    siblings: tuple[str, ...] = ()
    """The ids of further generations that the same submit made: some relays make several for one charge. Only the
    answer to the submit names them; the `reason` of the journal's entry keeps them. `session.handle(id)` follows
    each."""
    raw: Json = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """The JSON of the generation as received, without an envelope: the same from every request."""
    raw_row: Json = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """What only the envelope around that JSON says, where the service sends one."""

    @property
    def final(self) -> bool:
        """Whether the state will no longer change."""
        return self.state in _FINAL

    def __repr__(self) -> str:
        words = {"prompt": self.prompt, "failure_reason": self.failure_reason}
        shown = [f", {name}={clip(text, _SHOWN_CHARS)!r}" for name, text in words.items() if text]
        return f"Generation(id={self.id!r}, state={str(self.state)!r}{''.join(shown)})"

    def to_dict(self, *, raw: bool = False) -> dict[str, Any]:
        """Return all fields as JSON can hold them: states are words, times ISO 8601 texts, files objects.

        `Generation.from_dict()` reads it. Each of the `outputs` names its class. The links in it may contain
        signatures, as in the generation itself.

        Args:
            raw: whether to include `raw` and `raw_row`, the JSON as received.
        """
        left_out: frozenset[str] = frozenset() if raw else _RAW_FIELDS
        return attrs.asdict(self, filter=lambda field, _: field.name not in left_out) | {
            "state": str(self.state),
            "created_at": self.created_at.isoformat() if self.created_at is not None else None,
            "outputs": [{"class": type(each).__name__, **attrs.asdict(each)} for each in self.outputs],
            "siblings": list(self.siblings),
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any], /) -> Self:
        """Return the generation that `to_dict()` was called on; without `raw`, if `to_dict()` left it out.

        Fields that are missing get their defaults, and names that are no field are ignored.

        Raises:
            ValueError: it is not what `to_dict()` returns.
        """
        try:
            fields = _known_fields(cls, form)
            for name, kind in _PARTS.items():
                if fields.get(name) is not None:
                    fields[name] = kind(**_known_fields(kind, fields[name]))
            if fields.get("created_at") is not None:
                fields["created_at"] = datetime.fromisoformat(fields["created_at"])
            if "outputs" in fields:
                kinds = [(_OUTPUTS[each["class"]], each) for each in fields["outputs"]]
                fields["outputs"] = tuple(kind(**_known_fields(kind, each)) for kind, each in kinds)
            fields["siblings"] = tuple(fields.get("siblings", ()))
            fields["id"], fields["state"] = form["id"], State(form["state"])
            return cls(**fields)
        except (TypeError, ValueError, KeyError) as error:
            reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"this is not what Generation.to_dict() returns ({reason})")

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, handler: Any) -> dict[str, Any]:
        """Let pydantic write a generation as `to_dict()` does, so that a FastAPI route can return it."""
        written = {"type": "function-plain", "function": cls.to_dict, "return_schema": handler(dict[str, Any])}
        return {"type": "is-instance", "cls": cls, "serialization": written}

    def _repr_html_(self) -> str:
        """Display the video or image in a notebook; prefer a link without a watermark."""
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


_RAW_FIELDS = frozenset({"raw", "raw_row"})
_PARTS: dict[str, type[Video | Image]] = {
    "video": Video,
    "video_raw": Video,
    "image": Image,
    "thumbnail": Image,
    "last_frame": Image,
}
"""The fields of a generation that are files."""
_OUTPUTS: dict[str, type[Output]] = {cls.__name__: cls for cls in (Video, Image, Layer, OtherOutput)}


def _known_fields(cls: type[attrs.AttrsInstance], form: Mapping[str, Any]) -> dict[str, Any]:
    return {name: form[name] for name in attrs.fields_dict(cls) if name in form}


@public
@attrs.frozen(kw_only=True)
class User:
    """The account at a relay."""

    id: int | None = None
    """The relay's number for the account."""
    username: str | None = None
    """The name of the account."""
    group: str | None = None
    """The price group of the account."""
    quota: int | None = None
    """The remaining quota in the relay's units; on most relays, 500,000 are a US dollar."""
    used_quota: int | None = None
    """The used quota, in the same units."""
    request_count: int | None = None
    """The number of requests so far."""
    raw: Json = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """The JSON as received, without `access_token`."""


@public
@attrs.frozen(kw_only=True)
class KeyUsage:
    """The quota of an API key at a relay, in the relay's units."""

    name: str | None = None
    """The name of the key."""
    granted: int | None = None
    """The granted quota."""
    used: int | None = None
    """The used quota."""
    available: int | None = None
    """The remaining quota."""
    unlimited: bool | None = None
    """Whether only the quota of the account limits the key."""
    expires_at: datetime | None = None
    """When the key expires, aware UTC; None means never."""
    raw: Json = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """The JSON as received."""


@public
@attrs.frozen(kw_only=True)
class Credits:
    """The balance at Luma's Dream Machine API."""

    balance_cents: float
    """The balance in US cents."""
    raw: Json = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """The JSON as received."""

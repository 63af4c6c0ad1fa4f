"""Luma's own format, Dream Machine v1: its paths and settings, at Luma and on relays that offer it.

Source: Luma's OpenAPI document 1.1.0 and its documentation for what the document leaves out. What neither states is
marked `Assumed:`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from luma_async._wire import generation as flat
from luma_async._wire.dialect import Call, Dialect, Query
from luma_async._wire.dream_machine import answer
from luma_async._wire.dream_machine.body import submit_spec
from luma_async._wire.dream_machine.match import compare
from luma_async._wire.error_body import read_error
from luma_async.values.errors import InvalidInput
from luma_async.values.models import Generation
from luma_async.values.public import public
from luma_async.values.settings import KnownLimits
from luma_async.values.validators import PATH_SEGMENT, check_id, check_string, matches

if TYPE_CHECKING:
    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Match, Page, Row, StillRunning
    from luma_async._wire.refusal import ErrorBody
    from luma_async.values.models import Credits
    from luma_async.values.requests import Request

_ROOT = "/dream-machine/v1"
_MAX_PAGE_SIZE = 100
_OPERATIONS = frozenset(
    {"submit", "extend", "add_audio", "upscale", "image", "reframe", "modify"}
    | {"get", "get_many", "video_url", "list", "delete", "concepts", "camera_motions", "credits", "ping"}
)
_CREATE_PATH = re.compile(rf"(?:{PATH_SEGMENT})+")

_CARRIES: dict[str, frozenset[str]] = {
    "VideoRequest": frozenset({"prompt", "aspect_ratio", "keyframes", "loop", "model", "resolution", "duration"})
    | {"concepts", "notify_hook", "extra"},
    "ExtendRequest": frozenset({"source", "prompt", "keyframes", "loop", "model", "resolution", "duration"})
    | {"notify_hook", "extra"},
    "AudioRequest": frozenset({"source", "prompt", "negative_prompt", "notify_hook", "extra"}),
    "UpscaleRequest": frozenset({"source", "resolution", "notify_hook", "extra"}),
    "ImageRequest": frozenset({"prompt", "aspect_ratio", "model", "image_refs", "style_refs", "character_refs"})
    | {"modify_image_ref", "format", "sync", "sync_timeout", "notify_hook", "extra"},
    "ReframeRequest": frozenset({"media", "aspect_ratio", "kind", "prompt", "model", "first_frame", "format"})
    | {"grid_position_x", "grid_position_y", "resized_width", "resized_height"}
    | {"x_start", "x_end", "y_start", "y_end", "notify_hook", "extra"},
    "ModifyRequest": frozenset({"media", "mode", "prompt", "model", "first_frame", "notify_hook", "extra"}),
    "Keyframes": frozenset({"frame0", "frame1"}),
    "ImageKeyframe": frozenset({"url"}),
    "GenerationKeyframe": frozenset({"id"}),
    "ImageReference": frozenset({"url", "weight"}),
}
"""The fields that the format can send, by the names of the classes."""


@public
@attrs.frozen(kw_only=True)
class DreamMachine(Dialect):
    """Speak Luma's own format, at api.lumalabs.ai or on a relay that offers it below its own address.

    Relays implement two of its calls only: creating a video and querying it. Relays refuse the others free of charge.
    """

    _HINTS: ClassVar = {
        "user": "See account.credits().",
        "key": "See account.credits().",
        "link": "A completed generation already holds its link.",
    }
    carries: ClassVar[Mapping[str, frozenset[str]]] = _CARRIES
    key_variable = "LUMAAI_API_KEY"
    base_path = _ROOT
    retirement = (
        "Luma announced that the models of this API (the legacy Dream Machine API, api.lumalabs.ai) retire after "
        "2026-10-04. New keys are for its present API: dialect=Agents() (--dialect agents), LUMA_AGENTS_API_KEY. "
        "Relays go on to speak this format."
    )

    create_path: str = attrs.field(
        default="/generations", validator=matches(_CREATE_PATH, 'must be a path like "/generations/video".')
    )
    """The path for creating a video, below `/dream-machine/v1`. The default is the older of two paths, since relays
    have only that. Assumed: Luma, whose document names `/generations/video` today, keeps serving it. If Luma stops, a
    submit is refused and not charged."""

    @property
    def name(self) -> str:
        """The format's name, without settings: after a change of settings earlier submits are still found."""
        return "dream-machine"

    @property
    def default_base_url(self) -> str | None:
        """Luma's own address."""
        return "https://api.lumalabs.ai"

    @property
    def page_size(self) -> int:
        """A hundred: the documented default. Assumed: it is also the maximum."""
        return _MAX_PAGE_SIZE

    @property
    def limits(self) -> KnownLimits:
        """Luma's own limits for videos: ten running, twenty a minute. Ten may start at once, since ten may run.

        Images have 40 and 80, and each relay has its own: pass `Limits` to the session.
        """
        return KnownLimits(max_in_flight=10, submits_per_minute=20, burst=10)

    def supports(self, operation: str) -> bool:
        """Whether there is such a call: a method's name such as `upscale`, `user`, `query_many`."""
        check_string(operation, "operation")
        return operation in _OPERATIONS

    def submit_call(self, request: Request) -> Call:
        """Build the call of a paid submit.

        Raises:
            InvalidInput: the format has no such field; `field` names it.
        """
        self.check_carried(request)
        spec = submit_spec(request)
        path = self.create_path if spec.path is None else f"/generations{spec.path}"
        return Call(name=spec.operation, method="POST", path=_ROOT + path, body=spec.body, sync_wait_s=spec.sync_wait_s)

    def read_submit(self, document: Document) -> Row | None:
        """Find the new generation in the answer to a submit; None when it names none."""
        return flat.find_submitted(document)

    def read_error(self, document: Document) -> ErrorBody | None:
        """Find the error in an answer, whatever its status; None when it holds none."""
        return read_error(document)

    def get(self, generation_id: str) -> Query[Row]:
        """Ask for one generation; an answer about another generation is unreadable."""
        call = Call(name="query", method="GET", path=_path(generation_id))
        return Query(call=call, read=partial(flat.find_one, generation_id=generation_id))

    def list_page(self, limit: int, offset: int) -> Query[Page]:
        """Ask for a page of the service's list.

        Raises:
            InvalidInput: no page has that length or offset.
        """
        _check_whole("limit", limit, 1, _MAX_PAGE_SIZE)
        _check_whole("offset", offset, 0)
        query = (("limit", str(limit)), ("offset", str(offset)))
        call = Call(name="list", method="GET", path=f"{_ROOT}/generations", query=query)
        return Query(call=call, read=answer.find_page)

    def delete(self, generation_id: str) -> Query[None]:
        """Ask the service to delete a generation."""
        return Query(call=Call(name="delete", method="DELETE", path=_path(generation_id)), read=_read_nothing)

    def concepts(self) -> Query[tuple[str, ...]]:
        """Ask for the names of concepts."""
        call = Call(name="concepts", method="GET", path=f"{_ROOT}/generations/concepts/list")
        return Query(call=call, read=answer.find_names)

    def camera_motions(self) -> Query[tuple[str, ...]]:
        """Ask for the phrases of camera motions."""
        call = Call(name="camera_motions", method="GET", path=f"{_ROOT}/generations/camera_motion/list")
        return Query(call=call, read=answer.find_names)

    def ping(self) -> Query[None]:
        """Ask whether the service is there and takes the key."""
        return Query(call=Call(name="ping", method="GET", path=f"{_ROOT}/ping"), read=_read_nothing)

    def credits(self) -> Query[Credits]:
        """Ask for the balance."""
        return Query(call=Call(name="credits", method="GET", path=f"{_ROOT}/credits"), read=answer.read_credits)

    def match(self, raw: Mapping[str, Any], request: Request) -> Match:
        """Compare a listed generation to a request, as far as the service repeats the request."""
        self.check_carried(request)
        return compare(raw, submit_spec(request))

    def repeated_prompt(self, raw: Mapping[str, Any], request: Request) -> str | None:
        """Return the prompt that the answer to a submit repeats; None if it shows nothing about the prompt."""
        return flat.repeated_prompt(raw)

    def peek(self, raw: Mapping[str, Any]) -> StillRunning | None:
        """Tell whether a row's JSON is certainly that of a running generation; None when it has to be structured."""
        return flat.peek(raw)

    def generation(self, raw: Mapping[str, Any]) -> Generation:
        """Structure a row's JSON; a field that cannot be read keeps its default.

        Raises:
            UnreadableResponse: its id or its state cannot be read.
        """
        return flat.structure(Generation, answer.generation_fields(raw))


def _path(generation_id: str) -> str:
    return f"{_ROOT}/generations/{check_id(generation_id)}"


def _read_nothing(document: Document) -> None:
    """A success is all that counts."""


def _check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse a number that no page has."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else -1
    if number < least or (most is not None and number > most):
        bound = f">= {least}" if most is None else f"from {least} to {most}; use library.all() for more"
        raise InvalidInput(field=name, message=f"must be an integer {bound}.")

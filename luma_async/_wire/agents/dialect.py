"""Luma's present API, "Agents": its paths, what it carries, and its limits.

Source: Luma's Python SDK `luma-agents` 0.5.0 of 2026-08-04 and the guides at docs.agents.lumalabs.ai. What neither
states is marked `Assumed:`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from luma_async._wire import generation as flat
from luma_async._wire.agents import answer, rules
from luma_async._wire.agents.body import submit_body
from luma_async._wire.dialect import Call, Dialect, FailureMoney, Query, UploadLimits
from luma_async.values.models import Generation
from luma_async.values.public import public
from luma_async.values.requests import OPERATIONS
from luma_async.values.settings import KnownLimits
from luma_async.values.validators import check_id

if TYPE_CHECKING:
    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Row, StillRunning
    from luma_async._wire.refusal import ErrorBody
    from luma_async.values.files import FilePage, UploadedFile, UploadTarget
    from luma_async.values.requests import Request

_ROOT = "/v1"
_OPERATIONS = frozenset(
    {"submit", "extend", "image", "image_edit", "modify", "reframe", "layers", "get", "get_many", "video_url"}
    | {"ping", "files"}
)
_NO_LOOKUP = (
    "This service keeps no list of generations and takes no idempotency key, so a submit whose answer was lost cannot "
    "be looked up."
)
_MB = 1_000_000

_CARRIES: dict[str, frozenset[str]] = {
    "VideoRequest": frozenset({"prompt", "aspect_ratio", "keyframes", "loop", "model", "resolution", "duration"})
    | {"hdr", "exr_export", "user_id", "extra"},
    "ExtendRequest": frozenset({"source", "prompt", "keyframes", "loop", "model", "resolution", "duration"})
    | {"direction", "user_id", "extra"},
    "ImageRequest": frozenset({"prompt", "aspect_ratio", "model", "image_refs", "format", "style", "web_search"})
    | {"user_id", "extra"},
    "ImageEditRequest": frozenset({"media", "prompt", "model", "image_refs", "format", "style", "web_search"})
    | {"user_id", "extra"},
    "ModifyRequest": frozenset({"media", "mode", "prompt", "model", "first_frame", "auto_controls", "controls"})
    | {"keyframes", "resolution", "hdr", "exr_export", "user_id", "extra"},
    "ReframeRequest": frozenset({"media", "aspect_ratio", "kind", "prompt", "model", "source_position"})
    | {"resolution", "user_id", "extra"},
    "LayerRequest": frozenset({"media", "prompt", "model", "resolution", "user_id", "extra"}),
    "Keyframes": frozenset({"frame0", "frame1", "at"}),
    "KeyframeAt": frozenset({"frame", "image"}),
    "ImageKeyframe": frozenset({"url"}),
    "GenerationKeyframe": frozenset({"id"}),
    "FileReference": frozenset({"id"}),
    "ImageReference": frozenset({"url"}),
    "SourcePosition": frozenset({"x", "y", "width", "height"}),
    "EditControls": frozenset({"depth", "face", "normals", "pose", "trajectory"}),
    "DepthControl": frozenset({"enabled", "blur"}),
    "FaceControl": frozenset({"enabled"}),
    "NormalsControl": frozenset({"enabled", "augmentation"}),
    "PoseControl": frozenset({"enabled", "strength"}),
    "TrajectoryControl": frozenset({"enabled", "sparsity"}),
}
"""The fields that the format can send, by the names of the classes."""


@public
@attrs.frozen(kw_only=True)
class Agents(Dialect):
    """Speak Luma's present API, at agents.lumalabs.ai.

    The service has no list of generations and takes no idempotency key: a submit whose answer was lost cannot be
    looked up there. It pays back what was moderated or failed, and says so by `GenerationFailed.code`.
    """

    _HINTS: ClassVar = {
        "list": f"{_NO_LOOKUP} The journal records what was bought (`luma-async status`). Look at the account's usage "
        "at platform.lumalabs.ai, then decide with session.doubts.resolve(), resubmit() or abandon() "
        "(`luma-async in-doubt`).",
        "delete": "Generations cannot be deleted or cancelled there.",
        "link": "A completed generation already holds its links.",
        "user": "See platform.lumalabs.ai.",
        "key": "See platform.lumalabs.ai.",
        "credits": "See platform.lumalabs.ai.",
    }
    carries: ClassVar[Mapping[str, frozenset[str]]] = _CARRIES
    key_variable = "LUMA_AGENTS_API_KEY"
    base_path = _ROOT
    has_relays = False
    doubt_hint = (
        f"{_NO_LOOKUP} Look at the account's usage at platform.lumalabs.ai, then decide with session.doubts "
        "(or `luma-async in-doubt`)."
    )
    failure_money: ClassVar[Mapping[str, FailureMoney]] = answer.FAILURE_MONEY
    rate_headers: ClassVar[tuple[str, str, str] | None] = (
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
    )
    # Assumed: no page names the largest inline image, so more than 1 MB is uploaded.
    uploads: ClassVar[UploadLimits | None] = UploadLimits(
        inline_bytes=_MB,
        max_bytes={"image/": 50 * _MB, "video/": 200 * _MB, "": 5 * 1024**3},
        max_pixels=8000,
    )

    @property
    def name(self) -> str:
        """The format's name."""
        return "agents"

    @property
    def default_base_url(self) -> str | None:
        """Luma's own address."""
        return "https://agents.lumalabs.ai"

    @property
    def limits(self) -> KnownLimits:
        """Ten unfinished generations and thirty submits in any minute, as the guide to rate limits says.

        Your plan may have others: pass `Limits` to the session. The service names its limit in each answer.
        """
        return KnownLimits(max_in_flight=10, submits_per_minute=30, sliding=True, bounds_unfinished=True)

    def supports(self, operation: str) -> bool:
        """Whether there is such a call: a method's name such as `image_edit`, `layers`, `files`."""
        return operation in _OPERATIONS

    def submit_call(self, request: Request) -> Call:
        """Build the call of a paid submit.

        Raises:
            UnsupportedOperation: the format has no such call.
            InvalidInput: the format has no such field, or two fields exclude each other; `field` names it.
        """
        self.check_carried(request)
        rules.check(request)
        body = submit_body(request)
        return Call(name=OPERATIONS[type(request)], method="POST", path=f"{_ROOT}/generations", body=body)

    def read_submit(self, document: Document) -> Row | None:
        """Find the new generation in the answer to a submit; None when it names none."""
        return flat.find_submitted(document)

    def read_error(self, document: Document) -> ErrorBody | None:
        """Find the error in an answer, whatever its status; None when it holds none."""
        return answer.read_error(document)

    def get(self, generation_id: str) -> Query[Row]:
        """Ask for one generation; an answer about another generation is unreadable."""
        call = Call(name="query", method="GET", path=f"{_ROOT}/generations/{check_id(generation_id)}")
        return Query(call=call, read=partial(flat.find_one, generation_id=generation_id))

    def ping(self) -> Query[None]:
        """Ask for one file: the cheapest request that needs the key."""
        call = Call(name="ping", method="GET", path=f"{_ROOT}/files", query=(("limit", "1"),))
        return Query(call=call, read=_read_nothing)

    def create_file(self, fields: Mapping[str, Any]) -> Query[UploadTarget]:
        """Announce a file, and ask where its bytes go."""
        return Query(call=self._file_call("create_file", "POST", body=dict(fields)), read=answer.find_upload)

    def complete_file(self, file_id: str) -> Query[None]:
        """Say that the bytes of a file are there."""
        call = self._file_call("complete_file", "POST", f"/{check_id(file_id)}/complete", body={})
        return Query(call=call, read=_read_nothing)

    def get_file(self, file_id: str) -> Query[UploadedFile]:
        """Ask for a file."""
        return Query(call=self._file_call("get_file", "GET", f"/{check_id(file_id)}"), read=answer.find_file)

    def list_files(self, query: tuple[tuple[str, str], ...]) -> Query[FilePage]:
        """Ask for a page of files."""
        call = attrs.evolve(self._file_call("list_files", "GET"), query=query)
        return Query(call=call, read=answer.find_files)

    def delete_file(self, file_id: str) -> Query[None]:
        """Ask the service to delete a file."""
        return Query(call=self._file_call("delete_file", "DELETE", f"/{check_id(file_id)}"), read=_read_nothing)

    def _file_call(
        self, name: str, method: Literal["GET", "POST", "DELETE"], path: str = "", body: dict[str, Any] | None = None
    ) -> Call:
        return Call(name=name, method=method, path=f"{_ROOT}/files{path}", body=body)

    def peek(self, raw: Mapping[str, Any]) -> StillRunning | None:
        """Tell whether a row's JSON is certainly that of a running generation; None when it has to be structured."""
        return flat.peek(raw)

    def generation(self, raw: Mapping[str, Any]) -> Generation:
        """Structure a row's JSON; a field that cannot be read keeps its default.

        Raises:
            UnreadableResponse: its id or its state cannot be read.
        """
        return flat.structure(Generation, answer.generation_fields(raw))


def _read_nothing(document: Document) -> None:
    """A success is all that counts."""

"""The official format, Dream Machine v1: its paths and settings, as Luma speaks it and as relays pass it on.

Source: Luma's OpenAPI document 1.1.0 and its documentation for what the document leaves out. What neither states is
marked `Assumed:`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from luma_async._wire import generation as rix_answers
from luma_async._wire.dialect import Call
from luma_async._wire.dream_machine import answer as dream_answers
from luma_async._wire.dream_machine import body as dream_bodies
from luma_async._wire.dream_machine import match as dream_echo
from luma_async._wire.error_body import read_error
from luma_async._wire.lacking import Lacking
from luma_async._wire.setting_checks import SEGMENT, matches
from luma_async._wire.structuring import structure
from luma_async.values.errors import InvalidInput
from luma_async.values.public import public
from luma_async.values.settings import KnownLimits
from luma_async.values.validators import check_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Match, Page, Row, StillRunning
    from luma_async._wire.refusal import ErrorBody
    from luma_async.values.models import Credits, Generation
    from luma_async.values.requests import Request

_ROOT = "/dream-machine/v1"
_PAGE_SIZE = 100
_OPERATIONS = frozenset(
    {"submit", "extend", "add_audio", "upscale", "image", "reframe", "modify"}
    | {"get", "get_many", "video_url", "list", "delete", "concepts", "camera_motions", "credits", "ping"}
)
_CREATE_PATH = re.compile(rf"(?:{SEGMENT})+")


@public
@attrs.frozen(kw_only=True)
class DreamMachine(Lacking):
    """Luma's own format. It is spoken at api.lumalabs.ai, and by relays below their own address.

    Relays know two of its calls only: creating a video and looking at one. What else is asked of one is refused, and
    costs nothing.
    """

    _HINTS: ClassVar = {
        "user": "See account.credits().",
        "key": "See account.credits().",
        "link": "A completed generation carries its link.",
    }

    create_path: str = attrs.field(
        default="/generations", validator=matches(_CREATE_PATH, 'must be a path like "/generations/video".')
    )
    """Where a video is bought, below `/dream-machine/v1`. The default is the older of two paths, since relays know no
    other. Assumed: Luma, whose document names `/generations/video` today, goes on serving it; should it stop, a submit
    is refused, and nothing is charged."""

    @property
    def name(self) -> str:
        """The format's name. It holds no setting: what was bought under one is found under another."""
        return "dream-machine"

    @property
    def default_base_url(self) -> str | None:
        """Luma's own address."""
        return "https://api.lumalabs.ai"

    @property
    def batch_size(self) -> int:
        """1: there is no query for many."""
        return 1

    @property
    def page_size(self) -> int:
        """A hundred: the documented default. Assumed: it is the most as well."""
        return _PAGE_SIZE

    @property
    def limits(self) -> KnownLimits:
        """Luma's own for videos: ten at once, twenty a minute. Ten may start at once, since ten may run.

        Pictures have 40 and 80, and a relay has its own: `Limits` tells a session.
        """
        return KnownLimits(max_in_flight=10, submits_per_minute=20, burst=10)

    def supports(self, operation: str) -> bool:
        """Whether there is such a call: a method's name such as `upscale`, `user`, `query_many`."""
        return operation in _OPERATIONS

    def submit(self, request: Request) -> Call:
        """Spell a paid submit.

        Raises:
            InvalidInput: the format cannot carry one of the fields, which is named.
        """
        order = dream_bodies.order(request)
        path = self.create_path if order.path is None else f"/generations{order.path}"
        return Call(
            name=order.operation, method="POST", path=_ROOT + path, body=order.body, sync_wait_s=order.sync_wait_s
        )

    def query(self, generation_id: str) -> Call:
        """Spell a look at one generation."""
        return Call(name="query", method="GET", path=_one(generation_id))

    def list_page(self, limit: int, offset: int) -> Call:
        """Spell the question for a page of the service's list.

        Raises:
            InvalidInput: no page has that many, or begins there.
        """
        _check_whole("limit", limit, 1, _PAGE_SIZE)
        _check_whole("offset", offset, 0)
        query = (("limit", str(limit)), ("offset", str(offset)))
        return Call(name="list", method="GET", path=f"{_ROOT}/generations", query=query)

    def delete(self, generation_id: str) -> Call:
        """Spell the wish that the service forgets a generation."""
        return Call(name="delete", method="DELETE", path=_one(generation_id))

    def concepts(self) -> Call:
        """Spell the question for the names of concepts."""
        return Call(name="concepts", method="GET", path=f"{_ROOT}/generations/concepts/list")

    def camera_motions(self) -> Call:
        """Spell the question for the phrases of camera motions."""
        return Call(name="camera_motions", method="GET", path=f"{_ROOT}/generations/camera_motion/list")

    def ping(self) -> Call:
        """Spell the question whether anybody is there."""
        return Call(name="ping", method="GET", path=f"{_ROOT}/ping")

    def credits(self) -> Call:
        """Spell the question for the balance."""
        return Call(name="credits", method="GET", path=f"{_ROOT}/credits")

    def read_error(self, document: Document) -> ErrorBody | None:
        """Find the error in an answer, whatever its status; None when it holds none."""
        return read_error(document)

    def read_submit(self, document: Document) -> Row | None:
        """Find the new generation in the answer to a submit; None when it names none."""
        return rix_answers.find_submitted(document)

    def read_query(self, document: Document, generation_id: str) -> Row:
        """Find the generation in the answer to a single look.

        Raises:
            UnreadableResponse: it is not there, or it is another one.
        """
        return rix_answers.find_one(document, generation_id)

    def read_page(self, document: Document) -> Page:
        """Find the generations of a page of the service's list.

        Raises:
            UnreadableResponse: it holds no list of them.
        """
        return dream_answers.find_page(document)

    def read_names(self, document: Document) -> tuple[str, ...]:
        """Find the names of concepts or camera motions.

        Raises:
            UnreadableResponse: it holds no list of them.
        """
        return dream_answers.find_names(document)

    def read_credits(self, document: Document) -> Credits:
        """Read the balance.

        Raises:
            UnreadableResponse: there is none.
        """
        from luma_async._wire.converter import balance  # noqa: PLC0415 - cattrs is loaded with the first answer

        return balance(dream_answers.balance_fields(document))

    def peek(self, raw: Mapping[str, Any]) -> StillRunning | None:
        """Say whether a row's JSON is surely that of a generation that runs on; None when it has to be read."""
        return rix_answers.peek(raw)

    def generation(self, raw: Mapping[str, Any]) -> Generation:
        """Structure a row's JSON; one drifted field degrades alone.

        Raises:
            UnreadableResponse: not even its id and state can be read.
        """
        return structure()(dream_answers.generation_fields(raw))

    def likeness(self, raw: Mapping[str, Any], request: Request) -> Match:
        """Compare a listed generation to a request, by what the service repeats of its own."""
        return dream_echo.likeness(raw, dream_bodies.order(request))


def _one(generation_id: str) -> str:
    return f"{_ROOT}/generations/{check_id(generation_id)}"


def _check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse what no page can be asked with."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else -1
    if number < least or (most is not None and number > most):
        bound = f"of {least} or more" if most is None else f"from {least} to {most}; library.all() reads on"
        raise InvalidInput(field=name, message=f"must be a whole number {bound}.")

"""The relay format ("RixAPI"): its paths and settings, and the dialect that a session speaks by default.

Source: the relay's own documentation in its editions of 2024 and 2025, and that of relays of the same family. What
no page states is marked `Assumed:`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from luma_async._wire import generation as rix_answers
from luma_async._wire.dialect import Call
from luma_async._wire.error_body import read_error
from luma_async._wire.lacking import Lacking
from luma_async._wire.rixapi import body as rix_bodies
from luma_async._wire.setting_checks import SEGMENT, matches
from luma_async._wire.structuring import structure
from luma_async.values.errors import ConfigurationError, InvalidInput
from luma_async.values.public import public
from luma_async.values.redaction import Secret
from luma_async.values.requests import AudioRequest, ExtendRequest, VideoRequest
from luma_async.values.settings import KnownLimits
from luma_async.values.validators import check_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Row, StillRunning
    from luma_async._wire.refusal import ErrorBody
    from luma_async.values.models import Generation, KeyUsage, User
    from luma_async.values.requests import Request

_OPERATIONS = frozenset(
    {"submit", "extend", "add_audio", "get", "get_many", "link", "video_url", "user", "key"},
)
_LUMAS_OWN = "Luma's own format has: dialect=DreamMachine() (--dialect dream-machine)."
_PREFIX = re.compile(rf"(?:{SEGMENT})*")
_AUDIO_PATH = re.compile(rf"(?:{SEGMENT}|/\{{id\}})+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_HEADER_VALUE = re.compile(r"[!-~]+")


def _check_batch_size(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(field=attribute.name, message="must be a whole number, 1 or more.")


def _check_edition(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value not in {"2025", "2024"}:
        raise InvalidInput(field=attribute.name, message='must be "2025" or "2024".')


def _check_token(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not (isinstance(value, Secret) and _HEADER_VALUE.fullmatch(value.reveal())):
        raise InvalidInput(field=attribute.name, message="must be the token alone: visible ASCII without blanks.")


def _as_secret(value: str | Secret | None) -> Secret | None:
    return Secret(value) if isinstance(value, str) else value


def _as_user_id(value: int | str | None) -> str | None:
    return None if value is None else str(value)


@public
@attrs.frozen(kw_only=True)
class RixAPI(Lacking):
    """The format of relays. The defaults are those of its documentation; relays differ, so each difference can be set.

    A journal knows purchases by the format and the base URL, so a change of these settings loses none.
    """

    _HINTS: ClassVar = {
        "credits": "A relay counts quota: see account.key() and account.user().",
        "list": "The journal knows what was bought (`luma-async status`), and a doubt is for a person to decide.",
        "ping": "account.key() costs nothing either.",
        **dict.fromkeys(("image", "upscale", "reframe", "modify", "delete", "concepts", "camera_motions"), _LUMAS_OWN),
    }

    edition: Literal["2025", "2024"] = attrs.field(default="2025", validator=_check_edition)
    """Of the documentation that submits follow. 2025 takes keyframes as objects; 2024 takes two picture addresses,
    and on most relays a model, a resolution and a duration."""
    prefix: str = attrs.field(
        default="/luma",
        validator=matches(_PREFIX, 'must be empty, or a path like "/luma" without a slash at its end.'),
    )
    """What paths begin with, below the base URL."""
    audio_path: str | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(
            matches(_AUDIO_PATH, 'must be a path like "/luma/generations/{id}/audio".')
        ),
    )
    """Where sound is bought, below the base URL; `{id}` stands for the video's id. None is the path of a submit.
    The body names the video as `task_id` in any case. Assumed: no page names the path."""
    batch_size: int = attrs.field(default=50, validator=_check_batch_size)
    """How many generations one look may ask for. No page names a bound, so fifty is a choice: some 100 KB an answer.
    1 asks for each by itself, which is the only query that every relay documents alike."""
    access_token: Secret | None = attrs.field(default=None, converter=_as_secret, validator=_check_token)
    """The account's system access token, for `account.user()` alone. It is not the API key."""
    user_id: str | None = attrs.field(
        default=None,
        converter=_as_user_id,
        validator=attrs.validators.optional(matches(_HEADER_VALUE, "must be the number of the account.")),
    )
    """The account's number, for `account.user()` alone."""
    user_id_header: str = attrs.field(
        default="New-Api-User", validator=matches(_HEADER_NAME, "must be the name of a header.")
    )
    """The header that carries it; relays have named it after themselves."""

    @property
    def name(self) -> str:
        """The format's name. It holds no setting: what was bought under one is found under another."""
        return "rixapi"

    @property
    def default_base_url(self) -> str | None:
        """None: every relay has its own."""
        return None

    @property
    def limits(self) -> KnownLimits:
        """No page names any, and relays differ: a batch finds out by itself."""
        return KnownLimits()

    def supports(self, operation: str) -> bool:
        """Whether there is such a call: a method's name such as `upscale`, `user`, `query_many`."""
        return operation in _OPERATIONS or (operation == "query_many" and self.batch_size > 1)

    def submit(self, request: Request) -> Call:
        """Spell a paid submit.

        Raises:
            UnsupportedOperation: the format has no such call.
            InvalidInput: the edition cannot carry one of the fields, which is named.
        """
        match request:
            case VideoRequest():
                name, path = "submit", f"{self.prefix}/generations"
            case ExtendRequest():
                name, path = "extend", f"{self._one(request.source)}/extend"
            case AudioRequest():
                # Assumed: the page of sound names no path; its body is that of a submit, with the video as task_id.
                path = self.audio_path or f"{self.prefix}/generations"
                name, path = "add_audio", path.replace("{id}", request.source)
            case _:
                raise self.unsupported(type(request).__name__.removesuffix("Request").lower())
        return Call(name=name, method="POST", path=path, body=rix_bodies.spell(request, self.edition))

    def query(self, generation_id: str) -> Call:
        """Spell a look at one generation."""
        return Call(name="query", method="GET", path=self._one(generation_id))

    def query_many(self, generation_ids: Sequence[str]) -> Call:
        """Spell a look at several."""
        ids = [check_id(one) for one in generation_ids]
        return Call(name="query_many", method="POST", path=f"{self.prefix}/tasks", body={"ids": ids})

    def link(self, generation_id: str) -> Call:
        """Spell the question for the watermark-free link."""
        return Call(name="link", method="GET", path=f"{self._one(generation_id)}/download_video_url")

    def user(self) -> Call:
        """Spell the question for the account.

        Raises:
            ConfigurationError: the access token or the account's number is not set.
        """
        if self.access_token is None or self.user_id is None:
            missing = "access_token" if self.access_token is None else "user_id"
            raise ConfigurationError(
                message=f"{missing} is missing: the account wants RixAPI(access_token=…, user_id=…), "
                "as the relay's website shows them. The API key does not open it."
            )
        # Assumed: the path and the header are those of the relay's published relatives.
        return Call(
            name="user",
            method="GET",
            path="/api/user/self",
            headers=((self.user_id_header, self.user_id),),
            bearer=self.access_token.reveal(),
        )

    def key(self) -> Call:
        """Spell the question for the API key's quota."""
        # Assumed: the path is that of the relay's published relatives.
        return Call(name="key", method="GET", path="/api/usage/token")

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

    def read_many(self, document: Document) -> tuple[Row, ...]:
        """Find the generations in the answer to a look at several; rows without an id are left out.

        Raises:
            UnreadableResponse: it holds no list of them.
        """
        return rix_answers.find_many(document)

    def read_link(self, document: Document) -> str:
        """Find the link.

        Raises:
            UnreadableResponse: there is none.
        """
        return rix_answers.find_link(document)

    def read_user(self, document: Document) -> User:
        """Read the account.

        Raises:
            UnreadableResponse: there is none.
        """
        from luma_async._wire.converter import user  # noqa: PLC0415 - cattrs is loaded with the first answer

        data = rix_answers.find_data(document)
        return user({**data, "raw": data})

    def read_key(self, document: Document) -> KeyUsage:
        """Read the API key's quota.

        Raises:
            UnreadableResponse: there is none.
        """
        from luma_async._wire.converter import key_usage  # noqa: PLC0415 - the same

        data = rix_answers.find_data(document)
        return key_usage(rix_answers.key_fields(data))

    def peek(self, raw: Mapping[str, Any]) -> StillRunning | None:
        """Say whether a row's JSON is surely that of a generation that runs on; None when it has to be read."""
        return rix_answers.peek(raw)

    def generation(self, raw: Mapping[str, Any]) -> Generation:
        """Structure a row's JSON; one drifted field degrades alone.

        Raises:
            UnreadableResponse: not even its id and state can be read.
        """
        return structure()(rix_answers.generation_fields(raw))

    def _one(self, generation_id: str) -> str:
        return f"{self.prefix}/generations/{check_id(generation_id)}"

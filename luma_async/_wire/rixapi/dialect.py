"""The relay format ("RixAPI"): its paths and settings. It is the dialect that a session speaks by default.

Source: the relay's own documentation in its editions of 2024 and 2025, and that of relays of the same family. What
no page states is marked `Assumed:`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from luma_async._wire import generation as flat
from luma_async._wire.dialect import Call, Dialect, Query
from luma_async._wire.error_body import read_error
from luma_async._wire.rixapi import answer
from luma_async._wire.rixapi.body import fields_of_2024, submit_body
from luma_async.values.errors import ConfigurationError, InvalidInput
from luma_async.values.models import Generation
from luma_async.values.public import public
from luma_async.values.redaction import Secret
from luma_async.values.requests import OPERATIONS, AudioRequest, ExtendRequest, VideoRequest
from luma_async.values.validators import PATH_SEGMENT, check_id, check_string, matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import Row, StillRunning
    from luma_async._wire.refusal import ErrorBody
    from luma_async.values.models import KeyUsage, User
    from luma_async.values.requests import Request

_OPERATIONS = frozenset(
    {"submit", "extend", "add_audio", "get", "get_many", "link", "video_url", "user", "key"},
)
_PREFIX = re.compile(rf"(?:{PATH_SEGMENT})*")
_AUDIO_PATH = re.compile(rf"(?:{PATH_SEGMENT}|/\{{id\}})+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_HEADER_VALUE = re.compile(r"[!-~]+")


def _check_batch_size(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(field=attribute.name, message="must be an integer >= 1.")


def _check_edition(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not (isinstance(value, str) and value in {"2025", "2024"}):
        raise InvalidInput(field=attribute.name, message='must be "2025", "2024" or None (as the fields need).')


def _check_token(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not (isinstance(value, Secret) and _HEADER_VALUE.fullmatch(value.reveal())):
        raise InvalidInput(field=attribute.name, message="must be the bare token: printable ASCII, no spaces.")


def _as_secret(value: str | Secret | None) -> Secret | None:
    return Secret(value) if isinstance(value, str) else value


def _as_user_id(value: int | str | None) -> str | None:
    # The validator refuses other types.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value  # type: ignore[return-value]


_SETTINGS = {"edition": "LUMA_EDITION", "access_token": "LUMA_ACCESS_TOKEN", "user_id": "LUMA_USER_ID"}
_CARRIES: dict[str, frozenset[str]] = {
    "VideoRequest": frozenset({"prompt", "aspect_ratio", "keyframes", "loop", "expand_prompt", "notify_hook", "extra"})
    | {"model", "resolution", "duration"},
    "ExtendRequest": frozenset({"source", "prompt", "keyframes", "loop", "expand_prompt", "notify_hook", "extra"})
    | {"model", "resolution", "duration"},
    "AudioRequest": frozenset({"source", "prompt", "notify_hook", "extra"}),
    "Keyframes": frozenset({"frame0", "frame1"}),
    "ImageKeyframe": frozenset({"url"}),
    "GenerationKeyframe": frozenset({"id"}),
}
"""The fields that the format can send, by the names of the classes."""


@public
@attrs.frozen(kw_only=True)
class RixAPI(Dialect):
    """Speak the format of relays. The defaults are those of its documentation; where relays differ, there is a setting.

    A journal records the format and the base URL, not these settings: after a change, earlier submits are still found.
    """

    _HINTS: ClassVar = {
        "credits": "A relay counts quota: see account.key() and account.user().",
        "list": "The journal records what was bought (`luma-async status`); settle a doubt by hand.",
        "ping": "account.key() is free as well.",
    }
    carries: ClassVar[Mapping[str, frozenset[str]]] = _CARRIES
    settings: ClassVar[Mapping[str, str]] = _SETTINGS

    edition: Literal["2025", "2024"] | None = attrs.field(default=None, validator=_check_edition)
    """The edition of the documentation that submits follow. "2025" takes keyframes as objects; "2024" takes two image
    addresses, and on most relays a model, a resolution and a duration. A field that the edition does not have is
    refused. None means the edition that has the fields of the request: 2025, or 2024 for a request with a model, a
    resolution or a duration. If such a request has a generation as a keyframe, the body has the fields of both."""
    prefix: str = attrs.field(
        default="/luma",
        validator=matches(_PREFIX, 'must be empty, or a path like "/luma" without a slash at its end.'),
    )
    """The beginning of all paths, below the base URL."""
    audio_path: str | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(
            matches(_AUDIO_PATH, 'must be a path like "/luma/generations/{id}/audio".')
        ),
    )
    """The path for adding audio, below the base URL; `{id}` stands for the video's id. None is the path of a submit.
    The body names the video as `task_id` in any case. Assumed: no page names the path."""
    batch_size: int = attrs.field(default=50, validator=_check_batch_size)
    """How many generations a status request may ask for. No page names a bound; fifty make about 100 KB an answer.
    With 1 each generation is asked for by itself, the only query that every relay documents alike."""
    access_token: Secret | None = attrs.field(default=None, converter=_as_secret, validator=_check_token)
    """The account's system access token, for `account.user()` only. It is not the API key."""
    user_id: str | None = attrs.field(
        default=None,
        converter=_as_user_id,
        validator=attrs.validators.optional(matches(_HEADER_VALUE, "must be the number of the account.")),
    )
    """The account's number, for `account.user()` only."""
    user_id_header: str = attrs.field(
        default="New-Api-User", validator=matches(_HEADER_NAME, "must be the name of a header.")
    )
    """The header for the account's number; some relays have given it their own name."""

    @property
    def name(self) -> str:
        """The format's name, without settings: after a change of settings earlier submits are still found."""
        return "rixapi"

    @property
    def default_base_url(self) -> str | None:
        """None: every relay has its own address."""
        return None

    @property
    def max_ids(self) -> int:
        """How many generations `get_many()` may ask for; see `batch_size`."""
        return self.batch_size

    def supports(self, operation: str) -> bool:
        """Whether there is such a call: a method's name such as `upscale`, `user`, `query_many`."""
        check_string(operation, "operation")
        return operation in _OPERATIONS or (operation == "query_many" and self.batch_size > 1)

    def submit_call(self, request: Request) -> Call:
        """Build the call of a paid submit.

        Raises:
            UnsupportedOperation: the format has no such call.
            InvalidInput: the edition has no such field; `field` names it.
        """
        self.check_carried(request)
        match request:
            case VideoRequest():
                name, path = "submit", f"{self.prefix}/generations"
            case ExtendRequest():
                name, path = "extend", f"{self._path(request.source)}/extend"
            case AudioRequest():
                # Assumed: the page about audio names no path; its body is that of a submit, with the video as task_id.
                path = self.audio_path or f"{self.prefix}/generations"
                name, path = "add_audio", path.replace("{id}", request.source)
            case _:
                raise self.unsupported(OPERATIONS[type(request)])
        return Call(
            name=name,
            method="POST",
            path=path,
            body=submit_body(request, self.edition),
            refusal_hint=self._refusal_hint(request),
        )

    def read_submit(self, document: Document) -> Row | None:
        """Find the new generation in the answer to a submit; None when it names none."""
        return flat.find_submitted(document)

    def read_error(self, document: Document) -> ErrorBody | None:
        """Find the error in an answer, whatever its status; None when it holds none."""
        return read_error(document)

    def get(self, generation_id: str) -> Query[Row]:
        """Ask for one generation; an answer about another generation is unreadable."""
        call = Call(name="query", method="GET", path=self._path(generation_id))
        return Query(call=call, read=partial(flat.find_one, generation_id=generation_id))

    def get_many(self, generation_ids: Sequence[str]) -> Query[tuple[Row, ...]]:
        """Ask for several generations; rows without an id are left out."""
        ids = [check_id(generation_id) for generation_id in generation_ids]
        call = Call(name="query_many", method="POST", path=f"{self.prefix}/tasks", body={"ids": ids})
        return Query(call=call, read=partial(answer.find_many, generation_ids=ids))

    def link(self, generation_id: str) -> Query[str]:
        """Ask for the watermark-free link."""
        call = Call(name="link", method="GET", path=f"{self._path(generation_id)}/download_video_url")
        return Query(call=call, read=answer.find_link)

    def user(self) -> Query[User]:
        """Ask for the account.

        Raises:
            ConfigurationError: the access token or the account's number is not set.
        """
        if self.access_token is None or self.user_id is None:
            missing = "access_token" if self.access_token is None else "user_id"
            raise ConfigurationError(
                message=f"{missing} is missing: pass RixAPI(access_token=…, user_id=…), as the relay's website "
                "shows them. The API key does not give access to the account."
            )
        # Assumed: the path and the header are those of the published relays of the same family.
        call = Call(
            name="user",
            method="GET",
            path="/api/user/self",
            headers=((self.user_id_header, self.user_id),),
            bearer=self.access_token,
        )
        return Query(call=call, read=answer.read_user)

    def key(self) -> Query[KeyUsage]:
        """Ask for the API key's quota."""
        # Assumed: the path is that of the published relays of the same family.
        return Query(call=Call(name="key", method="GET", path="/api/usage/token"), read=answer.read_key)

    def repeated_prompt(self, raw: Mapping[str, Any], request: Request) -> str | None:
        """Return the prompt that the answer to a submit repeats; None if it shows nothing about the prompt.

        Source: recorded answers. Some relays of the edition of 2024 answer every submit with an empty prompt, and the
        answer to a continuation has one whatever the edition.
        """
        prompt = flat.repeated_prompt(raw)
        usual = self.edition == "2024" or isinstance(request, ExtendRequest)
        return None if usual and prompt is not None and not prompt.strip() else prompt

    @property
    def prompt_advice(self) -> str:
        """What to set if the service did not read the prompt: the two editions have different names for it."""
        other = "2025" if self.edition == "2024" else "2024"
        chosen = "" if self.edition else ", or 2025 if the request has a model, a resolution or a duration"
        return (
            f'The service may read the prompt of the other edition only: set RixAPI(edition="{other}") '
            f"(--edition {other}){chosen}, and submit one prompt first."
        )

    def peek(self, raw: Mapping[str, Any]) -> StillRunning | None:
        """Tell whether a row's JSON is certainly that of a running generation; None when it has to be structured."""
        return flat.peek(raw)

    def generation(self, raw: Mapping[str, Any]) -> Generation:
        """Structure a row's JSON; a field that cannot be read keeps its default.

        Raises:
            UnreadableResponse: its id or its state cannot be read.
        """
        return flat.structure(Generation, flat.generation_fields(raw))

    def _refusal_hint(self, request: VideoRequest | ExtendRequest | AudioRequest) -> str:
        names = fields_of_2024(request)
        if self.edition is not None or not names:
            return ""
        return (
            f"The submit had the fields of edition 2024, because it has {' and '.join(names)}. If the relay follows "
            f"edition 2025 only, leave {'it' if len(names) == 1 else 'them'} out."
        )

    def _path(self, generation_id: str) -> str:
        return f"{self.prefix}/generations/{check_id(generation_id)}"

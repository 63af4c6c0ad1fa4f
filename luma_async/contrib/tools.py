"""The library as a handful of tools for agents: coroutines with plain arguments, whose results say what to do next.

They return problems instead of raising them, since an agent has to read those. What only the operator can repair is
raised: a closed session, and a journal that cannot be used.
"""

from __future__ import annotations

import asyncio
import builtins  # noqa: TC003 - frameworks resolve the annotations of the tools
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luma_async._aio import OwnedTasks, loop_now
from luma_async._journal.fingerprint import canonical_form, digest
from luma_async._journal.lifecycle import UNPAID
from luma_async._journal.protocol import is_lasting
from luma_async.contrib.results import (
    PREFIX,
    SAVED,
    Purchase,
    Purchases,
    SpendingLimits,
    as_limit,
    as_problem,
    describe,
    is_picture,
    not_bought,
)
from luma_async.handle import WaitTimeout
from luma_async.values.entries import Phase
from luma_async.values.errors import (
    ConfigurationError,
    GenerationFailed,
    InvalidInput,
    JournalError,
    KeyConflict,
    LumaError,
    NotSent,
    SessionClosed,
)
from luma_async.values.keyframes import GenerationKeyframe, ImageKeyframe, Keyframes
from luma_async.values.requests import ExtendRequest, ImageEditRequest, ImageRequest, ModifyRequest, VideoRequest

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable

    from luma_async.handle import GenerationHandle
    from luma_async.session import LumaSession
    from luma_async.values.entries import Entry
    from luma_async.values.models import Generation
    from luma_async.values.requests import Request

MAX_WAIT_S = 50.0
"""Most clients give up on a tool after a minute."""
MAX_HANDLES = 50
"""How many purchases a call describes."""

_SUBMIT_S = 20.0
_REPORT_EVERY_S = 5.0
_LOOK_EVERY_S = 10.0
_READ_EVERY_S = 0.5
_MAX_PROMPT_CHARS = 10_000
_UNFINISHED = frozenset({Phase.ACCEPTED, Phase.LOST})
_HANDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FILE_NAME = re.compile(r"\w[\w ()+,.-]{0,99}\.(?:mp4|jpg|jpeg|png|webp)")
_HANDLE_CHARS = 16
"""64 bits of the digest of a request. A request that happens to have those of another one is refused."""


class LumaTools:
    """Tools over an open session. An agent that calls one twice with the same arguments buys once.

    The tools see only what was bought with them, whichever program bought it over this journal.

    Args:
        session: an open session, whose journal outlives the program. Give it a `Budget`.
        folder: where `download()` puts files. It is created.

    Raises:
        ConfigurationError: the journal is lost with the program, or the folder cannot be used.
        SessionClosed: the session is not open.
    """

    def __init__(self, session: LumaSession, folder: str | os.PathLike[str]) -> None:
        if not is_lasting(session.journal):
            raise ConfigurationError(message="The tools need a journal file: LumaSession(journal='jobs.db').")
        self._session = session
        self.folder: Path = Path(folder).resolve()
        """The only folder to which files are downloaded."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(message=f"Cannot create the folder {folder}: {error.strerror}.") from None
        self._reading = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._looked: dict[str, tuple[float, Generation | None]] = {}

    def functions(self) -> builtins.list[Callable[..., Awaitable[Any]]]:
        """Return the tools that the service has, to pass to an agent framework."""
        supports = self._session.supports
        found: builtins.list[Callable[..., Awaitable[Any]]] = []
        if supports("submit"):
            found.append(self.submit_video)
        if supports("image"):
            found.append(self.submit_image)
        if supports("extend"):
            found.append(self.extend_video)
        if supports("modify") or supports("image_edit"):
            found.append(self.edit)
        return [*found, self.wait, self.status, self.download, self.list, self.in_doubt, self.budget]

    # For subclasses

    async def approve(self, request: Request, handle: str) -> bool:
        """Decide about a purchase before it is sent. This one agrees; override it to ask a person.

        Nothing is asked again for what is bought already.
        """
        return True

    async def report(self, waited_s: float, max_s: float, generation: Generation | None) -> None:
        """Take note of a wait that is going on, every five seconds. This one ignores it."""

    # Purchases

    async def submit_video(
        self,
        prompt: str,
        aspect_ratio: str = "16:9",
        duration: str | None = None,
        resolution: str | None = None,
        model: str | None = None,
        loop: bool | None = None,
        first_frame: str | None = None,
        last_frame: str | None = None,
        key: str | None = None,
    ) -> Purchase:
        """Buy one video. It costs money, once: the same arguments again return the same purchase and cost nothing.

        It returns at once, and the video takes minutes: call wait with the handle, then download. If the call times
        out, call it again with the same arguments.

        Args:
            prompt: What the video shows.
            aspect_ratio: Width to height, such as 16:9, 9:16 or 1:1.
            duration: Its length in the service's words, such as 5s. Longer costs more. Null for the service's default.
            resolution: Such as 540p, 720p or 1080p. Higher costs more. Null for the service's default.
            model: The model, such as ray-2. Null for the service's default.
            loop: Whether its end leads to its beginning.
            first_frame: A picture to begin with: an https URL, or the handle of a completed purchase.
            last_frame: A picture to end with, in the same way.
            key: Your name for this purchase: letters, digits, dots and dashes. Pass one only to buy the same again; a
                call with the same key is the same purchase.

        Costs:
            One generation, once.

        Cancellation:
            Safe: what was not sent is withdrawn, what was sent is recorded in the journal.
        """
        try:
            frames = [await self._frame(place) for place in (first_frame, last_frame)]
            request = VideoRequest(
                _prompt(prompt),
                aspect_ratio=aspect_ratio,
                duration=duration,
                resolution=resolution,
                model=model,
                loop=loop,
                keyframes=Keyframes(*frames) if any(frames) else None,
            )
        except LumaError as error:
            return self._not_bought(key or "", error)
        return await self._submit(request, key)

    async def submit_image(
        self, prompt: str, aspect_ratio: str = "16:9", model: str | None = None, key: str | None = None
    ) -> Purchase:
        """Buy one picture. It costs money, once: the same arguments again return the same purchase and cost nothing.

        It returns at once: call wait with the handle, then download. The handle can be a frame of submit_video.

        Args:
            prompt: What the picture shows.
            aspect_ratio: Width to height, such as 16:9, 9:16 or 1:1.
            model: The model, such as photon-1. Null for the service's default.
            key: Your name for this purchase, as for submit_video.

        Costs:
            One generation, once.

        Cancellation:
            Safe, as for submit_video().
        """
        try:
            request = ImageRequest(_prompt(prompt), aspect_ratio=aspect_ratio, model=model)
        except LumaError as error:
            return self._not_bought(key or "", error)
        return await self._submit(request, key)

    async def extend_video(
        self,
        source: str,
        prompt: str,
        duration: str | None = None,
        resolution: str | None = None,
        model: str | None = None,
        key: str | None = None,
    ) -> Purchase:
        """Buy a continuation of a completed video. It costs money, once, as submit_video does.

        Args:
            source: The handle of the completed video.
            prompt: What happens next.
            duration: The length in the service's words, such as 5s. Null for the service's default.
            resolution: Such as 540p, 720p or 1080p. Null for the service's default.
            model: The model. Null for the service's default.
            key: Your name for this purchase, as for submit_video.

        Costs:
            One generation, once.

        Cancellation:
            Safe, as for submit_video().
        """
        try:
            video = await self._bought(source)
            request = ExtendRequest(
                _id_of(video), _prompt(prompt), duration=duration, resolution=resolution, model=model
            )
        except LumaError as error:
            return self._not_bought(key or "", error)
        return await self._submit(request, key)

    async def edit(
        self, source: str, prompt: str, mode: str | None = None, model: str | None = None, key: str | None = None
    ) -> Purchase:
        """Buy a changed version of a completed video or picture. It costs money, once, as submit_video does.

        Args:
            source: The handle of the completed video or picture.
            prompt: What to change.
            mode: How much of a video may change: adhere_1 (least) to adhere_3, flex_1 to flex_3, reimagine_1 to
                reimagine_3 (most). Some services require it. Null for pictures.
            model: The model. Null for the service's default.
            key: Your name for this purchase, as for submit_video.

        Costs:
            One generation, once.

        Cancellation:
            Safe, as for submit_video().
        """
        try:
            original = await self._bought(source)
            media = GenerationKeyframe(_id_of(original))
            request: Request
            if is_picture(original):
                request = ImageEditRequest(media, _prompt(prompt), model=model)
            else:
                request = ModifyRequest(media, prompt=_prompt(prompt), mode=mode, model=model)
        except LumaError as error:
            return self._not_bought(key or "", error)
        return await self._submit(request, key)

    # Free of charge

    async def wait(self, handle: str, seconds: float = MAX_WAIT_S) -> Purchase:
        """Wait until a purchase is completed or failed, at most 50 seconds. This is free.

        If it is still running then, the result says when to call wait again. Videos take minutes, so several calls are
        normal. Waiting for many at once costs no more requests than for one.

        Args:
            handle: The handle of the purchase.
            seconds: How long to wait, 0 to 50 seconds.

        Costs:
            Free requests.

        Cancellation:
            Safe: the purchase keeps running.
        """
        until_s = loop_now() + max(0.0, min(seconds, MAX_WAIT_S))
        try:
            entry = await self._bought(handle)
            while entry.phase is Phase.SENDING and loop_now() < until_s and not await self._is_in_doubt(entry):
                await asyncio.sleep(_READ_EVERY_S)
                entry = await self._bought(handle)
            if entry.phase not in _UNFINISHED:
                return await self._describe(entry)
            generation = await self._wait_for(self._handle_of(entry), until_s)
        except LumaError as error:
            return await self._failed(handle, error)
        return describe(entry, self.folder, generation=generation)

    async def status(self, handles: builtins.list[str]) -> Purchases:
        """Tell how far several purchases are, at once and free of charge. To wait for one, call wait.

        Args:
            handles: Up to 50 handles.

        Costs:
            At most one round of free requests in ten seconds.

        Cancellation:
            Safe.
        """
        found = {handle: await self._find(handle) for handle in dict.fromkeys(handles[:MAX_HANDLES])}
        ids = [entry.generation_id for entry in found.values() if entry and entry.phase in _UNFINISHED]
        problem = None
        try:
            seen = await self._look([generation_id for generation_id in ids if generation_id])
        except LumaError as error:
            # The journal still knows what is paid.
            seen, problem = {}, as_problem(error, self.folder)
        purchases: builtins.list[Purchase] = []
        for handle, entry in found.items():
            if entry is None:
                purchases.append(self._not_bought(handle, _unknown()))
            else:
                described = await self._describe(entry, generation=seen.get(entry.generation_id or ""))
                purchases.append(replace(described, problem=described.problem or problem))
        return Purchases(purchases=purchases, total=len(purchases))

    async def download(self, handle: str, file_name: str | None = None) -> Purchase:
        """Save the file of a completed purchase in the server's folder, and return its name. This is free.

        It takes at most 50 seconds; if it returns without a file, call it again to continue.

        Args:
            handle: The handle of the purchase.
            file_name: A name without a folder, such as cat.mp4. Null for a name made of the service's id.

        Costs:
            Free requests. Some relays charge for a link, which is requested only if there is no other.

        Cancellation:
            Safe: what was received is kept, and the next call continues.
        """
        try:
            entry = await self._bought(handle)
            known = await self._describe(entry)
            if known.state not in {"running", "completed"} or (known.file and file_name in {None, known.file}):
                return known
            place = self._place(file_name)
            async with asyncio.timeout(MAX_WAIT_S):
                generation = self._handle_of(entry)
                # A file with the name of the id is of an earlier call.
                path = await generation.download(place, overwrite=file_name is None)
        except (LumaError, TimeoutError) as error:
            return await self._failed(handle, error)
        # The journal takes note of the file in the background.
        return replace(known, state="completed", progress=None, ask_again_in_s=None, file=path.name, next_step=SAVED)

    async def list(self, limit: int = 20, offset: int = 0) -> Purchases:
        """List what was bought with these tools, newest first. This is free.

        Args:
            limit: How many, 1 to 50.
            offset: How many of the newest to skip.

        Costs:
            Nothing; the journal is read.

        Cancellation:
            Safe.
        """
        entries = await self._entries()
        first = max(0, offset)
        page = entries[first : first + max(1, min(limit, MAX_HANDLES))]
        return Purchases(purchases=[await self._describe(entry) for entry in page], total=len(entries))

    async def in_doubt(self) -> Purchases:
        """List purchases that were sent and never answered, so that they may be charged. This is free.

        They are never sent again by themselves. Tell the user, who settles them with `luma-async in-doubt`.

        Costs:
            Nothing; the journal is read.

        Cancellation:
            Safe.
        """
        doubts = [entry for entry in await self._entries() if await self._is_in_doubt(entry)]
        page = doubts[:MAX_HANDLES]
        return Purchases(purchases=[await self._describe(entry) for entry in page], total=len(doubts))

    async def budget(self) -> SpendingLimits:
        """Tell the spending limits and what is left of them. This is free. A purchase above a limit is refused.

        Costs:
            Nothing; the journal is read.

        Cancellation:
            Safe.
        """
        return SpendingLimits(limits=[as_limit(status) for status in await self._session.account.budgets()])

    # How they work

    async def _submit(self, request: Request, key: str | None) -> Purchase:
        handle = key if key is not None else digest(canonical_form(request))[:_HANDLE_CHARS]
        try:
            name = _key_of(handle)
            standing = await self._session.find(name)
            new = standing is None or standing.phase in UNPAID
            if new and not await self.approve(request, handle):
                return self._not_bought(handle, InvalidInput(field="approval", message="a person has declined it."))
            async with asyncio.timeout(_SUBMIT_S):
                await self._session.submit(request, key=name)
        except (LumaError, TimeoutError) as error:
            # After the timeout, the answer to what was sent is still recorded, and what was not sent is withdrawn.
            return await self._failed(handle, error)
        return await self._describe(await self._bought(handle), new=new)

    async def _frame(self, place: str | None) -> ImageKeyframe | GenerationKeyframe | None:
        """Return the frame of an argument. Only addresses that the service fetches: no file of this machine is read."""
        if place is None:
            return None
        if place.startswith(("http://", "https://")):
            return ImageKeyframe(place)
        return GenerationKeyframe(_id_of(await self._bought(place)))

    async def _bought(self, handle: str) -> Entry:
        """Return the entry of a handle.

        Raises:
            InvalidInput: nothing was bought under it with these tools.
        """
        _key_of(handle)
        entry = await self._find(handle)
        if entry is None:
            raise _unknown()
        return entry

    async def _find(self, handle: str) -> Entry | None:
        return await self._session.find(PREFIX + handle) if _HANDLE.fullmatch(handle) else None

    def _handle_of(self, entry: Entry) -> GenerationHandle:
        return self._session.handle(_id_of(entry))

    async def _wait_for(self, handle: GenerationHandle, until_s: float) -> Generation | None:
        """Wait, and report every few seconds; return the generation as last seen."""
        began_at_s = loop_now()
        max_s = max(0.0, until_s - began_at_s)
        tasks = OwnedTasks()
        waiting = tasks.start(_end_of(handle, max_s), name="luma_async tools wait")
        try:
            while not waiting.done():
                await self.report(loop_now() - began_at_s, max_s, handle.last)
                await asyncio.wait([waiting], timeout=_REPORT_EVERY_S)
            return await waiting
        finally:
            await tasks.cancel()

    async def _look(self, generation_ids: builtins.list[str]) -> dict[str, Generation]:
        """Fetch generations, each at most once in ten seconds however often it is asked for."""
        async with self._looking:
            now_s = loop_now()
            kept = {name: seen for name, seen in self._looked.items() if now_s - seen[0] < _LOOK_EVERY_S}
            due = [name for name in generation_ids if name not in kept]
            if due:
                found = await self._session.get_many(due)
                kept |= {name: (now_s, found.get(name)) for name in due}
            self._looked = kept
        return {name: seen for name in generation_ids if (seen := kept[name][1]) is not None}

    def _place(self, file_name: str | None) -> str:
        """Return where a file goes: a new file directly in the folder, or the folder."""
        if file_name is None:
            return f"{self.folder}/"
        if not _FILE_NAME.fullmatch(file_name):
            message = "must be a plain name such as cat.mp4: no folder, and .mp4, .jpg, .png or .webp at its end."
            raise InvalidInput(field="file_name", message=message)
        path = self.folder / file_name
        if path.exists() or path.is_symlink():
            raise InvalidInput(field="file_name", message="there is a file of this name. Choose another name.")
        return str(path)

    async def _entries(self) -> builtins.list[Entry]:
        """Return the purchases of the tools, newest first; one reading at a time, since a journal may be long."""
        async with self._reading:
            entries = await self._session.journal.entries(service=self._session.service)
        return [entry for entry in reversed(entries) if entry.key.startswith(PREFIX)]

    async def _is_in_doubt(self, entry: Entry) -> bool:
        if entry.phase is Phase.SENDING:
            return not await self._session.journal.alive(entry.owner)
        return entry.phase is Phase.IN_DOUBT

    async def _describe(self, entry: Entry, *, generation: Generation | None = None, new: bool = False) -> Purchase:
        in_doubt = entry.phase is Phase.SENDING and await self._is_in_doubt(entry)
        return describe(entry, self.folder, generation=generation, new=new, in_doubt=in_doubt)

    async def _failed(self, handle: str, error: LumaError | TimeoutError) -> Purchase:
        """Describe a purchase after an error."""
        if isinstance(error, JournalError | SessionClosed):
            raise error
        entry = None if isinstance(error, KeyConflict) else await self._find(handle)
        if not isinstance(error, LumaError):
            if entry is not None and entry.phase not in UNPAID:
                # The next call goes on.
                return await self._describe(entry)
            error = NotSent(message="The service could not be reached in time.")
        if entry is None:
            return self._not_bought(handle, error)
        failed = error.generation if isinstance(error, GenerationFailed) else None
        return replace(await self._describe(entry, generation=failed), problem=as_problem(error, self.folder))

    def _not_bought(self, handle: str, error: Exception) -> Purchase:
        return not_bought(handle, as_problem(error, self.folder))


async def _end_of(handle: GenerationHandle, max_s: float) -> Generation | None:
    """Wait for a generation; return it as last seen, even if it failed or is still running."""
    try:
        return await handle.wait(timeout=max_s)
    except WaitTimeout:
        return handle.last
    except GenerationFailed as error:
        return error.generation


def _key_of(handle: str) -> str:
    """Return the key of the journal.

    Raises:
        InvalidInput: no handle looks like this.
    """
    if not _HANDLE.fullmatch(handle):
        raise InvalidInput(field="key", message="must be 1 to 100 letters, digits, dots, dashes and underscores.")
    return PREFIX + handle


def _id_of(entry: Entry) -> str:
    """Return the service's id of a purchase.

    Raises:
        InvalidInput: the service has not accepted it.
    """
    if entry.generation_id is None:
        raise InvalidInput(field="handle", message="this purchase has no result. Call status to see why.")
    return entry.generation_id


def _prompt(text: str) -> str:
    if len(text) > _MAX_PROMPT_CHARS:
        raise InvalidInput(field="prompt", message=f"is longer than {_MAX_PROMPT_CHARS} characters.")
    return text


def _unknown() -> InvalidInput:
    message = "nothing was bought under this handle. Call list for the handles that exist."
    return InvalidInput(field="handle", message=message)

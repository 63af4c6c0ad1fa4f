"""The batches of one session: what they share, and which names are taken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from weakref import WeakSet

from luma_async._aio.tasks import OwnedTasks
from luma_async._batch.batch import Batch
from luma_async._batch.item import BatchOptions
from luma_async._batch.source import Source
from luma_async._batch.window import InFlight
from luma_async._submit.limits import window
from luma_async.values.errors import ConfigurationError, InvalidInput, SessionClosed
from luma_async.values.settings import Limits, check_timeout

if TYPE_CHECKING:
    from luma_async._batch.item import Deeds, Destination
    from luma_async._batch.source import Keys, Wanted
    from luma_async.values.settings import KnownLimits, Unset


class Registry:
    """Opens batches, and closes them with the session."""

    def __init__(self, *, deeds: Deeds, limits: Limits, known: KnownLimits, forgetful: bool) -> None:
        self._deeds = deeds
        self._known = known
        self._forgetful = forgetful
        self._flights = InFlight(window(limits.max_in_flight, known))
        self._batches: WeakSet[Batch] = WeakSet()
        self._tasks = OwnedTasks()

    def open(
        self,
        wanted: Wanted,
        *,
        name: str | None,
        keys: Keys | None,
        max_in_flight: float | Literal["auto"] | None,
        timeout: float | Unset | None,
        retry_failed: bool,
        download_to: str | os.PathLike[str] | Destination | None,
    ) -> Batch:
        """Begin a batch; see `session.batch()`."""
        check_timeout(timeout)
        self._check_name(name, named=keys is not None)
        called = name if name is not None else os.urandom(8).hex()
        flights = self._flights
        if max_in_flight is not None:
            flights = InFlight(window(Limits(max_in_flight=max_in_flight).max_in_flight, self._known))
        # A name of chance derives keys that no later run would find.
        lasting = called if name is not None or self._forgetful else None
        source = Source(wanted, keys, name=lasting)
        place = download_to if download_to is None or callable(download_to) else _into(download_to)
        terms = BatchOptions(name=called, timeout=timeout, retry_failed=retry_failed, place=place)
        batch = Batch(source, terms=terms, flights=flights, deeds=self._deeds, tasks=self._tasks)
        self._batches.add(batch)
        return batch

    async def aclose(self) -> None:
        """Leave every batch; those who take outcomes learn that the session closed."""
        for batch in list(self._batches):
            batch.abort(SessionClosed(message="The session closed; what is paid runs on, and is in the journal."))
        await self._tasks.cancel()

    def _check_name(self, name: str | None, *, named: bool) -> None:
        if name is None:
            if not named and not self._forgetful:
                raise ConfigurationError(
                    message="Over a journal that outlives the session a batch needs a name: the same name resumes "
                    "and pays only for what is missing, a new one buys everything again. Pass batch(…, name='…')."
                )
            return
        if not str(name).strip():
            raise InvalidInput(field="name", message="must be a text that is not empty.")
        if any(batch.name == name and not batch.closed for batch in self._batches):
            raise ConfigurationError(
                message=f"A batch named {name!r} is open in this session: take all of its outcomes, or aclose() it."
            )


def _into(place: str | os.PathLike[str]) -> Destination:
    """Make the folder, and put everything there."""
    folder = Path(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        message = f"{str(folder)!r} is not a folder, and cannot be made one: {error}."
    else:
        return lambda _: folder
    raise InvalidInput(field="download_to", message=message)

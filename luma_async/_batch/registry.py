"""The batches of one session: the slots that they share, and the names in use."""

from __future__ import annotations

import inspect
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from weakref import WeakSet

from luma_async._aio import OwnedTasks
from luma_async._batch.batch import Batch
from luma_async._batch.item import BatchOptions
from luma_async._batch.source import Source
from luma_async._batch.window import WINDOW_HINT, InFlight, Window
from luma_async._download.names import FILE_NAME, check_file_name
from luma_async._download.part_file import check_before_purchase
from luma_async._journal.protocol import is_lasting
from luma_async.values.errors import ConfigurationError, InvalidInput, SessionClosed
from luma_async.values.settings import Limits, check_timeout
from luma_async.values.validators import check_bool, check_path, check_string

if TYPE_CHECKING:
    from luma_async._batch.item import Destination
    from luma_async._batch.source import BatchKeys, BatchRequests
    from luma_async._engine import Engine
    from luma_async.values.settings import Unset


class Registry:
    """Opens the batches of a session, and closes them with it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._persistent = is_lasting(engine.journal)
        wanted, earlier = engine.config.limits.max_in_flight, engine.earlier.get(WINDOW_HINT, {}).get("size")
        window = Window.starting(wanted, engine.dialect.limits, earlier)
        self._in_flight = InFlight(window, engine.hints if window.ceiling == math.inf else None)
        self._batches: WeakSet[Batch] = WeakSet()
        self._tasks = OwnedTasks()

    def open(
        self,
        requests: BatchRequests,
        *,
        name: str | None,
        keys: BatchKeys | None,
        max_in_flight: float | Literal["auto"] | None,
        timeout: float | Unset | None,
        retry_failed: bool,
        download_to: str | os.PathLike[str] | Destination | None,
        file_name: str | None,
    ) -> Batch:
        """Open a batch; see `session.batch()`."""
        check_timeout(timeout)
        check_bool(retry_failed, "retry_failed")
        if file_name is not None:
            check_file_name(file_name)
            if download_to is None:
                raise InvalidInput(field="file_name", message="needs download_to.")
        self._check_name(name, has_keys=keys is not None)
        batch_name = name if name is not None else os.urandom(8).hex()
        in_flight = self._in_flight
        if max_in_flight is not None:
            own_limit = Limits(max_in_flight=max_in_flight).max_in_flight
            in_flight = InFlight(Window.starting(own_limit, self._engine.dialect.limits))
        # Keys derived from a random name would not be found by the next run.
        stable_name = batch_name if name is not None or not self._persistent else None
        source = Source(requests, keys, name=stable_name)
        destination = _destination(download_to)
        options = BatchOptions(
            name=batch_name,
            timeout=timeout,
            retry_failed=retry_failed,
            destination=destination,
            file_name=FILE_NAME if file_name is None else file_name,
        )
        batch = Batch(source, options=options, in_flight=in_flight, engine=self._engine, tasks=self._tasks)
        self._batches.add(batch)
        return batch

    async def aclose(self) -> None:
        """Close every batch; those who take outcomes get `SessionClosed`."""
        for batch in list(self._batches):
            batch._fail(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - not for users
                SessionClosed(
                    message="The session was closed. "
                    "Submitted generations keep running and are recorded in the journal."
                )
            )
        await self._tasks.cancel()

    def _check_name(self, name: str | None, *, has_keys: bool) -> None:
        if name is None:
            if not has_keys and self._persistent:
                raise ConfigurationError(
                    message="With a persistent journal a batch needs a name: the same name resumes and pays only for "
                    "what is missing, a new name submits everything again. Pass batch(…, name='…')."
                )
            return
        check_string(name, "name")
        if any(batch.name == name and not batch.closed for batch in self._batches):
            raise ConfigurationError(
                message=f"A batch named {name!r} is open in this session: take all of its outcomes, or aclose() it."
            )


def _destination(download_to: str | os.PathLike[str] | Destination | None) -> Destination | None:
    if download_to is None:
        return None
    if not callable(download_to):
        check_path(download_to, "download_to")
        return _folder(download_to)
    if inspect.iscoroutinefunction(download_to):
        raise InvalidInput(field="download_to", message="must be a plain function: it is not awaited.")
    return download_to


def _folder(path: str | os.PathLike[str]) -> Destination:
    """Create the folder, and return the destination that puts every file into it."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_before_purchase(folder, overwrite=False)
    except InvalidInput as error:
        message = error.message
    except (OSError, ValueError) as error:
        message = f"{str(folder)!r} is not a folder and cannot be created: {error}."
    else:
        return lambda _: folder
    raise InvalidInput(field="download_to", message=message)

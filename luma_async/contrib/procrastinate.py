"""A queue of purchases for workers on several machines: Procrastinate runs them, the journal keeps each from two POSTs.

An engine runs a step again if its worker has died, so it may repeat a POST that was sent. Here each step is safe to
repeat: `submit` claims its key in the journal, and a key that was bought, or may have been, is not sent again.

A purchase goes through two steps, `submit` and `finish`, each a row in the queue:

- `submit` sends the request, and ends as soon as the service has accepted it. It leaves a `finish` that is scheduled
  for tomorrow.
- `look` runs every few seconds on one worker. The leader of the sessions polls all unfinished generations together, and
  writes their ends to the journal; where there is one, `look` schedules `finish` for now. So a wait is a row, and no
  worker is busy while a video renders.
- `finish` downloads the file.
- `rescue` puts the steps of workers that have died back into the queue.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luma_async._aio import wall_now
from luma_async._journal.fingerprint import canonical_form, request_from_form
from luma_async._journal.postgres.journal import PostgresJournal
from luma_async.values.entries import Phase
from luma_async.values.errors import (
    ConfigurationError,
    DownloadError,
    InvalidInput,
    JournalError,
    LumaError,
    NoResponse,
    NotSent,
    RateLimited,
    ServiceUnavailable,
    SessionClosed,
    SubmitInDoubt,
    UnreadableResponse,
)
from luma_async.values.log import fields, logger
from luma_async.values.requests import as_request
from luma_async.values.validators import check_key

if find_spec("procrastinate") is None:
    raise ConfigurationError(
        message="The queue needs procrastinate. Install it with `pip install luma-async[procrastinate]`."
    )

from procrastinate import App, PsycopgConnector, RetryStrategy
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Status
from psycopg_pool import PoolTimeout

if TYPE_CHECKING:
    from collections.abc import Generator

    from luma_async.session import LumaSession
    from luma_async.values.entries import Entry
    from luma_async.values.requests import Request

__all__ = ["QUEUE", "add_steps", "open_queue", "queue_counts", "queue_submit", "run_worker"]

QUEUE = "luma"
"""The name of the queue. Workers that `run_worker()` runs take nothing from other queues."""
_SUBMIT, _FINISH, _LOOK, _RESCUE = "luma:submit", "luma:finish", "luma:look", "luma:rescue"
_WAITING = "luma waiting "
"""The beginning of the queueing lock of a `finish` that waits for the end of its generation."""
_SUBMIT_S = 10.0
"""How long a submit may wait, for the limits of the service or for its answer, before the worker does something else.
What was sent goes on; what was not is withdrawn."""
_AGAIN_S = 5
"""When such a submit is tried again."""
_WAIT = {"days": 1}
"""How long a generation may take. The command line waits as long."""
_KNOWN_S = 60.0
"""How long `finish` waits for a status request; the generation has ended already, unless the day is over."""
_HEARTBEAT_S, _DEAD_S = 1.0, 5.0
"""How often a worker says that it is alive, and after what silence its steps are taken up by others. A worker that was
only silent does no harm: the journal lets no two sessions send under the same key."""
_BACKSTOP_S, _OVERDUE_S = 60, 300.0
"""How often `look` asks the service itself, and for generations of what age. The leader of the sessions polls all."""
_WAITS, _BUYS, _DOWNLOADS, _LOOKS, _RESCUES = range(-1, 4)
"""What comes first, in ascending order. Downloads come before submits, which may be many: links expire."""
_RECONNECT_S = 2.0
_EVERY_LOOK, _EVERY_RESCUE = "* * * * * */5", "* * * * * */2"
_PASSING = (
    *(ConnectorException, DownloadError, JournalError, NoResponse, NotSent, RateLimited, ServiceUnavailable),
    *(SessionClosed, UnreadableResponse),
)
"""Errors that may pass. A doubt is not among them: only a person can settle it."""
# Waits of 3, 9, 27 … seconds: almost three hours in all.
_RETRY = RetryStrategy(max_attempts=8, exponential_wait=3, retry_exceptions=_PASSING)


async def open_queue(dsn: str) -> App:
    """Connect to the queue in a PostgreSQL database, and create its tables if they are missing.

    Args:
        dsn: the address; it may be that of the journal. The names of the tables begin with `procrastinate_`.

    Returns:
        An app that is open; close it with `await app.close_async()`.

    Raises:
        ConfigurationError: the address cannot be read.
        JournalError: the database cannot be used; the message says why.

    Costs:
        Nothing.

    Cancellation:
        Safe.
    """
    journal = PostgresJournal(dsn)
    # Its errors say what is wrong with the address; the pool below only says that it waited.
    await journal.get(QUEUE)
    await journal.aclose()
    app = App(connector=PsycopgConnector(conninfo=dsn, min_size=1, max_size=4, timeout=10.0))
    try:
        await app.open_async()
        if not await app.check_connection_async():
            await _create_tables(app)
    except (ConnectorException, PoolTimeout) as error:
        failure = JournalError(message=f"The queue cannot be used: {_why(error)}")
    except BaseException:
        await app.close_async()
        raise
    else:
        return app
    await app.close_async()
    raise failure


async def _create_tables(app: App) -> None:
    try:
        await app.schema_manager.apply_schema_async()
    except ConnectorException:
        # Another program may have created them meanwhile.
        if not await app.check_connection_async():
            raise


def _why(error: Exception) -> str:
    """Return what the database said; the engine's own error only says that there is one."""
    return str(error.__cause__ or error).strip()


async def queue_submit(
    app: App, request: Request | str, /, *, key: str, download_to: str | None = None, **options: Any
) -> None:
    """Queue a purchase. A worker submits it, waits for it and downloads it.

    A key that is queued again is not bought again. `session.find(key)` tells what became of it.

    Args:
        app: the queue, open. It need not have the steps of `add_steps()`.
        request: a request, or a prompt together with the fields of `VideoRequest` in `options`.
        key: your name for this purchase, 1-200 printable characters.
        download_to: a file, or a folder that ends in `/`, on the machine of the worker; None downloads nothing. A file
            that exists is replaced.
        options: the fields of `VideoRequest`, with a prompt.

    Raises:
        InvalidInput: the request or the key is invalid, or the request contains a picture. Nothing was queued.
        procrastinate.exceptions.ConnectorException: the database cannot be used. It may be queued.

    Costs:
        Nothing now. One generation when a worker submits it.

    Cancellation:
        It is queued or not; queue it again under the same key.
    """
    check_key(key)
    form = canonical_form(as_request(request, options))
    try:
        request_from_form(form)
    except InvalidInput as error:
        message = "a queue holds no pictures; pass the address of the picture, or upload it first."
        raise InvalidInput(field="request", message=message) from error
    await app.configure_task(_SUBMIT, queue=QUEUE, priority=_BUYS).defer_async(
        key=key, request=form, download_to=download_to
    )


async def queue_counts(app: App) -> dict[str, int]:
    """Count what is `queued`, `waiting` for the end of its video, `running` in a worker, and `failed`.

    Costs:
        Nothing.

    Cancellation:
        Safe.
    """
    found = {row["name"]: row for row in await app.job_manager.list_tasks_async(queue=QUEUE)}
    steps = [found[name] for name in (_SUBMIT, _FINISH) if name in found]
    return {
        "queued": found.get(_SUBMIT, {}).get("todo", 0),
        "waiting": found.get(_FINISH, {}).get("todo", 0),
        "running": sum(step["doing"] for step in steps),
        "failed": sum(step["failed"] for step in steps),
    }


def add_steps(app: App, luma: LumaSession) -> None:
    """Let the workers of this app buy: add the steps of purchases to it, which use this session.

    The session must be open while a worker runs, over a journal in PostgreSQL. `run_worker()` runs a worker with
    fitting settings.
    """
    steps = _Steps(app, luma)
    app.task(name=_SUBMIT, queue=QUEUE, retry=_RETRY)(steps.submit)
    app.task(name=_FINISH, queue=QUEUE, retry=_RETRY)(steps.finish)
    look = app.task(name=_LOOK, queue=QUEUE, priority=_LOOKS, lock=_LOOK, queueing_lock=_LOOK)(steps.look)
    rescue = app.task(name=_RESCUE, queue=QUEUE, priority=_RESCUES, queueing_lock=_RESCUE)(steps.rescue)
    app.periodic(cron=_EVERY_LOOK)(look)
    app.periodic(cron=_EVERY_RESCUE)(rescue)


async def run_worker(app: App, *, concurrency: int = 20) -> None:
    """Run a worker until it is cancelled. If the database fails, it goes on when the database is back.

    Args:
        app: the queue, open, with the steps of `add_steps()`.
        concurrency: how many submits and downloads may run at once.

    Costs:
        One generation for each purchase that is queued, once.

    Cancellation:
        Takes no further steps, and waits for those that run: submits for ten seconds, downloads for thirty; a
        download that takes longer is taken up by another worker. Close the session afterwards: that waits for the
        responses of the service.
    """
    while True:
        try:
            await app.run_worker_async(
                queues=[QUEUE],
                concurrency=concurrency,
                install_signal_handlers=False,
                delete_jobs="successful",
                shutdown_graceful_timeout=30.0,
                update_heartbeat_interval=_HEARTBEAT_S,
                stalled_worker_timeout=_DEAD_S,
            )
        except ConnectorException as error:
            logger.warning("the queue cannot be used: %s", _why(error), extra=fields("note"))
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # The engine was ending because of this error when it was cancelled, and raised only the error.
                raise asyncio.CancelledError from error
        await asyncio.sleep(_RECONNECT_S)


class _Steps:
    """The steps of purchases. Each may be run again after it was interrupted anywhere."""

    def __init__(self, app: App, luma: LumaSession) -> None:
        self._app = app
        self._luma = luma

    async def submit(self, key: str, request: dict[str, Any], download_to: str | None = None) -> None:
        """Submit a request, and leave a `finish` that waits for the end."""
        again: dict[str, Any] = {"key": key, "request": request, "download_to": download_to}
        try:
            with _reported(key):
                async with asyncio.timeout(_SUBMIT_S):
                    handle = await self._luma.submit(request_from_form(request), key=key)
        except TimeoutError:
            soon = {"seconds": _AGAIN_S}
            later = self._app.configure_task(_SUBMIT, queue=QUEUE, priority=_BUYS, schedule_in=soon)
            await later.defer_async(**again)
            return
        wait = self._app.configure_task(
            _FINISH, queue=QUEUE, priority=_WAITS, schedule_in=_WAIT, queueing_lock=_WAITING + key
        )
        # It waits already if this step is run again.
        with suppress(AlreadyEnqueued):
            await wait.defer_async(generation_id=handle.id, **again)

    async def finish(
        self, key: str, generation_id: str, request: dict[str, Any], download_to: str | None = None
    ) -> None:
        """Download the file of a generation that has ended."""
        with _reported(key):
            entry = await self._luma.find(key)
            if entry is None or entry.generation_id != generation_id:
                raise ConfigurationError(
                    message=f"The journal has no generation {generation_id}. All workers need the same journal."
                )
            # What is bought stays bought, so this only returns the handle, with the end that the journal knows.
            handle = await self._luma.submit(request_from_form(request), key=key)
            await handle.wait(timeout=_KNOWN_S)
            if download_to is not None and entry.path is None:
                await asyncio.to_thread(Path(download_to).parent.mkdir, parents=True, exist_ok=True)
                await handle.download(download_to, overwrite=True)

    async def look(self, timestamp: int) -> None:
        """Find out which generations have ended, and let their `finish` run."""
        found = await self._app.job_manager.list_jobs_async(queue=QUEUE, task=_FINISH, status="todo")
        waiting = [each for each in found if (each.queueing_lock or "").startswith(_WAITING)]
        if not waiting:
            return
        # Read after the queue, so that the journal knows all that waits there.
        running = await self._luma.journal.entries(service=self._luma.service, phases={Phase.ACCEPTED})
        if timestamp % _BACKSTOP_S == 0:
            await self._ask_for_overdue(running)
        unfinished = {entry.generation_id for entry in running}
        for each in waiting:
            if each.task_kwargs["generation_id"] not in unfinished:
                assert each.id is not None
                # In this order: if this worker dies in between, the end is found again.
                now = self._app.configure_task(_FINISH, queue=QUEUE, priority=_DOWNLOADS)
                await now.defer_async(**each.task_kwargs)
                await self._app.job_manager.cancel_job_by_id_async(each.id, delete_job=True)

    async def _ask_for_overdue(self, running: list[Entry]) -> None:
        """Ask for what takes long, in case the leader does not poll. The journal then has the end at the next look."""
        latest = wall_now() - timedelta(seconds=_OVERDUE_S)
        overdue = {entry.generation_id for entry in running if entry.sent_at is not None and entry.sent_at <= latest}
        if overdue:
            # The session records the ends of generations that it has handles of.
            handles = [handle for handle in await self._luma.resume() if handle.id in overdue]
            await self._luma.get_many([handle.id for handle in handles])

    async def rescue(self, timestamp: int) -> None:
        """Take up the steps of workers that have died."""
        engine = self._app.job_manager
        for each in await engine.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=_DEAD_S):
            # Another worker may take it up at the same time.
            with suppress(ConnectorException):
                if each.task_name in {_LOOK, _RESCUE}:
                    await engine.finish_job(each, Status.FAILED, delete_job=True)
                else:
                    await engine.retry_job(each)


@contextmanager
def _reported(key: str) -> Generator[None]:
    """Log an error that ends a step, with what to do about it."""
    try:
        yield
    except LumaError as error:
        extra = fields("submit_failed", key=key)
        if isinstance(error, _PASSING):
            logger.warning("%s is tried again later: %s", key, error, extra=extra)
        elif isinstance(error, SubmitInDoubt):
            logger.error("%s Once it is settled, queue the key %s again.", error, key, extra=extra)
        else:
            logger.error("%s has failed: %s", key, error, extra=extra)
        raise

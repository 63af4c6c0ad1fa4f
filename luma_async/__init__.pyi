"""The public names, each with the module that defines it. `__init__.py` loads a name when it is first used."""

from ._batch.batch import Batch as Batch
from ._batch.batch import BatchStats as BatchStats
from ._batch.preview import Preview as Preview
from ._doubts.doubts import (
    Doubts as Doubts,
)
from ._doubts.doubts import (
    Reconciled as Reconciled,
)
from ._doubts.doubts import (
    StillInDoubt as StillInDoubt,
)
from ._journal.memory import MemoryJournal as MemoryJournal
from ._journal.protocol import Journal as Journal
from ._journal.sqlite.journal import SqliteJournal as SqliteJournal
from ._wire.dream_machine.dialect import DreamMachine as DreamMachine
from ._wire.rixapi.dialect import RixAPI as RixAPI
from .account import Account as Account
from .account import Library as Library
from .handle import (
    GenerationHandle as GenerationHandle,
)
from .handle import (
    Outcome as Outcome,
)
from .handle import (
    PollingFailed as PollingFailed,
)
from .handle import (
    WaitTimeout as WaitTimeout,
)
from .prompts import (
    PromptRow as PromptRow,
)
from .prompts import (
    Prompts as Prompts,
)
from .prompts import (
    read_prompts as read_prompts,
)
from .session import LumaSession as LumaSession
from .values.entries import Entry as Entry
from .values.entries import Phase as Phase
from .values.errors import (
    ConfigurationError as ConfigurationError,
)
from .values.errors import (
    DamagedFile as DamagedFile,
)
from .values.errors import (
    DownloadError as DownloadError,
)
from .values.errors import (
    GenerationFailed as GenerationFailed,
)
from .values.errors import (
    GenerationNotFound as GenerationNotFound,
)
from .values.errors import (
    InvalidInput as InvalidInput,
)
from .values.errors import (
    InvalidRequest as InvalidRequest,
)
from .values.errors import (
    JournalBusy as JournalBusy,
)
from .values.errors import (
    JournalError as JournalError,
)
from .values.errors import (
    JournalTooNew as JournalTooNew,
)
from .values.errors import (
    KeyConflict as KeyConflict,
)
from .values.errors import (
    LinkGone as LinkGone,
)
from .values.errors import (
    LumaError as LumaError,
)
from .values.errors import (
    NoResponse as NoResponse,
)
from .values.errors import (
    NotSent as NotSent,
)
from .values.errors import (
    OutOfCredit as OutOfCredit,
)
from .values.errors import (
    PromptRejected as PromptRejected,
)
from .values.errors import (
    RateLimited as RateLimited,
)
from .values.errors import (
    Refused as Refused,
)
from .values.errors import (
    ServiceUnavailable as ServiceUnavailable,
)
from .values.errors import (
    SessionClosed as SessionClosed,
)
from .values.errors import (
    SubmitInDoubt as SubmitInDoubt,
)
from .values.errors import (
    TransportError as TransportError,
)
from .values.errors import (
    Unauthorized as Unauthorized,
)
from .values.errors import (
    UnreadableResponse as UnreadableResponse,
)
from .values.errors import (
    UnsupportedOperation as UnsupportedOperation,
)
from .values.events import (
    Changed as Changed,
)
from .values.events import (
    Downloaded as Downloaded,
)
from .values.events import (
    Downloading as Downloading,
)
from .values.events import (
    Event as Event,
)
from .values.events import (
    Finished as Finished,
)
from .values.events import (
    Paused as Paused,
)
from .values.events import (
    Polled as Polled,
)
from .values.events import (
    Retried as Retried,
)
from .values.events import (
    SubmitFailed as SubmitFailed,
)
from .values.events import (
    Submitted as Submitted,
)
from .values.keyframes import (
    GenerationKeyframe as GenerationKeyframe,
)
from .values.keyframes import (
    ImageKeyframe as ImageKeyframe,
)
from .values.keyframes import (
    ImageReference as ImageReference,
)
from .values.keyframes import (
    Keyframes as Keyframes,
)
from .values.models import (
    Credits as Credits,
)
from .values.models import (
    Generation as Generation,
)
from .values.models import (
    Image as Image,
)
from .values.models import (
    KeyUsage as KeyUsage,
)
from .values.models import (
    State as State,
)
from .values.models import (
    User as User,
)
from .values.models import (
    Video as Video,
)
from .values.requests import (
    AudioFields as AudioFields,
)
from .values.requests import (
    AudioRequest as AudioRequest,
)
from .values.requests import (
    ExtendFields as ExtendFields,
)
from .values.requests import (
    ExtendRequest as ExtendRequest,
)
from .values.requests import (
    ImageRequest as ImageRequest,
)
from .values.requests import (
    ModifyRequest as ModifyRequest,
)
from .values.requests import (
    ReframeRequest as ReframeRequest,
)
from .values.requests import (
    Request as Request,
)
from .values.requests import (
    UpscaleRequest as UpscaleRequest,
)
from .values.requests import (
    VideoFields as VideoFields,
)
from .values.requests import (
    VideoRequest as VideoRequest,
)
from .values.settings import (
    Limits as Limits,
)
from .values.settings import (
    PollPolicy as PollPolicy,
)
from .values.settings import (
    RetryPolicy as RetryPolicy,
)
from .values.settings import (
    Timeouts as Timeouts,
)

__version__: str

"""The public names, each with the module that defines it. `__init__.py` loads a name when it is first used."""

from ._batch.batch import Batch as Batch, BatchStats as BatchStats
from ._batch.preview import Preview as Preview
from ._doubts.doubts import (
    Doubts as Doubts,
    Reconciled as Reconciled,
    StillInDoubt as StillInDoubt,
)
from ._download.stream import FileStream as FileStream
from ._files.files import Files as Files
from ._journal.memory import MemoryJournal as MemoryJournal
from ._journal.postgres.journal import PostgresJournal as PostgresJournal
from ._journal.protocol import HintJournal as HintJournal, Journal as Journal, SpendingJournal as SpendingJournal
from ._journal.sqlite.journal import SqliteJournal as SqliteJournal
from ._wire.agents.dialect import Agents as Agents
from ._wire.dream_machine.dialect import DreamMachine as DreamMachine
from ._wire.rixapi.dialect import RixAPI as RixAPI
from .account import Account as Account, Library as Library
from .handle import (
    GenerationHandle as GenerationHandle,
    Outcome as Outcome,
    PollingFailed as PollingFailed,
    WaitTimeout as WaitTimeout,
)
from .prompts import (
    PromptRow as PromptRow,
    Prompts as Prompts,
    read_prompts as read_prompts,
)
from .session import LumaSession as LumaSession
from .values.budget import (
    Budget as Budget,
    BudgetExceeded as BudgetExceeded,
    BudgetStatus as BudgetStatus,
    Spent as Spent,
)
from .values.controls import (
    DepthControl as DepthControl,
    EditControls as EditControls,
    FaceControl as FaceControl,
    NormalsControl as NormalsControl,
    PoseControl as PoseControl,
    SourcePosition as SourcePosition,
    TrajectoryControl as TrajectoryControl,
)
from .values.entries import Entry as Entry, Phase as Phase
from .values.errors import (
    ConfigurationError as ConfigurationError,
    DamagedFile as DamagedFile,
    DiskError as DiskError,
    DownloadError as DownloadError,
    GenerationFailed as GenerationFailed,
    GenerationNotFound as GenerationNotFound,
    InvalidInput as InvalidInput,
    InvalidRequest as InvalidRequest,
    JournalBusy as JournalBusy,
    JournalError as JournalError,
    JournalTooNew as JournalTooNew,
    KeyConflict as KeyConflict,
    LinkGone as LinkGone,
    LumaError as LumaError,
    NoResponse as NoResponse,
    NotSent as NotSent,
    OutOfCredit as OutOfCredit,
    PromptFileError as PromptFileError,
    PromptRejected as PromptRejected,
    RateLimited as RateLimited,
    Refused as Refused,
    ServiceUnavailable as ServiceUnavailable,
    SessionClosed as SessionClosed,
    SubmitInDoubt as SubmitInDoubt,
    TransportError as TransportError,
    Unauthorized as Unauthorized,
    UnreadableResponse as UnreadableResponse,
    WrongPrompt as WrongPrompt,
    UnsupportedOperation as UnsupportedOperation,
    UploadFailed as UploadFailed,
)
from .values.events import (
    Changed as Changed,
    Downloaded as Downloaded,
    Downloading as Downloading,
    Event as Event,
    Finished as Finished,
    Paused as Paused,
    PromptMismatch as PromptMismatch,
    Polled as Polled,
    Retried as Retried,
    SubmitFailed as SubmitFailed,
    Submitted as Submitted,
    Uploaded as Uploaded,
    Uploading as Uploading,
)
from .values.files import UploadedFile as UploadedFile
from .values.keyframes import (
    FileReference as FileReference,
    GenerationKeyframe as GenerationKeyframe,
    ImageKeyframe as ImageKeyframe,
    ImageReference as ImageReference,
    KeyframeAt as KeyframeAt,
    Keyframes as Keyframes,
    Media as Media,
    Reference as Reference,
)
from .values.models import (
    Credits as Credits,
    Generation as Generation,
    Image as Image,
    KeyUsage as KeyUsage,
    Layer as Layer,
    OtherOutput as OtherOutput,
    Output as Output,
    State as State,
    User as User,
    Video as Video,
)
from .values.requests import (
    AudioFields as AudioFields,
    AudioRequest as AudioRequest,
    ExtendFields as ExtendFields,
    ExtendRequest as ExtendRequest,
    ImageEditRequest as ImageEditRequest,
    ImageRequest as ImageRequest,
    LayerRequest as LayerRequest,
    ModifyRequest as ModifyRequest,
    ReframeRequest as ReframeRequest,
    Request as Request,
    UpscaleRequest as UpscaleRequest,
    VideoFields as VideoFields,
    VideoRequest as VideoRequest,
)
from .values.settings import (
    Limits as Limits,
    PollPolicy as PollPolicy,
    RetryPolicy as RetryPolicy,
    Timeouts as Timeouts,
)

__version__: str

"""A fake gateway for testing programs that submit paid generations: nothing is paid, and every charge is counted.

`FakeGateway` is a real HTTP server that speaks the relay dialect and the dialect of Luma's Dream Machine API. A script
describes how a fake generation's state changes over time, a fault what goes wrong with a request; `ALL_FAULTS` has them
all. Fixtures for pytest are in `luma_async.testing.fixtures`, the only module that needs pytest.
"""

from __future__ import annotations

from luma_async.testing.clips import file_bytes
from luma_async.testing.dream_machine.routes import DreamMachineBehaviour
from luma_async.testing.exchange import Exchange, Seen
from luma_async.testing.faults import ALL_FAULTS
from luma_async.testing.faults.files import (
    changes_object,
    cut_after,
    endless,
    forbidden_until_refreshed,
    html_instead,
    ignores_range,
    redirects_to,
    stall_after,
    wrong_length,
)
from luma_async.testing.faults.plan import ALWAYS, Fault
from luma_async.testing.faults.queries import (
    adds_foreign_row,
    drops_rows,
    garbles_row,
    nulls_data,
    repeats_rows,
    shuffles_rows,
)
from luma_async.testing.faults.requests import (
    answer,
    cut_body,
    drop_after_reading,
    drop_before_reading,
    garbage,
    gzip_bomb,
    hang,
    html_page,
    huge_body,
    id_and_error,
    late,
    nested_json,
    no_id,
    out_of_credit,
    rate_limited,
    redirect,
    reshapes,
    server_error,
    two_documents,
)
from luma_async.testing.gateway import FakeGateway
from luma_async.testing.scripts import (
    Rejection,
    Script,
    ScriptChoice,
    Step,
    completes_without_link,
    estimates,
    fails,
    forgets,
    new_state,
    presigned,
    queued_words,
    rejects,
    stalls,
    succeeds,
    unknown_at_first,
    watermarked_only,
)
from luma_async.testing.store import Charge, FakeGeneration

__all__ = [
    "ALL_FAULTS",
    "ALWAYS",
    "Charge",
    "DreamMachineBehaviour",
    "Exchange",
    "FakeGateway",
    "FakeGeneration",
    "Fault",
    "Rejection",
    "Script",
    "ScriptChoice",
    "Seen",
    "Step",
    "adds_foreign_row",
    "answer",
    "changes_object",
    "completes_without_link",
    "cut_after",
    "cut_body",
    "drop_after_reading",
    "drop_before_reading",
    "drops_rows",
    "endless",
    "estimates",
    "fails",
    "file_bytes",
    "forbidden_until_refreshed",
    "forgets",
    "garbage",
    "garbles_row",
    "gzip_bomb",
    "hang",
    "html_instead",
    "html_page",
    "huge_body",
    "id_and_error",
    "ignores_range",
    "late",
    "nested_json",
    "new_state",
    "no_id",
    "nulls_data",
    "out_of_credit",
    "presigned",
    "queued_words",
    "rate_limited",
    "redirect",
    "redirects_to",
    "rejects",
    "repeats_rows",
    "reshapes",
    "server_error",
    "shuffles_rows",
    "stall_after",
    "stalls",
    "succeeds",
    "two_documents",
    "unknown_at_first",
    "watermarked_only",
    "wrong_length",
]

"""The public names, each with the module that defines it. `__init__.py` loads a name when it is first used."""

from .agents.files import FakeFile as FakeFile
from .agents.routes import AgentsBehaviour as AgentsBehaviour
from .clips import file_bytes as file_bytes
from .dream_machine.routes import DreamMachineBehaviour as DreamMachineBehaviour
from .exchange import Exchange as Exchange, Seen as Seen
from .faults import ALL_FAULTS as ALL_FAULTS
from .faults.files import (
    changes_object as changes_object,
    cut_after as cut_after,
    endless as endless,
    forbidden_until_refreshed as forbidden_until_refreshed,
    html_instead as html_instead,
    ignores_range as ignores_range,
    redirects_to as redirects_to,
    stall_after as stall_after,
    wrong_length as wrong_length,
)
from .faults.plan import ALWAYS as ALWAYS, Fault as Fault
from .faults.queries import (
    adds_foreign_row as adds_foreign_row,
    drops_rows as drops_rows,
    garbles_row as garbles_row,
    nulls_data as nulls_data,
    repeats_rows as repeats_rows,
    shuffles_rows as shuffles_rows,
)
from .faults.requests import (
    answer as answer,
    cut_body as cut_body,
    drop_after_reading as drop_after_reading,
    drop_before_reading as drop_before_reading,
    garbage as garbage,
    gzip_bomb as gzip_bomb,
    hang as hang,
    html_page as html_page,
    huge_body as huge_body,
    id_and_error as id_and_error,
    late as late,
    nested_json as nested_json,
    no_id as no_id,
    out_of_credit as out_of_credit,
    rate_limited as rate_limited,
    redirect as redirect,
    reshapes as reshapes,
    server_error as server_error,
    two_documents as two_documents,
)
from .gateway import FakeGateway as FakeGateway
from .scripts import (
    SCENES as SCENES,
    Rejection as Rejection,
    Scene as Scene,
    Script as Script,
    ScriptChoice as ScriptChoice,
    Step as Step,
    completes_without_link as completes_without_link,
    estimates as estimates,
    fails as fails,
    forgets as forgets,
    new_state as new_state,
    presigned as presigned,
    queued_words as queued_words,
    rejects as rejects,
    shows as shows,
    stalls as stalls,
    succeeds as succeeds,
    unknown_at_first as unknown_at_first,
    watermarked_only as watermarked_only,
)
from .store import Charge as Charge, FakeGeneration as FakeGeneration

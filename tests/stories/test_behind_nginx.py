"""Behind a real nginx, the charges of the service are what the client knows. Skipped where nginx is not installed."""

from __future__ import annotations

import asyncio

import attrs
import pytest
from ledger import balance, phase_of
from nginx import NGINX, Nginx

from luma_async import (
    InvalidRequest,
    LumaError,
    LumaSession,
    NotSent,
    Phase,
    RetryPolicy,
    SubmitInDoubt,
)
from luma_async.testing import (
    ALWAYS,
    Fault,
    cut_body,
    drop_after_reading,
    drop_before_reading,
    hang,
    late,
    rate_limited,
)

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)")

BUSY = "error_page 502 504 =503 /busy.json;"
SHORT = "proxy_read_timeout 200ms;"
REPEATS = "proxy_next_upstream error timeout non_idempotent;"


@attrs.frozen(kw_only=True)
class Row:
    """A configuration of nginx, what the service does, and what becomes of one submit."""

    settings: str = ""
    fault: Fault | None = None
    times: float = 1
    upstreams: int = 1
    charges: int
    phase: Phase
    status: int | None = None


ROWS = {
    "nothing goes wrong": Row(charges=1, phase=Phase.ACCEPTED),
    "the answer is zipped": Row(settings="gzip on; gzip_types *; gzip_min_length 1;", charges=1, phase=Phase.ACCEPTED),
    "the answer is not buffered": Row(settings="proxy_buffering off;", charges=1, phase=Phase.ACCEPTED),
    "the service is slow, within the limit": Row(fault=late(0.2), charges=1, phase=Phase.ACCEPTED),
    "504 after a charge": Row(settings=SHORT, fault=late(2), charges=1, phase=Phase.IN_DOUBT, status=504),
    "504 without a charge": Row(settings=SHORT, fault=hang(2), charges=0, phase=Phase.IN_DOUBT, status=504),
    "502 after a charge": Row(fault=drop_after_reading(), charges=1, phase=Phase.IN_DOUBT, status=502),
    "502 after a charge, by a reset": Row(fault=drop_after_reading("rst"), charges=1, phase=Phase.IN_DOUBT, status=502),
    "502 without a charge": Row(fault=drop_before_reading(), charges=0, phase=Phase.IN_DOUBT, status=502),
    "the answer is cut": Row(fault=cut_body(), charges=1, phase=Phase.IN_DOUBT),
    "the answer is cut, and zipped": Row(
        settings="gzip on; gzip_types *; gzip_min_length 1;", fault=cut_body(), charges=1, phase=Phase.IN_DOUBT
    ),
    "a JSON 503 in place of 502, after a charge": Row(
        settings=BUSY, fault=drop_after_reading(), charges=1, phase=Phase.IN_DOUBT, status=503
    ),
    "a JSON 503 in place of 504, after a charge": Row(
        settings=BUSY + SHORT, fault=late(2), charges=1, phase=Phase.IN_DOUBT, status=503
    ),
    "a JSON 503 in place of 504, without a charge": Row(
        settings=BUSY + SHORT, fault=hang(2), charges=0, phase=Phase.IN_DOUBT, status=503
    ),
    "a JSON 200 in place of 502": Row(
        settings="error_page 502 =200 /busy.json;", fault=drop_after_reading(), charges=1, phase=Phase.IN_DOUBT
    ),
    "a JSON 502": Row(
        settings="error_page 502 /busy.json;", fault=drop_after_reading(), charges=1, phase=Phase.IN_DOUBT, status=502
    ),
    "a redirect in place of 502": Row(
        settings="error_page 502 =302 http://127.0.0.1:9/;",
        fault=drop_after_reading(),
        charges=1,
        phase=Phase.IN_DOUBT,
        status=302,
    ),
    "429 of the service": Row(fault=rate_limited(retry_after=0), charges=1, phase=Phase.ACCEPTED),
    "two servers, POSTs are not repeated": Row(
        settings="proxy_next_upstream error timeout;",
        fault=drop_after_reading(),
        upstreams=2,
        charges=1,
        phase=Phase.IN_DOUBT,
        status=502,
    ),
    "maintenance": Row(settings="return 503;", charges=0, phase=Phase.IN_DOUBT, status=503),
    "an address that is closed": Row(settings="deny all;", charges=0, phase=Phase.REFUSED, status=403),
}


@pytest.fixture
def behind(tmp_path, gateway, journal):
    """A function that makes an nginx in front of the gateway, and one that makes a session behind it."""

    def build(settings="", **options):
        return Nginx(tmp_path, gateway.port, settings, **options)

    return build


@pytest.fixture
def session(gateway, journal):
    """A function that makes a session at an address, over `journal`."""

    def build(url, **options):
        return LumaSession(gateway.api_key, base_url=url, journal=journal, **options)

    return build


@pytest.mark.parametrize("name", ROWS)
async def test_charges_equal_knowledge(name, behind, session, gateway, journal):
    """Accepted is charged, refused is not, all else is in doubt, and a second call sends nothing."""
    row = ROWS[name]
    if row.fault is not None:
        gateway.inject(row.fault, times=row.times)
    async with behind(row.settings, upstreams=row.upstreams) as nginx, session(nginx.base_url) as luma:
        error = await _submit(luma)
        assert await phase_of(journal) is row.phase
        assert len(gateway.charges) == row.charges
        if row.phase is Phase.IN_DOUBT:
            assert isinstance(await _submit(luma), SubmitInDoubt)
            assert error.status == row.status or row.status is None
        assert len(gateway.charges) == row.charges
    await balance(gateway, journal)


async def _submit(luma, key="cat"):
    """Submit; return the error, if there is one."""
    try:
        await luma.submit(f"{key} dance", key=key)
    except LumaError as error:
        return error
    return None


@pytest.mark.parametrize(("status", "phase"), [(429, Phase.ACCEPTED), (503, Phase.IN_DOUBT)])
async def test_limit_req(status, phase, behind, session, gateway, journal):
    """A 429 of `limit_req` is repeated until all are accepted; its 503 is a page, so it is a doubt."""
    settings = f"limit_req zone=submits; limit_req_status {status};"
    async with behind(settings) as nginx, session(nginx.base_url, retry=RetryPolicy(attempts=12)) as luma:
        await asyncio.gather(*(_submit(luma, f"cat {number}") for number in range(4)))
    charges, accepted, in_doubt = await balance(gateway, journal)
    assert charges == accepted
    assert accepted + in_doubt == 4
    assert in_doubt == 0 if phase is Phase.ACCEPTED else in_doubt > 0


async def test_client_max_body_size(behind, session, gateway, journal):
    """A request that nginx finds too large is refused or in doubt, and does not reach the service."""
    prompt = "cat " * 1000
    async with behind("client_max_body_size 1k;") as nginx, session(nginx.base_url) as luma:
        with pytest.raises((InvalidRequest, SubmitInDoubt)):
            await luma.submit(prompt, key="cat")
        assert gateway.counts["submit"] == 0
        await luma.submit("dog dance", key="dog")
    assert (await balance(gateway, journal))[:2] == (1, 1)


async def test_service_restarts(behind, session, gateway, journal):
    """A submit while the service is down is in doubt; after its start others are accepted, and that one is not sent."""
    async with behind() as nginx, session(nginx.base_url) as luma:
        await luma.submit("dog dance", key="dog")
        await gateway.stop()
        assert isinstance(await _submit(luma), SubmitInDoubt)
        await gateway.start()
        assert isinstance(await _submit(luma), SubmitInDoubt)
        await luma.submit("cow dance", key="cow")
    assert await balance(gateway, journal) == (2, 2, 1)


async def test_service_stops_during_submit(behind, session, gateway, journal):
    """A service that stops after it charged leaves a doubt; nothing is sent when it is back."""
    gateway.inject(hang(60, charged=True))
    async with behind() as nginx, session(nginx.base_url) as luma:
        submitting = asyncio.ensure_future(_submit(luma))
        while not gateway.charges:
            await asyncio.sleep(0.01)
        await gateway.stop()
        assert isinstance(await submitting, SubmitInDoubt)
        await gateway.start()
        assert isinstance(await _submit(luma), SubmitInDoubt)
    assert await balance(gateway, journal) == (1, 0, 1)


async def test_nginx_stops_during_submit(behind, session, gateway, journal):
    """When nginx ends during a submit it is in doubt; later submits find no server and are not sent."""
    gateway.inject(hang(60, charged=True))
    async with behind() as nginx, session(nginx.base_url, retry=RetryPolicy(connect_retry_for=0)) as luma:
        submitting = asyncio.ensure_future(_submit(luma))
        while not gateway.charges:
            await asyncio.sleep(0.01)
        await nginx.stop()
        assert isinstance(await submitting, SubmitInDoubt)
        assert isinstance(await _submit(luma, "dog"), NotSent)
        await gateway.stop()
    assert await balance(gateway, journal) == (1, 0, 1)


async def test_kept_connections_of_nginx(behind, session, gateway, journal):
    """Submits one after the other over kept connections, with faults between them: the charges are known."""
    faults = [drop_after_reading(), cut_body(), late(1), drop_before_reading()]
    async with behind(SHORT + BUSY) as nginx, session(nginx.base_url) as luma:
        for number, fault in enumerate(faults * 3):
            await _submit(luma, f"good {number}")
            gateway.inject(fault)
            await _submit(luma, f"bad {number}")
    charges, accepted, in_doubt = await balance(gateway, journal)
    assert (charges, accepted, in_doubt) == (21, 12, 12)


async def test_nginx_repeats_posts(behind, session, gateway, journal):
    """With `non_idempotent` nginx sends one POST twice: the service charges twice, and the client sees one answer."""
    gateway.inject(drop_after_reading())
    async with behind(REPEATS, upstreams=2) as nginx, session(nginx.base_url) as luma:
        handle = await luma.submit("cat dance", key="cat")
    assert [charge.prompt for charge in gateway.charges] == ["cat dance", "cat dance"]
    assert handle.id == gateway.charges[1].generation_id
    assert await phase_of(journal) is Phase.ACCEPTED


async def test_nginx_repeats_after_timeout(behind, session, gateway, journal):
    """With `non_idempotent` a short `proxy_read_timeout` charges once for each server, and the client has a doubt."""
    gateway.inject(late(1), times=ALWAYS)
    async with behind(REPEATS + SHORT, upstreams=3) as nginx, session(nginx.base_url) as luma:
        with pytest.raises(SubmitInDoubt, match="504"):
            await luma.submit("cat dance", key="cat")
    assert len(gateway.charges) == 3
    assert await phase_of(journal) is Phase.IN_DOUBT

"""A journal's files hold no API key and no picture, and are readable by their user only."""

from __future__ import annotations

import base64
import stat

from luma_async import ImageKeyframe, Keyframes, LumaError, LumaSession, PollPolicy, VideoRequest
from luma_async.testing import ALWAYS, FakeGateway, answer, reshapes, succeeds

KEY = "sk-a-very-secret-key-0123456789"
PICTURE = b"\xff\xd8\xff" + b"a picture of a tiger" * 500


async def test_journal_without_secrets(tmp_path):
    """No file holds an API key or an image, even when a relay repeats both in its answers."""
    frame = ImageKeyframe.from_bytes(PICTURE)
    request = VideoRequest("cat dance", keyframes=Keyframes(frame0=frame), extra={"mask": frame.url})
    echo = {"request": {"keyframes": {"frame0": {"url": frame.url}}}, "authorization": f"Bearer {KEY}"}
    path = tmp_path / "jobs.db"
    async with FakeGateway(api_key=KEY, script=succeeds(after=0.1)) as gateway:
        gateway.inject(answer(400, {"code": "bad_key", "message": f"the key {KEY} may not do this", "data": None}))
        for kind in ("submit", "query"):
            gateway.inject(reshapes(lambda body: {**body, **echo}), on=kind, times=ALWAYS)
        session = LumaSession(KEY, base_url=gateway.base_url, journal=path, poll=PollPolicy.fixed(0.1))
        async with session as luma:
            for key in ("refused", "accepted", "finished"):
                try:
                    handle = await luma.submit(request, key=key)
                except LumaError:
                    assert key == "refused"
            assert (await handle.wait()).raw["request"]
            while_open = everything(tmp_path)
        after = everything(tmp_path)
    assert b"finished" in while_open
    for content in (while_open, after):
        assert KEY.encode() not in content
        assert base64.b64encode(PICTURE)[:100] not in content
        assert b"a picture of a tiger" not in content


def everything(folder):
    """Return the bytes of all files, which must be readable by their user only."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    return b"".join(path.read_bytes() for path in files)

"""Commands at Luma's present API."""

from __future__ import annotations

import json

import pytest
from agents_server import PICTURE, AgentsServer

from luma_async.testing import file_bytes


@pytest.fixture
async def server():
    async with AgentsServer(job_s=0) as running:
        yield running


@pytest.fixture
def agents(server, command, monkeypatch):
    """A function that runs a command at the server."""
    monkeypatch.setenv("LUMA_BASE_URL", server.base_url)
    monkeypatch.setenv("LUMA_API_KEY", "luma-api-1")

    async def run(*words):
        return await command(*words, "--dialect", "agents")

    return run


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(PICTURE)
    return path


async def test_generate_hdr(agents, server, picture, tmp_path):
    """`generate` sends HDR, EXR and frames at places, and downloads the video."""
    words = ("--hdr", "--exr-export", "--resolution", "720p", "--keyframe", f"0:{picture}", "--keyframe", "120:id:g9")
    code, out, err = await agents("generate", "cat dance", *words, "-o", str(tmp_path / "cat.mp4"))
    assert (code, out) == (0, f"{tmp_path / 'cat.mp4'}\n"), err
    assert (tmp_path / "cat.mp4").read_bytes() == file_bytes()
    video = server.bodies[0]["video"]
    assert (video["hdr"], video["exr_export"], video["keyframe_indexes"]) == (True, True, [0, 120])
    assert video["keyframes"][1] == {"generation_id": "g9"}


async def test_edit_and_reframe(agents, server, picture, tmp_path):
    """`edit` changes videos and pictures, `reframe` takes generations and a position, `extend` goes backward."""
    folder = ("-o", str(tmp_path))
    for words in (
        ("edit", "id:g7", "as a watercolour", "--strength", "flex_2", "--keep", "pose", "--keyframe", f"5:{picture}"),
        ("edit", "--image", str(picture), "add a hat", "--image-ref", "https://x.example/a.png", "--format", "jpg"),
        ("reframe", "file:f3", "--prompt", "the room", "--source-position", "0,0.25,1,0.5"),
        ("extend", "g7", "before that", "--backward"),
    ):
        code, _, err = await agents(*words, *folder)
        assert code == 0, err
    video, image, frame, more = server.bodies
    assert (video["source"], video["video"]["edit"]["strength"]) == ({"generation_id": "g7"}, "flex_2")
    assert video["video"]["edit"]["controls"] == {"pose": {"enabled": True}}
    assert (image["type"], image["source"]["media_type"], image["output_format"]) == ("image_edit", "image/png", "jpeg")
    assert (frame["source"], frame["video"]["source_position"]["y_norm"]) == ({"file_id": "f3"}, 0.25)
    assert more["video"]["end_frame"] == {"generation_id": "g7"}


async def test_layers(agents, server, picture, tmp_path):
    """`layers` downloads every layer into the folder."""
    code, out, err = await agents("layers", str(picture), "boat, street", "-o", str(tmp_path))
    assert code == 0, err
    written = sorted(path for path in tmp_path.glob("g0*"))
    assert sorted(out.split()) == [str(path) for path in written]
    assert [path.read_bytes()[8:] for path in written] == [b"g0-1.png", b"g0-2.png", b"g0-0.png"]


async def test_upload_and_files(agents, server, picture):
    """`upload` prints what other commands take, and `files` lists and deletes."""
    code, out, err = await agents("upload", str(picture))
    assert (code, out) == (0, "file:f0\n"), err
    code, out, _ = await agents("files", "--json")
    assert (code, json.loads(out)["id"]) == (0, "f0")
    code, _, err = await agents("files", "--delete", "f0")
    assert (code, server.files["f0"]["state"]) == (0, "deleted")
    code, out, _ = await agents("files")
    assert "deleted" in out


async def test_wrong_words(agents, server):
    """A wrong flag is named, and nothing is sent."""
    for words, flag in (
        (("generate", "cat", "--keyframe", "end.png"), "--keyframe"),
        (("reframe", "id:g1", "--prompt", "x", "--source-position", "0,1"), "--source-position"),
        (("generate", "cat", "--exr-export"), "exr"),
    ):
        code, _, err = await agents(*words)
        assert (code, flag in err) == (2, True), err
    assert not server.counts


async def test_field_of_another_dialect(gateway, command, monkeypatch):
    """A flag that the relay format cannot carry names the dialect that can, in flags."""
    monkeypatch.setenv("LUMA_BASE_URL", gateway.base_url)
    monkeypatch.setenv("LUMA_API_KEY", gateway.api_key)
    code, _, err = await command("generate", "cat", "--hdr", "--dialect", "rixapi")
    assert (code, "--dialect agents" in err) == (2, True)
    assert gateway.requests == ()

"""A client without this library: every operation of the Dream Machine API once."""

from __future__ import annotations

import aiohttp
from conformance.document import ROOT

IMAGE = {"url": "https://e.example/a.jpg"}


async def use_everything(base_url, api_key):
    """Submit each kind of paid request, query the generations, and delete one."""
    headers = {"Authorization": f"Bearer {api_key}"}
    async with aiohttp.ClientSession(headers=headers) as http:

        async def ask(method, path, body=None):
            more = {} if body is None else {"json": body}
            async with http.request(method, base_url + ROOT + path, **more) as response:
                return None if response.status == 204 else await response.json(content_type=None)

        await ask("GET", "/ping")
        await ask("GET", "/generations/concepts/list")
        frame = {"type": "image"} | IMAGE
        video = {
            "model": "ray-2",
            "prompt": "cat dance",
            "aspect_ratio": "16:9",
            "loop": False,
            "keyframes": {"frame0": frame, "frame1": frame},
            "callback_url": "https://e.example/hook",
            "resolution": "720p",
            "duration": "5s",
            "concepts": [{"key": "dolly_zoom"}],
        }
        source = (await ask("POST", "/generations/video", video))["id"]
        generation = {"type": "generation", "id": source}
        await ask("POST", "/generations", video | {"keyframes": {"frame0": generation}})
        await ask("POST", f"/generations/{source}/upscale", {"resolution": "4k"})
        await ask("POST", f"/generations/{source}/audio", {"prompt": "purring", "negative_prompt": "barking"})
        image = {
            "model": "photon-1",
            "prompt": "cat dance",
            "image_ref": [IMAGE | {"weight": 0.5}],
            "style_ref": [IMAGE],
            "character_ref": {"identity0": {"images": [IMAGE["url"]]}},
            "modify_image_ref": IMAGE,
            "format": "png",
            "sync": True,
            "sync_timeout": 0.5,
        }
        await ask("POST", "/generations/image", image)
        reframed = {"media": IMAGE, "aspect_ratio": "1:1", "grid_position_x": 4, "resized_width": 64}
        image = {"model": "photon-1", "generation_type": "reframe_image", "format": "jpg"}
        await ask("POST", "/generations/image/reframe", reframed | image)
        await ask(
            "POST", "/generations/video/reframe", reframed | {"model": "ray-2", "generation_type": "reframe_video"}
        )
        modified = {"media": IMAGE, "model": "ray-2", "mode": "flex_2", "generation_type": "modify_video"}
        await ask("POST", "/generations/video/modify", modified | {"prompt": "at night", "first_frame": IMAGE})
        listed = await ask("GET", "/generations?limit=50&offset=0")
        for generation in listed["generations"]:
            await ask("GET", f"/generations/{generation['id']}")
        await ask("DELETE", f"/generations/{source}")
        await ask("GET", f"/generations/{source}")
        await ask("GET", "/credits")

"""A gateway that does as little as possible, so that a benchmark measures the clients.

    python light_gateway.py MIN_S MAX_S
    python light_gateway.py --real SPEED

Generations last from MIN_S to MAX_S. With `--real` they last as long as real videos (log-normal, median 60 s, 95th
percentile 180 s), divided by SPEED.

It prints its port, and serves the calls of both dialects that the clients of the benchmarks need. `prompt` in each
answer holds the moment at which the generation ends, on the machine's monotonic clock, so that a client can tell how
late it noticed the end. `GET /counts` returns the number of requests of each kind, of rows, and of bytes.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import sys
import time
import uuid
from collections import Counter

from aiohttp import web

LINK = "https://storage.example.com/dream-machine/" + "0123456789abcdef" * 6 + "/video.mp4?" + "X-Amz-Signature=" * 6
SPREAD = math.log(3) / 1.645

ends: dict[str, float] = {}
counts: Counter[str] = Counter()
jitter = random.Random(7)


def flat(generation_id):
    """A generation in the relay dialect: about 1 KB once it is completed."""
    end = ends[generation_id]
    body = {
        "id": generation_id,
        "prompt": repr(end),
        "state": "processing",
        "created_at": "2024-12-22T13:38:40.139409Z",
        "estimate_wait_seconds": None,
        "video": None,
        "video_raw": None,
        "thumbnail": None,
        "last_frame": None,
        "liked": None,
    }
    if time.monotonic() >= end:
        video = {"url": LINK, "download_url": LINK, "width": 1360, "height": 752}
        picture = {"url": LINK, "width": 1360, "height": 752, "palette": None, "media_type": "image"}
        body |= {"state": "completed", "video": video, "video_raw": video, "thumbnail": picture, "last_frame": picture}
    return body


def generation_body(generation_id):
    """The Dream Machine body of a generation."""
    end = ends[generation_id]
    done = time.monotonic() >= end
    return {
        "id": generation_id,
        "generation_type": "video",
        "state": "completed" if done else "dreaming",
        "failure_reason": None,
        "created_at": "2024-12-22T13:38:40.139409Z",
        "assets": {"video": LINK} if done else None,
        "model": "ray-2",
        "request": {"generation_type": "video", "prompt": repr(end), "model": "ray-2"},
    }


def agents_body(generation_id):
    """The Luma Agents body of a generation."""
    end = ends[generation_id]
    done = time.monotonic() >= end
    return {
        "id": generation_id,
        "created_at": "2024-12-22T13:38:40.139409Z",
        "model": repr(end),
        "state": "completed" if done else "processing",
        "type": "video",
        "output": [{"type": "video", "url": LINK}] if done else None,
    }


def answer(document, status=200):
    body = json.dumps(document).encode()
    counts["bytes"] += len(body)
    return web.Response(body=body, status=status, content_type="application/json")


def draw_duration_s():
    """Draw how long a generation lasts."""
    first, second = sys.argv[1:]
    if first == "--real":
        return jitter.lognormvariate(math.log(60), SPREAD) / float(second)
    return jitter.uniform(float(first), float(second))


def begin():
    generation_id = str(uuid.uuid4())
    ends[generation_id] = time.monotonic() + draw_duration_s()
    return generation_id


async def submit(request):
    sent = await request.json()
    counts["submit"] += 1
    return answer(flat(begin()) | {"prompt": sent.get("prompt") or sent.get("user_prompt")}, 201)


def count_query():
    counts["query"] += 1
    counts["rows"] += 1


async def query(request):
    count_query()
    return answer(flat(request.match_info["id"]))


async def tasks(request):
    counts["tasks"] += 1
    ids = (await request.json())["ids"]
    counts["rows"] += len(ids)
    rows = [
        {"task_id": one, "action": "LUMA_VIDEO", "status": "IN_PROGRESS", "fail_reason": "", "data": flat(one)}
        for one in ids
    ]
    for row in rows:
        if row["data"]["state"] == "completed":
            row["status"] = "SUCCESS"
    return answer({"code": "success", "message": "", "data": rows})


async def create_dream_machine(request):
    sent = await request.json()
    counts["submit"] += 1
    return answer(generation_body(begin()) | {"request": sent}, 201)


async def query_dream_machine(request):
    count_query()
    return answer(generation_body(request.match_info["id"]))


async def create_agents(_request):
    counts["submit"] += 1
    return answer(agents_body(begin()), 201)


async def query_agents(request):
    count_query()
    return answer(agents_body(request.match_info["id"]))


async def get_counts(_request):
    return answer(dict(counts))


async def main():
    app = web.Application()
    app.add_routes(
        [
            web.post("/luma/generations", submit),
            web.get("/luma/generations/{id}", query),
            web.post("/luma/tasks", tasks),
            web.post("/dream-machine/v1/generations/video", create_dream_machine),
            web.post("/dream-machine/v1/generations", create_dream_machine),
            web.get("/dream-machine/v1/generations/{id}", query_dream_machine),
            web.post("/agents/v1/generations", create_agents),
            web.get("/agents/v1/generations/{id}", query_agents),
            web.get("/counts", get_counts),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    # Stop when the program that started it ends.
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    os.sched_setaffinity(0, {0})
    asyncio.run(main())

"""The cost of downloading, against bare aiohttp: `python tests/benchmarks/downloads.py [COUNT [MEGABYTES [FOLDER]]]`.

Each client fetches COUNT files (500 of 5 MB) from a server in another process, eight at a time, into FOLDER (the
system's temporary one). The server is pinned to one core and the client to another; runs are interleaved, and medians
of ROUNDS are printed. `bare` writes to a file, which a crash of the machine may truncate; `bare, synced`
also waits until each file is on the disk, in a thread, as this library does. In a FOLDER in memory, such as `/dev/shm`,
the disk does not count, and the client's core is the limit. The lag is how late a timer of the same loop fires.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROUNDS = 5
AT_ONCE = 8
NAMES = ("bare", "bare, synced", "ours")
PIECE_BYTES = 256 * 1024
TICK_S = 0.005


def forget_the_peak():
    """Reset the kernel's peak for this process."""
    Path("/proc/self/clear_refs").write_text("5")


def status_mb(field):
    """Read a figure of this process's memory, megabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


async def bare(url, folder, count, *, synced=False):
    """Download with bare aiohttp, streaming each file."""
    import aiohttp

    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number):
        async with slots, session.get(f"{url}/{number}.mp4") as response:
            with (folder / f"{number}.mp4").open("wb", buffering=0) as file:
                async for piece in response.content.iter_chunked(PIECE_BYTES):
                    file.write(piece)
                if synced:
                    await asyncio.to_thread(os.fsync, file.fileno())

    async with aiohttp.ClientSession(read_bufsize=PIECE_BYTES) as session, asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))


async def ours(url, folder, count):
    """Download with this library, for generations that are made up."""
    from luma_async import Generation, MemoryJournal, RetryPolicy, State, Timeouts, Video
    from luma_async._download.client import FileClient
    from luma_async._download.downloader import Downloader
    from luma_async._download.link_resolver import LinkResolver
    from luma_async._http.address import Address
    from luma_async._http.proxies import Proxies
    from luma_async._journal.recorder import Recorder
    from luma_async.values.events import Emitter
    from luma_async.values.redaction import Secret

    async def refresh(_):
        raise AssertionError("the links are good")

    files = FileClient(
        service=Address(base_url="http://127.0.0.1:1", api_key=Secret("sk-benchmark")),
        service_headers={},
        service_tls=None,
        tls=None,
        allow_private_hosts=False,
        timeouts=Timeouts(),
        proxies=Proxies(),
    )
    downloads = Downloader(
        files=files,
        links=LinkResolver(refresh=refresh, ask=None),
        recorder=Recorder(MemoryJournal(), "benchmark"),
        events=Emitter(),
        retry=RetryPolicy(),
        stall_s=30,
        random=lambda: 0.5,
    )

    async def one(number):
        video = Video(download_url=f"{url}/{number}.mp4")
        generation = Generation(id=str(number), state=State.COMPLETED, video=video)
        await downloads.fetch(generation, folder, overwrite=False, watermark="forbid")

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))
    await downloads.aclose()
    await files.aclose()


async def watch(lags):
    """Record how late each tick is."""
    while True:
        due_s = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        lags.append(time.perf_counter() - due_s)


async def client(name, url, folder, count, size_bytes):
    """Run one client, and print its figures."""
    run = {"bare": bare, "bare, synced": lambda *a: bare(*a, synced=True), "ours": ours}[name]
    warm = folder / "warm"
    warm.mkdir()
    await run(url, warm, 1)
    # The peak starts here.
    forget_the_peak()
    idle_mb = status_mb("VmRSS")
    lags = []
    watching = asyncio.ensure_future(watch(lags))
    began_s, cpu_s = time.perf_counter(), time.process_time()
    await run(url, folder, count)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    watching.cancel()
    sizes = {path.stat().st_size for path in folder.glob("*.mp4*")}
    assert sizes == {size_bytes}
    lags.sort()
    report = {
        "mb_per_s": count * size_bytes / took_s / 1e6,
        "cpu_s": cpu_s,
        "peak_mb": status_mb("VmHWM") - idle_mb,
        "lag_ms": lags[int(len(lags) * 0.99)] * 1000,
        "worst_lag_ms": lags[-1] * 1000,
    }
    print(json.dumps(report))


def run(name, count, size_bytes, parent):
    """Run one client against a server of its own, into a folder of its own."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "light_files.py"), str(size_bytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        with tempfile.TemporaryDirectory(dir=parent) as folder:
            command = [sys.executable, __file__, "client", name, url, folder, str(count), str(size_bytes)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        # Data that is not on the disk yet would slow the next client down.
        os.sync()
    finally:
        server.stdin.close()
        server.wait()
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def main(count=500, megabytes=5.0, parent=None):
    """Print the table."""
    count, size_bytes = int(count), int(float(megabytes) * 1e6)
    runs = {name: [] for name in NAMES}
    for turn in range(ROUNDS):
        for name in NAMES[turn % len(NAMES) :] + NAMES[: turn % len(NAMES)]:
            runs[name].append(run(name, count, size_bytes, parent))
    print(f"\n{count} files of {size_bytes / 1e6:g} MB, {AT_ONCE} at a time; medians of {ROUNDS}")
    print(f"{'client':14} {'MB/s':>7} {'x bare':>7} {'CPU s':>7} {'peak MB':>8} {'p99 lag ms':>11} {'worst ms':>9}")
    middle = {
        name: {field: statistics.median(one[field] for one in reports) for field in reports[0]}
        for name, reports in runs.items()
    }
    for name, report in middle.items():
        ratio = report["mb_per_s"] / middle["bare"]["mb_per_s"]
        print(
            f"{name:14} {report['mb_per_s']:7.0f} {ratio:7.2f} {report['cpu_s']:7.2f} {report['peak_mb']:8.1f} "
            f"{report['lag_ms']:11.1f} {report['worst_lag_ms']:9.1f}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        os.sched_setaffinity(0, {1})
        _, _, name, url, folder, count, size_bytes = sys.argv
        asyncio.run(client(name, url, Path(folder), int(count), int(size_bytes)))
    else:
        main(*sys.argv[1:])

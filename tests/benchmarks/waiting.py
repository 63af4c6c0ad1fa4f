"""What waiting costs, compared with other clients: `python tests/benchmarks/waiting.py [--real] [COUNT …]`.

Each client submits COUNT generations of 5 to 6 s and waits for all of them with one look a second. The gateway is
pinned to one core and the client to another. Runs are interleaved. The output shows medians of three, with ratios to
the client `floor`: the CPU time of the whole process, and the CPU time without starting Python and importing modules.
The requests include submits. The other clients come with the extra `bench`; those that are not installed are
left out with a message.

With `--real` the generations last as long as real videos (log-normal, median 60 s, 95th percentile 180 s), and each
client polls as its programs do: this library with its default policy, the loop by hand and plain aiohttp every 5 s,
the SDKs every 3 s behind a semaphore of 100. Clocks run ten times as fast as real ones. The ratios are to `ours`.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
ROUNDS = 3
SMALL = ("floor", "ours", "bare", "lumaai+100", "lumaai[aiohttp]")
LARGE = ("floor", "ours")
"""The clients for large counts. The others send a request for each look, and would measure the gateway's core."""
LARGE_FROM = 5000
REAL = ("ours", "ours+sqlite", "floor", "bare", "lumaai+100", "luma-agents+100")
"""The clients for generations of real lengths. From `REAL_LARGE_FROM` on, only `REAL_LARGE`: at this speed the SDKs
would need more than a core."""
REAL_LARGE = REAL[:4]
REAL_LARGE_FROM = 800
SPEED = 10
PACKAGES = {"lumaai+100": "lumaai", "lumaai[aiohttp]": "lumaai", "luma-agents+100": "luma_agents"}
"""What must be installed for a client."""


def run(name, count, *, real=False):
    """Run a client against its own gateway."""
    lengths = ["--real", str(SPEED)] if real else ["5", "6"]
    server = subprocess.Popen(
        [sys.executable, str(HERE / "light_gateway.py"), *lengths], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        base_url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        client = [
            sys.executable,
            str(HERE / "waiting_clients.py"),
            name,
            base_url,
            str(count),
            *lengths[1:][: int(real)],
        ]
        done = subprocess.run(client, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr[-2000:]}")
        report = json.loads(done.stdout)
        with urllib.request.urlopen(f"{base_url}/counts") as answer:
            counts = json.loads(answer.read())
    finally:
        server.stdin.close()
        server.wait()
    report["requests"] = counts["submit"] + counts.get("query", 0) + counts.get("tasks", 0)
    report |= {"rows": counts["rows"], "bytes": counts["bytes"]}
    assert report["done"] == count, report
    return report


def installed(names):
    """Return the clients whose packages are installed, and say which are not."""
    missing = {name for name in names if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None}
    for name in sorted(missing):
        print(f"{name} is left out: {PACKAGES[name]} is not installed (extra `bench`).")
    return [name for name in names if name not in missing]


def medians(names, count, *, real=False):
    """Run the clients in turns; return the medians of what they report."""
    runs = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            runs[name].append(run(name, count, real=real))
    return {
        name: {field: statistics.median(one[field] for one in reports) for field in reports[0]}
        for name, reports in runs.items()
    }


def main_real(counts):
    """Print a table for each count, with generations of real lengths."""
    for count in counts:
        middle = medians(installed(REAL if count < REAL_LARGE_FROM else REAL_LARGE), count, real=True)
        print(f"\n{count} generations that take a minute (median), {SPEED} times as fast; medians of {ROUNDS}")
        print(
            f"{'client':16} {'CPU s':>7} {'running':>8} {'x ours':>7} {'looks/job':>9} {'rows/job':>8} {'KB/job':>7} "
            f"{'mean s':>7} {'p95 s':>6} {'peak MB':>8}"
        )
        for name, report in middle.items():
            print(
                f"{name:16} {report['cpu_s']:7.2f} {report['running_s']:8.2f} "
                f"{report['running_s'] / middle['ours']['running_s']:7.2f} {report['requests'] / count - 1:9.2f} "
                f"{report['rows'] / count:8.1f} {report['bytes'] / count / 1000:7.1f} {report['mean_s']:7.2f} "
                f"{report['p95_s']:6.2f} {report['peak_mb']:8.0f}",
                flush=True,
            )


def main(counts):
    """Print a table for each count."""
    for count in counts:
        middle = medians(installed(SMALL if count < LARGE_FROM else LARGE), count)
        print(f"\n{count} generations of 5-6 s, a look a second; medians of {ROUNDS}")
        print(
            f"{'client':16} {'CPU s':>7} {'x floor':>8} {'running':>8} {'x floor':>8} "
            f"{'req/job':>8} {'p50 s':>6} {'p99 s':>6} {'peak MB':>8}"
        )
        for name, report in middle.items():
            in_all, running = (report[field] / middle["floor"][field] for field in ("cpu_s", "running_s"))
            print(
                f"{name:16} {report['cpu_s']:7.2f} {in_all:8.2f} {report['running_s']:8.2f} {running:8.2f} "
                f"{report['requests'] / count:8.2f} {report['p50_s']:6.2f} {report['p99_s']:6.2f} "
                f"{report['peak_mb']:8.0f}"
            )


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:] if one != "--real"]
    if "--real" in sys.argv:
        main_real(given or [400, 1000])
    else:
        main(given or [200, 1000, 5000, 10_000])

"""What waiting costs, compared with other clients: `python tests/benchmarks/waiting.py [COUNT …]`.

Each client submits COUNT generations of 5 to 6 s and waits for all of them with one look a second. The gateway is
pinned to one core and the client to another. Runs are interleaved. The output shows medians of three, with ratios to
the client `floor`: the CPU time of the whole process, and the CPU time without starting Python and importing modules.
The requests include submits. The other clients come with the extra `bench`; those that are not installed are
left out with a message.
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


def run(name, count):
    """Run a client against its own gateway."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "light_gateway.py"), "5", "6"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        base_url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        client = [sys.executable, str(HERE / "waiting_clients.py"), name, base_url, str(count)]
        done = subprocess.run(client, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr[-2000:]}")
        report = json.loads(done.stdout)
        with urllib.request.urlopen(f"{base_url}/counts") as answer:
            counts = json.loads(answer.read())
    finally:
        server.stdin.close()
        server.wait()
    report["requests"] = sum(counts.values())
    assert report["done"] == count, report
    return report


def main(counts):
    """Print a table for each count."""
    have_sdk = importlib.util.find_spec("lumaai") is not None
    if not have_sdk:
        print("lumaai is not installed (extra `bench`): its rows are missing.")
    for count in counts:
        names = [name for name in (SMALL if count < LARGE_FROM else LARGE) if have_sdk or "lumaai" not in name]
        runs = {name: [] for name in names}
        for _ in range(ROUNDS):
            for name in names:
                runs[name].append(run(name, count))
        print(f"\n{count} generations of 5-6 s, a look a second; medians of {ROUNDS}")
        print(
            f"{'client':16} {'CPU s':>7} {'x floor':>8} {'running':>8} {'x floor':>8} "
            f"{'req/job':>8} {'p50 s':>6} {'p99 s':>6} {'peak MB':>8}"
        )
        middle = {
            name: {field: statistics.median(one[field] for one in reports) for field in reports[0]}
            for name, reports in runs.items()
        }
        for name, report in middle.items():
            in_all, running = (report[field] / middle["floor"][field] for field in ("cpu_s", "running_s"))
            print(
                f"{name:16} {report['cpu_s']:7.2f} {in_all:8.2f} {report['running_s']:8.2f} {running:8.2f} "
                f"{report['requests'] / count:8.2f} {report['p50_s']:6.2f} {report['p99_s']:6.2f} "
                f"{report['peak_mb']:8.0f}"
            )


if __name__ == "__main__":
    main([int(one) for one in sys.argv[1:]] or [200, 1000, 5000, 10_000])

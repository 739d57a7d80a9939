"""From a tick of the controller to whoever watches: an SSE client, and a page in Chromium.

A whole stack runs as processes on one machine with one clock. The program in the container notes the wall
time of its ticks, so that a tick's age is known wherever it is seen. Then 200 viewers open the same job, and
what heartbeats and claims take is measured with and without them.

    python -m tests.bench.bench_live
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import requests

from demo.processes import script, wait_until
from demo.stack import Stack, running
from tests.bench.report import Report

sys.path.insert(0, str(Path(__file__).parents[1]))
from e2e.browsing import visiting
from sse import Stream

VIEWERS = 200
SECONDS = 12.0
NAME = "ada/metronome"
PROGRAM = """\
import time
import gymnasium as gym
import raas_gym
env = gym.make("RaasPendulum-v1")
env.reset()
offset = float("inf")
for step in range(5000):
    _, _, _, _, info = env.step([1.0 if step % 40 < 20 else -1.0])
    offset = min(offset, time.time() - info["t"])
    if step == 40:
        print("began", repr(offset), flush=True)
env.close()
"""
WATCH = """() => {
  window.seen = [];
  new MutationObserver(() => {
    window.seen.push([Date.now() / 1000, Number(document.getElementById("pendulum").dataset.t)]);
  }).observe(document.getElementById("pendulum"), {attributeFilter: ["data-t"]});
}"""


def main() -> None:
    """Measure, print, keep."""
    report = Report("live")
    settings = {"RAAS_LIVE_MAX_PER_ADDRESS": "1000"}
    with TemporaryDirectory() as folder, running(Path(folder), settings=settings) as stack:
        world = stack.world
        world.user("ada")
        world.repository(NAME)
        world.install(stack.app.id, NAME)
        files = {"run.py": PROGRAM, ".raas.yml": "version: 1\ntimeout: 300\n"}
        world.push(NAME, files, user="ada")
        job = _began(stack)
        url, began = f"{stack.url}/api/v1/jobs/{job}/events", _offset(stack, job)
        _tell(report, "tick to an SSE client", _client(url, began))
        _tell(report, "tick to Chromium's page", _chromium(stack, job, began))
        alone = _calls(stack)
        memory = _memory(stack)
        crowd = Crowd(url)
        _tell(report, f"tick to an SSE client beside {VIEWERS} viewers", _client(url, began))
        crowded = _calls(stack)
        report.add("memory of an open live page [KB]", (_memory(stack) - memory) / VIEWERS / 1000)
        crowd.close()
    for name in alone:
        for which, of in (("median", median), ("95th percentile", _p95)):
            report.add(
                f"{name}, {which}, beside {VIEWERS} viewers [ms]",
                of(crowded[name]) * 1000,
                peer=of(alone[name]) * 1000,
                peer_name="alone",
            )
    report.close()


def _tell(report: Report, what: str, ages: list[float]) -> None:
    middle, late = median(ages), _p95(ages)
    report.add(f"{what}, median [s]", middle, peer=0.3, peer_name="limit", bar="< 0.3 s", met=middle < 0.3)
    report.add(
        f"{what}, 95th percentile [s]", late, peer=0.5, peer_name="limit", bar="< 0.5 s", met=late < 0.5
    )


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]


def _began(stack: Stack) -> int:
    """The job, once its program has told its clock."""

    def told() -> bool:
        log = requests.get(f"{stack.url}/jobs/1/log", timeout=10).text
        return "\n" in log.partition("began")[2]  # the whole line

    wait_until(told, 120, "the program to begin")
    return 1


def _offset(stack: Stack, job: int) -> float:
    """The wall time of the session's time 0 [s]."""
    log = requests.get(f"{stack.url}/jobs/{job}/log", timeout=10).text
    return float(next(line for line in log.splitlines() if line.startswith("began")).split()[1])


def _client(url: str, began: float) -> list[float]:
    """Ages [s] of the newest tick of each frame as it arrives."""
    ages: list[float] = []
    until = time.monotonic() + SECONDS
    with Stream(url) as stream:
        first = True
        for message in stream:
            if message.event == "telemetry":
                now = time.time()
                column = message.data["columns"].index("t")
                if not first:  # the first ones are kept from before
                    ages.append(now - began - message.data["rows"][-1][column])
                first = len(ages) == 0 and now - began - message.data["rows"][-1][column] > 1.0
            if time.monotonic() > until:
                break
    return ages[20:]


def _chromium(stack: Stack, job: int, began: float) -> list[float]:
    """Ages [s] of the moments a page draws, as it draws them."""
    with visiting(stack.url) as visitor:
        page = visitor.page()
        page.goto(f"{stack.url}/jobs/{job}")
        page.locator("#motion").wait_for(state="visible", timeout=30_000)
        page.wait_for_timeout(3000)
        page.evaluate(WATCH)
        page.wait_for_timeout(SECONDS * 1000)
        seen = page.evaluate("window.seen")
    return [at - began - t for at, t in seen]


class Crowd:
    """Viewers of one stream, read by a process of its own so that they take no time of ours."""

    def __init__(self, url: str) -> None:
        program = (
            "import gevent.monkey; gevent.monkey.patch_all(); import sys, gevent, requests\n"
            "def view():\n"
            "    with requests.get(sys.argv[1], stream=True, timeout=60) as answer:\n"
            "        for _ in answer.iter_content(None): pass\n"
            f"gevent.joinall([gevent.spawn(view) for _ in range({VIEWERS})])\n"
        )
        self._process = subprocess.Popen([script("python"), "-c", program, url])
        time.sleep(8)

    def close(self) -> None:
        """All go."""
        self._process.kill()
        self._process.wait()


def _calls(stack: Stack) -> dict[str, list[float]]:
    """What a heartbeat and an idle runner's claim take [s]: the same calls as a runner makes."""
    command = [
        script("raas-server"),
        "runner",
        "add",
        f"probe{time.monotonic_ns() % 10**9}",
        "--labels",
        "none",
    ]
    token = subprocess.run(
        command, env=stack.server_environment(), capture_output=True, text=True, check=True
    ).stdout.strip()
    headers = {"RAAS-Protocol": "1"}
    session = requests.Session()
    base = f"{stack.url}/api/v1/runner"
    registered = session.post(f"{base}/register", json={"token": token, "software": "1"}, headers=headers)
    headers["Authorization"] = f"Bearer {registered.json()['token']}"
    robot = {"kind": "none", "plant": "simulated", "env_ids": [], "healthy": True, "passport": "simulated"}
    claims, beats = [], []
    for number in range(100):
        body = {"key": f"{number:032x}", "wait_s": 0, "robot": robot, "software": "1"}
        began = time.perf_counter()
        session.post(f"{base}/claim", json=body, headers=headers)
        claims.append(time.perf_counter() - began)
        began = time.perf_counter()
        # Nobody's fence: it takes the same transaction and the same lock, and changes nothing.
        session.post(f"{base}/jobs/1/heartbeat", json={"fence": "none"}, headers=headers)
        beats.append(time.perf_counter() - began)
        time.sleep(0.04)
    return {"claim of an idle runner": claims, "heartbeat": beats}


def _memory(stack: Stack) -> int:
    """What the server holds in memory, bytes."""
    pid = stack.processes["server"].pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    statuses = [Path(f"/proc/{child}/status").read_text() for child in children]
    lines = [line for status in statuses for line in status.splitlines() if line.startswith("VmRSS:")]
    return sum(1024 * int(line.split()[1]) for line in lines)


if __name__ == "__main__":
    main()

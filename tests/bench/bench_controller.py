"""The controller on simulated pins: ticks at 20, 100 and 500 Hz, edges a second, processor share.

A real controller process with the rig behind simulated pins, a real guardian, a client process that steps.
The times of the ticks come from the telemetry of the session's own recording.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hardware import calibration
from hardware.kernel_pins import decode_events
from hardware.passport import Passport
from hardware.pins import CallbackCounter, Levels
from hardware.plant import HardwarePlant, Parts
from hardware.rig import Clock, Rig, SimulatedPins
from hardware.safety import Limits
from hardware.wires import Wires
from raas_gym.control import ControlClient, ControlError, SessionRequest
from raas_gym.env import PendulumEnv
from raas_gym.host import EnvHost
from raas_gym.trajectory import Tick
from tests.bench.report import Report
from tests.pi import uinput
from tests.pi.conformance import kernel_events_are_counted

NEEDED_EDGES = 1500.0
"""The physical need at 20 rad/s [edges/s]."""
SECONDS = float(os.environ.get("CONTROLLER_SECONDS", "10"))
SHARE_S = 5.0
CLIENT = """
import sys, numpy as np
from raas_gym.remote import RemoteEnv
env = RemoteEnv(sys.argv[1]); env.reset()
for k in range(int(sys.argv[2])): env.step(np.array([1.0 if k % 40 < 20 else -1.0], dtype=np.float32))
env.close()
"""


def ticks(report: Report, hertz: float, home: Path) -> None:
    """Missed ticks and jitter at a rate, the driver on the rig in real time."""
    wires, passport, levels = Wires(), Passport(), Levels(None)
    parts = Parts(SimulatedPins(Rig(), levels, wires), wires, Clock())
    plant = HardwarePlant(parts, passport, passport.params(1 / hertz), limits=Limits(), simulated=True)
    times: list[float] = []

    def on_tick(_: Tick) -> None:
        times.append(time.monotonic())

    try:
        calibration.home(plant, passport)
        path = home / f"{hertz:.0f}.sock"
        host = EnvHost(PendulumEnv(plant=plant), path, dt=1 / hertz, on_tick=on_tick)
        client = subprocess.Popen([sys.executable, "-c", CLIENT, str(path), str(int(SECONDS * hertz))])
        outcome = host.serve()
        client.wait()
    finally:
        plant.close()
    stamps = np.array(times)
    late = stamps - stamps[0] - np.arange(len(stamps)) / hertz
    late -= np.median(late)
    share = 100.0 * outcome.missed_ticks / max(1, outcome.ticks)
    met = share == 0.0 if hertz == 20 else share <= 0.5 if hertz == 100 else None
    bar = "0" if hertz == 20 else "<= 0.5" if hertz == 100 else ""
    report.add(f"{hertz:.0f} Hz on the rig, missed ticks %", share, bar=bar, met=met)
    report.add(f"{hertz:.0f} Hz on the rig, p99 jitter ms", float(np.percentile(np.abs(late), 99)) * 1e3)


def decoding(report: Report) -> None:
    """Edges a second that each way of counting gets through, without loss."""
    order = [(0, 0), (1, 0), (1, 1), (0, 1)]
    turn = iter(range(10**9))
    counter = CallbackCounter(lambda: order[next(turn) % 4])
    edges, begin = 50_000, time.perf_counter()
    for _ in range(edges):
        counter.on_edge(0)
    counted = len(counter.drain())
    rate = counted / (time.perf_counter() - begin)
    need = {"peer": NEEDED_EDGES, "peer_name": "needed", "bar": ">= 1500"}
    report.add("edges/s, callbacks", rate, **need, met=rate >= NEEDED_EDGES and counted == edges)

    event = struct.Struct("llHHi").pack(1, 2, 2, 0, 1) * edges
    begin = time.perf_counter()
    rate = len(decode_events(event)) / (time.perf_counter() - begin)
    report.add("edges/s, kernel events decoded", rate, **need, met=rate >= NEEDED_EDGES)
    if (
        uinput.DEVICE.exists()
    ):  # a virtual device of the kernel; `make test-pi` measures it in the emulated Pi
        rate = kernel_events_are_counted()
        report.add("edges/s, evdev without loss", rate, **need, met=rate >= NEEDED_EDGES)


def processor(report: Report, home: Path) -> None:
    """Processor share of controller and guardian on simulated pins, idle and with a session at 20 Hz."""
    command = str(Path(sys.executable).with_name("raas-controller"))
    (home / "levels").write_bytes(bytes(64))
    shared = ["--pins", "simulated", "--guardian", str(home / "g"), "--levels", str(home / "levels")]
    serve = ["serve", "--plant", "hardware", "--name", "bench", "--data-dir", str(home / "d")]
    quiet = {"stderr": subprocess.DEVNULL}
    guardian = subprocess.Popen([command, "guardian", *shared], **quiet)
    daemon = subprocess.Popen([command, *serve, "--socket", str(home / "c"), *shared], **quiet)
    try:
        client = ControlClient(str(home / "c"))
        while not _idle(client):
            time.sleep(0.1)
        both = {"controller": daemon.pid, "guardian": guardian.pid}
        _shares(report, both, "idle")
        opened = client.open(
            SessionRequest(1, 1, 0, "RaasPendulum-v1", timeout_s=60.0, client_uid=os.getuid())
        )
        path = str(Path(opened.directory) / opened.socket)
        program = subprocess.Popen([sys.executable, "-c", CLIENT, path, "1000"], **quiet)
        while client.status().state != "session":
            time.sleep(0.1)
        time.sleep(2.0)  # Python and NumPy of the program are loaded by then
        _shares(report, both, "running")
        client.close(1, 1, 0, "enough")
        program.wait()
    finally:
        for process in (daemon, guardian):
            process.terminate()
            process.wait()


def _shares(report: Report, pids: dict[str, int], state: str) -> None:
    begin, before = time.monotonic(), {name: _seconds(pid) for name, pid in pids.items()}
    time.sleep(SHARE_S)
    passed = time.monotonic() - begin
    for name, pid in pids.items():
        share = 100.0 * (_seconds(pid) - before[name]) / passed
        report.add(f"processor share, {state} {name} %", share)


def _idle(client: ControlClient) -> bool:
    try:
        return client.status().state == "idle"
    except ControlError:
        return False


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and report."""
    report = Report("controller")
    with tempfile.TemporaryDirectory(prefix="bc") as home:
        for hertz in (20.0, 100.0, 500.0):
            ticks(report, hertz, Path(home))
        decoding(report)
        processor(report, Path(home))
    report.close()


if __name__ == "__main__":
    main()

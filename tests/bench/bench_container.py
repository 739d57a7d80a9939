"""What a container costs: the hardened one of a job beside a bare one, and its parts, in seconds."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import docker

from runner import base_image
from runner.execution import execute
from runner.happenings import Happenings
from runner.hardening import ContainerSpec, Limits, shell, spare_cpuset
from runner.joblog import JobLog
from runner.sandbox import Engine
from tests.bench.report import Report

ROUNDS = 7
OWNER = "bench"


def bare(client: docker.DockerClient, image: str) -> None:
    """The peer: the same image, started and removed with nothing but the SDK's defaults."""
    container = client.containers.create(image, ["true"], network_mode="none")
    container.start()
    container.wait()
    container.remove()


def ours(engine: Engine, image: str, folder: Path, program: str) -> None:
    """A job's container without its volume: created, attached, started, read, waited for, removed."""
    spec = ContainerSpec(
        image, shell(program), OWNER, "bench", Limits(cpuset=spare_cpuset()), folder / "source"
    )
    log = JobLog(folder / "log", 1_000_000)
    ran = execute(engine, spec, log, Happenings(), 60.0)
    log.close()
    if ran.exit is None or ran.exit.code != 0:
        raise RuntimeError(f"the container failed: {ran}")


def volume(engine: Engine, image: str) -> None:
    """The artifacts volume with its keeper, made, read and removed; a job makes it beside its download."""
    made = engine.create_volume(OWNER, "volume", Limits(), image)
    b"".join(made.read_tar())
    made.remove()


def seconds(work: Callable[[], None]) -> float:
    """How long `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Peer and ours in turn; medians."""
    report = Report("container")
    engine, client = Engine(), docker.from_env()
    image = base_image.ensure(engine)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        (folder / "source").mkdir(mode=0o755)
        turns: dict[str, Callable[[], None]] = {
            "bare": lambda: bare(client, image),
            "ours": lambda: ours(engine, image, folder, "true"),
            "import": lambda: ours(engine, image, folder, "python -c 'import gymnasium, raas_gym'"),
            "volume": lambda: volume(engine, image),
        }
        taken: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(ROUNDS):
            for name, turn in turns.items():
                taken[name].append(seconds(turn))
    median = {name: statistics.median(times) for name, times in taken.items()}
    report.add(
        "container create + start + exit, hardened [s]",
        median["ours"],
        peer=median["bare"],
        peer_name="bare",
        bar="<= 1.2x bare",
        met=median["ours"] <= 1.2 * median["bare"],
    )
    report.add("the same, importing gymnasium and raas_gym [s]", median["import"])
    report.add("artifacts volume: made, read, removed [s]", median["volume"])
    report.close()
    engine.close()
    client.close()


if __name__ == "__main__":
    main()

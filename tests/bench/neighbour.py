"""The worst neighbour a session can have: a second runner on its host, which serves one hostile repository.

Its packages are built by a build backend that means harm (`build: true`), and its program then fills every
processor it may use, its memory, its disk and its log.

    python -m tests.bench.neighbour        # until SIGTERM; prints what it does, a line a job

Nothing here is pinned, niced or held back: the walls are the product's own.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from runner.settings import PackageRules

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hostile.arena import Arena, arena
from package_server import PackageServer, serving, source_package

HARM_S = 8.0
"""How long the build means harm, and then the program [s]."""
PROCESSES = 40

HARM = f"""
import os, sys, time
until = time.monotonic() + {HARM_S}
def burn(number):
    while time.monotonic() < until:
        if number % 4 == 0:
            os.write(1, os.urandom(512).hex().encode() + b"\\n")
        elif number % 4 == 1:
            try:
                with open(f"{{place}}/{{number}}", "wb") as file:
                    for _ in range(8):
                        file.write(os.urandom(1 << 20))
                        file.flush()
                        os.fsync(file.fileno())
            except OSError:
                pass
        else:
            sum(x * x for x in range(100_000))
    os._exit(0)
for number in range({PROCESSES}):
    if os.fork() == 0:
        burn(number)
while time.monotonic() < until:
    bytearray(16 << 20)
"""

BACKEND = f"""
import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    place = folder
{"".join(f"    {line}{chr(10)}" for line in HARM.splitlines())}
    name = "harm-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as archive:
        for number in range(2000):
            archive.writestr(f"harm/part{{number}}.py", "x = " + repr(os.urandom(10_000)))
        info = "harm-1.0.dist-info/"
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: harm\\nVersion: 1.0\\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "RECORD", "")
    return name
"""

PROGRAM = f"""
import gymnasium, raas_gym
env = gymnasium.make("RaasPendulum-v1")
env.reset()
env.step([0.0])
place = "/tmp"
{HARM}
"""


def repository(folder: Path) -> Path:
    """What the second runner is given."""
    folder.mkdir()
    (folder / "run.py").write_text(PROGRAM)
    (folder / "requirements.txt").write_text("harm==1.0\n")
    (folder / ".raas.yml").write_text("version: 1\ntimeout: 60\n")
    return folder


def serve(ring: Arena, index: PackageServer, folder: Path, leave: threading.Event) -> None:
    """One job after the other until told to leave; the layer is made anew each time."""
    index.add(source_package("harm", "1.0", BACKEND))
    rules = PackageRules(index=[index.url], build=True, size_mb=256)
    settings = ring.tools.settings.model_copy(update={"packages": rules})
    ring.tools = replace(ring.tools, settings=settings)
    ring.limits = {**ring.limits, "log_bytes_max": 10_000_000}  # as a server allows: a flood lasts as long
    print("ready", flush=True)
    while not leave.is_set():
        ended = ring.run(folder)
        built = "harm==1.0" in ended.log
        print(f"{'built' if built else 'not built'}, {ended.finish.reason}", flush=True)
        shutil.rmtree(settings.packages_folder)


def main() -> None:
    """Until SIGTERM, which lets the job at hand end."""
    leave = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    scratch = tempfile.TemporaryDirectory(prefix="raas-neighbour-")
    with scratch as folder, serving() as index, arena() as ring:
        serve(ring, index, repository(Path(folder) / "harm"), leave)


if __name__ == "__main__":
    main()

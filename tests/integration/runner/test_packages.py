"""What a requirements file asks for, installed with a real Docker engine and an index of the test's own."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from package_server import PackageServer, serving, source_package, wheel, write_all

from runner.dependencies import Installer, InstallError, Order, Packages
from runner.happenings import Happenings, Kind
from runner.joblog import JobLog
from runner.sandbox import Engine
from runner.settings import PackageRules
from runner.workspace import Source

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]
# those marked `hostile` run with `make hostile`

SPOON = wheel("spoon", "1.2", {"spoon.py": b"print('a spoon')\n"}, ("fork>=1",))
FORK = wheel("fork", "1.0", {"fork/__init__.py": b"TINES = 4\n"})
NUMPY = wheel("numpy", "99.0", {"numpy.py": b"raise SystemExit('the wrong one')\n"})


@dataclass
class Host:
    """One host's installer, and repositories to install for."""

    engine: Engine
    image: str
    folder: Path
    index: PackageServer
    runtime: str
    owner: str = field(default_factory=lambda: secrets.token_hex(4))
    happenings: Happenings = field(default_factory=Happenings)

    def rules(self, **changed: Any) -> PackageRules:
        return PackageRules(**{"index": [self.index.url], "size_mb": 64, **changed})

    def install(
        self, text: str, job: str = "1-1", wish: Any = None, **changed: Any
    ) -> tuple[Packages | None, str]:
        """The packages, and what the job's log says."""
        source = self.folder / f"source-{secrets.token_hex(4)}"
        source.mkdir()
        (source / "requirements.txt").write_text(text)
        log = JobLog(self.folder / f"log-{secrets.token_hex(4)}", 200_000)
        digest = self.engine.image_id(self.image) or ""
        order = Order(self.image, digest, wish, self.owner, job, 120.0)
        rules = self.rules(**changed)
        installer = Installer(self.engine, rules, self.folder / "requirements", self.runtime)
        try:
            found = installer.prepare(order, Source(source), log, self.happenings)
            return found, log.tail()
        finally:
            log.close()

    def kept(self) -> list[str]:
        return [path.parent.name for path in (self.folder / "requirements").glob("*/packages.json")]


@pytest.fixture
def host(engine: Engine, image: str, tmp_path: Path, runtime: str) -> Iterator[Host]:
    tmp_path.chmod(0o755)
    with serving() as index:
        host = Host(engine, image, tmp_path, index, runtime)
        yield host
        assert engine.sweep(host.owner) == []  # an installation leaves nothing behind, however it ends


def test_packages_are_installed_once_and_found_by_the_program(host: Host, lab: Any) -> None:
    for package in (SPOON, FORK, NUMPY):
        host.index.add(package)
    wishes = {"1-1": "spoon==1.2\nnumpy\n", "2-1": "numpy\nSpoon == 1.2  # the same\n"}
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(host.install, text, job) for job, text in wishes.items()]
        (first, one), (second, other) = [item.result() for item in both]
    assert first is not None
    assert second is not None
    assert (second.digest, second.binds) == (first.digest, first.binds)
    assert sorted("installing the packages" in said for said in (one, other)) == [False, True]
    for said in (one, other):
        assert "packages of requirements.txt: spoon==1.2, fork==1.0" in said
    assert not [path for path in host.index.asked if "numpy-99" in path]  # the image has one that will do
    asked = len(host.index.asked)
    third, _ = host.install(wishes["1-1"], job="3-1")
    assert third is not None
    assert len(host.index.asked) == asked
    lab.binds = first.binds
    done = lab.run("import spoon, fork, numpy\nprint(fork.TINES, numpy.__version__ > '99')\n")
    assert done.text.startswith("a spoon\n4 False\n"), done.text
    refused = lab.run("open('/opt/raas/requirements/x', 'w')").text
    assert re.search("Read-only|Permission denied", refused)  # gVisor asks for the permission first
    for packages in (first, second, third):
        packages.close()


def test_the_package_of_2020_is_there_already(host: Host, lab: Any) -> None:
    host.index.add(
        wheel("gym_raas", "0.0.1", {"gym_raas/__init__.py": b"raise SystemExit('that of 2020')\n"})
    )
    found, _ = host.install("gym-raas==0.0.1\nraas_gym\n")
    if found is not None:
        lab.binds = found.binds
    assert lab.run("import gym, gym_raas\nprint(gym.make('RaasPendulum-v0').dt)\n").text.endswith("0.05\n")
    assert not [path for path in host.index.asked if "0.0.1" in path]
    if found is not None:
        found.close()


def test_a_folder_of_wheels_needs_no_network(host: Host) -> None:
    wheels = write_all(host.folder / "wheels", SPOON, FORK)
    found, said = host.install("spoon\n", index=[], wheelhouse=wheels)
    assert found is not None
    assert "spoon==1.2, fork==1.0" in said
    assert host.index.asked == []
    found.close()


def test_the_resolvers_message_is_the_reason(host: Host) -> None:
    host.index.add(SPOON)
    with pytest.raises(InstallError) as caught:
        host.install("numpy\nspoon==9\n")
    assert str(caught.value) == (
        "The packages of requirements.txt could not be installed: Could not find a version that satisfies "
        "the requirement spoon==9 (from versions: 1.2) No matching distribution found for spoon==9. "
        "Only packages with a wheel for this machine are installed here."
    )
    assert [(mark.path, mark.line) for mark in caught.value.annotations] == [("requirements.txt", 2)]
    assert host.kept() == []


def test_what_is_not_accepted_is_told_with_its_line_and_nothing_is_started(host: Host) -> None:
    with pytest.raises(
        InstallError, match=r"requirements.txt line 2: `-e` is not accepted: nothing is"
    ) as caught:
        host.install("numpy\n-e .\n")
    assert caught.value.annotations[0].line == 2
    with pytest.raises(InstallError, match=r"names needs\.txt, which is no file"):
        host.install("numpy\n", wish="needs.txt")
    unread, _ = host.install("-e .\n", wish=False)
    assert unread is not None
    assert unread.binds == {}
    assert host.index.asked == []


@pytest.mark.hostile
def test_a_set_that_is_too_large_is_refused(host: Host) -> None:
    host.index.add(wheel("bomb", "1", {"bomb.bin": bytes(40 << 20)}))  # 40 kB packed
    with pytest.raises(InstallError, match="they need more than 16 MB, this host's limit"):
        host.install("bomb\n", size_mb=16)
    assert host.kept() == []


@pytest.mark.hostile
def test_an_index_that_hangs_ends_with_the_time(host: Host) -> None:
    host.index.stuck.set()
    with pytest.raises(InstallError, match="took longer than 2 s"):
        host.install("spoon\n", time_s=2.0)


@pytest.mark.hostile
def test_a_cancel_ends_an_installation(host: Host) -> None:
    host.index.stuck.set()

    def cancel() -> None:
        while not host.index.asked:
            threading.Event().wait(0.05)
        host.happenings.post(Kind.CANCELLED, "by ada")

    with ThreadPoolExecutor(1) as beside:
        beside.submit(cancel)
        with pytest.raises(InstallError, match="Stopped"):
            host.install("spoon\n")


PROBE = """\
import os, pathlib, socket, zipfile
found = [sorted(os.listdir("/repo")), sorted(n for _, n in socket.if_nameindex() if n != "lo")]
found.append(sorted(k for k in os.environ if k.startswith("RAAS_") or "PIP_INDEX" in k))
for address in [("169.254.169.254", 80), ("172.17.0.1", 2375), ("1.1.1.1", 53)]:
    try:
        socket.create_connection(address, 1)
        found.append(address)
    except OSError:
        pass
client = socket.socket(socket.AF_UNIX)
client.connect("/run/raas/index.sock")
client.sendall(b"GET /etc/passwd HTTP/1.0\\r\\n\\r\\n")
found.append(client.recv(20).split()[1].decode())
def build_wheel(folder, *_, **__):
    info = "ladle-1.dist-info/"
    with zipfile.ZipFile(pathlib.Path(folder, "ladle-1-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("ladle.py", f"FOUND = {found!r}\\n")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: ladle\\nVersion: 1\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return "ladle-1-py3-none-any.whl"
"""


@pytest.mark.hostile
def test_code_runs_only_where_the_host_allows_it_and_then_sees_nothing(host: Host) -> None:
    host.index.add(source_package("ladle", "1", PROBE))
    with pytest.raises(InstallError, match="Only packages with a wheel"):
        host.install("ladle\n")
    found, _ = host.install("ladle\n", build=True)
    assert found is not None
    assert found.layer is not None
    seen: dict[str, Any] = {}
    exec((found.layer.site / "ladle.py").read_text(), seen)  # noqa: S102  # our own probe's words
    assert seen["FOUND"] == [["install.py", "requirements.txt"], [], [], "404"]
    found.close()

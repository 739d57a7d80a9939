"""A Debian with systemd as its first process, in a container of its own; nothing of the host's is touched.

The image is made from Debian packages, as the jobs' image is where no registry answers. Packages for pip
are fetched once by the host, as its pip is set up, and lie in a folder that the container installs from.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from needs import need, need_docker

from demo.processes import wait_until
from runner import base_image

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PACKAGES = (
    "systemd-sysv,dbus,sudo,procps,"
    # what hardware/install.sh would fetch
    "git,ca-certificates,python3,python3-venv,python3-dev,build-essential,docker.io,gpiod"
)
EXTRAS = ".[server,runner,hardware]"
RIGHTS = ("SYS_ADMIN", "NET_ADMIN", "SYS_NICE", "SYS_PTRACE", "IPC_LOCK", "DAC_READ_SEARCH")
START_S = 60.0


class Machine:
    """One that runs, with this repository in /opt/raas/src; `close` leaves nothing.

    Attributes:
        address: Its IP address.
        gateway: The host's, as the machine sees it.
    """

    def __init__(self) -> None:
        image, wheels = _image(), _wheels()
        self.name = f"raas-units-{uuid4().hex[:8]}"
        words = ["docker", "run", "--detach", "--name", self.name, "--hostname", "goose"]
        words += ["--cgroupns=private", *(f"--cap-add={right}" for right in RIGHTS)]
        words += ["--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"]
        words += ["--sysctl=net.ipv4.ip_forward=1", "--env=container=docker", "--stop-signal=SIGRTMIN+3"]
        words += ["--tmpfs=/run:exec", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec", "--volume=/var/lib/docker"]
        words += [f"--volume={wheels}:/srv/wheels:ro", f"--volume={HERE / 'init.sh'}:/init.sh:ro"]
        _run([*words, image, "sh", "/init.sh"])
        try:
            self._look()
            self.write("/etc/pip.conf", "[global]\nno-index = true\nfind-links = /srv/wheels\n")
            self._copy_source()
        except BaseException:
            self.close()
            raise

    def restart(self) -> None:
        """Switch it off and on."""
        _run(["docker", "restart", "--time", "60", self.name])
        self._look()

    def close(self) -> None:
        """End it, with everything in it."""
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], capture_output=True, check=False)

    def attempt(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """A command as root; whatever comes of it."""
        command = ["docker", "exec", "--interactive", self.name, *words]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=False)

    def run(self, *words: str, given: str = "") -> str:
        """A command as root that must work; what it said."""
        done = self.attempt(*words, given=given)
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """A file of root's."""
        self.run("install", "-D", "-m", mode, "/dev/stdin", path, given=text)

    def load(self, image: str) -> None:
        """Give an image of the host's engine to the machine's."""
        load = ["docker", "exec", "--interactive", self.name, "docker", "load", "--quiet"]
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
            subprocess.run(load, stdin=save.stdout, stdout=subprocess.DEVNULL, check=True)
        assert save.returncode == 0, image

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).strip()

    def journal(self, unit: str) -> str:
        """What a unit has said since the start."""
        return self.run("journalctl", "--no-pager", "--output=cat", "--unit", unit)

    def _look(self) -> None:
        template = "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}"
        self.address, self.gateway = _run(["docker", "inspect", "-f", template, self.name]).split()
        wait_until(self._is_up, START_S, "systemd to have started everything", 0.2)

    def _is_up(self) -> bool:
        return self.attempt("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def _copy_source(self) -> None:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        pack = ["tar", "--null", "--files-from=-", "--create"]
        packed = subprocess.run(pack, cwd=ROOT, input=listed, capture_output=True, check=True).stdout
        self.run("mkdir", "-p", "/opt/raas/src")
        unpack = ["docker", "exec", "--interactive", self.name, "tar", "-xC", "/opt/raas/src"]
        subprocess.run(unpack, input=packed, check=True)


def _image() -> str:
    need_docker()
    name = f"raas-units:{base_image.DEBIAN}-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:12]}"
    there = subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False)
    if there.returncode:
        command = shutil.which("debootstrap")
        need(command is not None, "debootstrap", "apt-get install debootstrap (and be root)")
        with TemporaryDirectory(prefix="raas-units-") as scratch:
            include = f"--include={PACKAGES}"
            _run([str(command), "--variant=minbase", include, base_image.DEBIAN, scratch])
            pack = ["tar", "--numeric-owner", "--exclude=./dev/*", "--exclude=./var/cache/apt"]
            with subprocess.Popen([*pack, "-C", scratch, "-c", "."], stdout=subprocess.PIPE) as packed:
                subprocess.run(
                    ["docker", "import", "-", name], stdin=packed.stdout, capture_output=True, check=True
                )
    return name


def _wheels() -> Path:
    lock = (ROOT / "requirements.lock").read_text()
    kept = base_image.cache_dir() / f"wheels-{hashlib.sha256(lock.encode()).hexdigest()[:12]}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=kept.parent) as scratch:
            constraints = Path(scratch) / "constraints.txt"
            constraints.write_text("\n".join(re.findall(r"^([A-Za-z0-9].*?) *\\?$", lock, re.MULTILINE)))
            found = Path(scratch) / "wheels"
            words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
            words += ["--wheel-dir", str(found), "--constraint", str(constraints)]
            _run([*words, "setuptools", "wheel", EXTRAS])
            for ours in found.glob("raas_gym-*"):
                ours.unlink()
            found.rename(kept)
    return kept


def _run(words: list[str]) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(words[:3])}` failed: {(done.stderr or done.stdout)[-3000:]}")
    return done.stdout

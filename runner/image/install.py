"""Runs inside a build container: what is missing of /repo/requirements.txt goes to /artifacts/site.

The container has no network: pip talks to a port of its own loopback, and every connection there is carried
to the host's `runner.package_index` through a Unix socket. First pip says what the image lacks, then exactly
that is installed: a package the image has in a good version is never fetched again.

Exit status: 0 done, 1 pip failed (its message is the last thing printed).
"""

import argparse
import compileall
import json
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

REQUIREMENTS = "/repo/requirements.txt"
INDEX = Path("/run/raas/index.sock")
WHEELS = Path("/wheels")
OUT = Path("/artifacts")
PIP = [sys.executable, "-m", "pip", "install", "--no-input", "--no-color", "--no-cache-dir", "--no-compile"]
QUIET = ["--quiet", "--progress-bar", "off", "--disable-pip-version-check", "--no-warn-script-location"]


def main() -> int:
    """Resolve, install, list."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--build", action="store_true", help="packages without wheels may be built")
    build = arguments.parse_args().build
    scratch = OUT / "tmp"
    scratch.mkdir()
    report = scratch / "report.json"
    options = [*QUIET, *_places(), *([] if build else ["--only-binary", ":all:"])]
    resolve = [*PIP, *options, "--dry-run", "--report", str(report), "-r", REQUIREMENTS]
    if subprocess.run(resolve, check=False).returncode:
        return 1
    found = json.loads(report.read_text())["install"]
    packages = [f"{item['metadata']['name']}=={item['metadata']['version']}" for item in found]
    (OUT / "site").mkdir()
    if packages:
        print(f"installing {', '.join(packages)}", flush=True)
        pinned = scratch / "pinned.txt"
        pinned.write_text("".join(f"{_pin(item)}\n" for item in found))
        target = ["--no-deps", "--target", str(OUT / "site"), "-r", str(pinned)]
        environment = {"TMPDIR": str(scratch), "HOME": str(scratch)}
        if subprocess.run([*PIP, *options, *target], env=environment, check=False).returncode:
            return 1
        # the files' times change on the way out, so compiled code must not depend on them
        compileall.compile_dir(
            OUT / "site", quiet=2, force=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
        )
    (OUT / "packages.json").write_text(json.dumps(packages))
    shutil.rmtree(scratch)
    return 0


def _pin(item: dict[str, Any]) -> str:
    info = item["download_info"]
    digest = info.get("archive_info", {}).get("hashes", {}).get("sha256")
    return f"{item['metadata']['name']} @ {info['url']}" + (f"#sha256={digest}" if digest else "")


def _places() -> list[str]:
    """Where pip looks: the host's folder of wheels, its index, or nowhere."""
    wheels = ["--find-links", str(WHEELS)] if WHEELS.exists() else []
    if not INDEX.exists():
        return ["--no-index", *wheels]
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_relay, args=(listener,), daemon=True).start()
    return [*wheels, "--index-url", f"http://127.0.0.1:{listener.getsockname()[1]}/simple/"]


def _relay(listener: socket.socket) -> None:
    while True:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(INDEX))
        for source, target in ((near, far), (far, near)):
            threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


if __name__ == "__main__":
    sys.exit(main())

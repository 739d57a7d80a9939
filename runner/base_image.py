"""The image every job runs in, made on the host: `raas-runner image build`.

    bare Python          a public Python image where a registry answers, else made from Debian packages
    + packages           numpy, scipy, gymnasium and the like (image/requirements-slim.txt), as wheels
    + ml                 for `image: ml`: PyTorch for processors, and TensorFlow where the host wants it
    + raas_gym           copied from this very installation, so that image and runner never differ

The wheels are fetched by the host's installer (pip or uv, with the host's configuration) for the Python of
the image; the build itself needs no network. The tag is a digest of everything that goes in: an image that is
there is never built again, and a runner knows the tag it needs without asking anyone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.engine_errors import SandboxError
from runner.sandbox import Engine

REPOSITORY = "raas-base"
PACKAGES_REPOSITORY = "raas-packages"
PYTHON_REPOSITORY = "raas-python"
PYTHON_VERSION = "3.11"
DEBIAN = "bookworm"
"""The Debian release whose Python is `PYTHON_VERSION`."""
PUBLIC_IMAGE = f"python:{PYTHON_VERSION}-slim-{DEBIAN}"
KINDS = ("slim", "ml")

_HERE = Path(__file__).parent / "image"
_OURS = ("raas_gym", "gym_raas")
_USELESS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")

Say = Callable[[str], None]


def cache_dir() -> Path:
    """Where downloads are kept: `RAAS_CACHE_DIR`, else the user's cache folder."""
    chosen = os.environ.get("RAAS_CACHE_DIR")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else home / "raas"


def places() -> tuple[str, ...]:
    """`RAAS_IMAGE_WHEELS`: further places to look for wheels, separated by blanks."""
    return tuple(os.environ.get("RAAS_IMAGE_WHEELS", "").split())


@dataclass(frozen=True)
class Recipe:
    """What goes into an image.

    Attributes:
        kind: One of `KINDS`.
        tensorflow: Whether `ml` has TensorFlow too.
        wheels: Further places to look for wheels: folders, and URLs of indexes.
        base: An image with Python to start from; None finds or makes one.
    """

    kind: str = "slim"
    tensorflow: bool = False
    wheels: tuple[str, ...] = ()
    base: str | None = None

    @property
    def layers(self) -> list[str]:
        """Names of the lists of packages, each a layer on the one before."""
        return ["slim", *(["ml"] if self.kind == "ml" else []), *(["tensorflow"] if self.tensorflow else [])]


SLIM = Recipe()


def tag(recipe: Recipe = SLIM) -> str:
    """The tag of the image that belongs to this installation."""
    return f"{REPOSITORY}:{recipe.kind}-{_digest(_packages_tag(recipe.layers).encode(), *_our_content())}"


def ensure(engine: Engine, recipe: Recipe = SLIM, say: Say = print) -> str:
    """Build the image unless it is there; its tag.

    Args:
        engine: The Docker engine.
        recipe: What goes into it.
        say: Gets progress, a line at a time.

    Raises:
        SandboxError: `image`, with what to do.
    """
    wanted = tag(recipe)
    if engine.image_id(wanted):
        return wanted
    with tempfile.TemporaryDirectory(prefix="raas-image-") as scratch:
        packages = _packages(engine, recipe, recipe.layers, Path(scratch), say)
        say(f"building {wanted}")
        _copy_ours(Path(scratch) / "ours" / "site")
        _build(engine, Path(scratch) / "ours", wanted, packages)
    return wanted


def _packages(engine: Engine, recipe: Recipe, layers: list[str], scratch: Path, say: Say) -> str:
    """The image with the packages of `layers`, built on the one with all but the last of them; its tag."""
    wanted, name = _packages_tag(layers), layers[-1]
    if engine.image_id(wanted):
        return wanted
    below = layers[:-1]
    if below:
        base = _packages(engine, recipe, below, scratch, say)
    else:
        base = recipe.base or _bare_python(engine, scratch, say)
    say(f"fetching Python packages for {PYTHON_VERSION} ({name})")
    _install_packages(name, scratch / name / "site", recipe.wheels)
    say(f"building {wanted}")
    _build(engine, scratch / name, wanted, base)
    shutil.rmtree(scratch / name)
    return wanted


RECIPES = (SLIM, Recipe("ml"), Recipe("ml", tensorflow=True))


def prune(engine: Engine) -> list[str]:
    """Remove images of earlier versions that no container uses; their tags."""
    current = {tag(recipe) for recipe in RECIPES} | {_packages_tag(recipe.layers) for recipe in RECIPES}
    old = [*engine.images(REPOSITORY), *engine.images(PACKAGES_REPOSITORY)]
    return [name for name in old if name not in current and engine.remove_image(name)]


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:12]


def _packages_tag(layers: list[str]) -> str:
    names = ["Dockerfile", *(f"requirements-{name}.txt" for name in layers), "requirements-source.txt"]
    content = [(_HERE / name).read_bytes() for name in names]
    return f"{PACKAGES_REPOSITORY}:{layers[-1]}-{_digest(PYTHON_VERSION.encode(), *content)}"


def _our_files() -> list[tuple[str, Path]]:
    """Files of raas_gym and gym_raas as installed here, by their path in site-packages."""
    found = []
    for package in _OURS:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise SandboxError(
                "image", f"{package} is not installed here: run `pip install raas-gym[runner]`"
            )
        root = Path(spec.submodule_search_locations[0])
        files = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        found += [(f"{package}/{path.relative_to(root)}", path) for path in files]
    return sorted(found)


def _our_content() -> list[bytes]:
    files = [part for name, path in _our_files() for part in (name.encode(), path.read_bytes())]
    return [*files, _entry_points().encode(), repr(_records()).encode()]


def _entry_points() -> str:
    """What makes Gymnasium and classic Gym find our environments by themselves."""
    lines = []
    for group in ("gym.envs", "gymnasium.envs"):
        ours = [e for e in importlib.metadata.entry_points(group=group) if e.value.split(".")[0] in _OURS]
        lines += [f"[{group}]", *sorted({f"{e.name} = {e.value}" for e in ours}), ""]
    return "\n".join(lines)


def _copy_ours(site: Path) -> None:
    for name, path in _our_files():
        target = site / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for name, version in _records():
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (site / f"raas_gym-{_version()}.dist-info" / "entry_points.txt").write_text(_entry_points())


def _version() -> str:
    return importlib.metadata.version("raas-gym")


def _records() -> list[tuple[str, str]]:
    """What an installer in the image finds installed: names and versions.

    A program of 2020 may ask for the package of that time. It is on PyPI still, talks to robots that are no
    more, and would hide the one that answers to its name here.
    """
    return [("raas-gym", _version()), ("gym-raas", "0.0.1")]


def _build(engine: Engine, context: Path, name: str, base: str) -> None:
    shutil.copyfile(_HERE / "Dockerfile", context / "Dockerfile")
    engine.build(context, name, {"BASE": base}, _only_errors)


def _only_errors(line: str) -> None:
    """The engine's step lines are noise; a failure is raised with its own message."""


def _install_packages(name: str, site: Path, wheels: tuple[str, ...]) -> None:
    """The packages of one list, unpacked, for the image's Python and this machine's processor."""
    machine = platform.machine()
    uv = shutil.which(
        "uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    )
    if uv:
        base = [uv, "pip", "install", "--quiet", "--link-mode", "copy", "--python", sys.executable]
        target = ["--python-platform", f"{machine}-manylinux_2_28"]
    elif importlib.util.find_spec("pip"):
        base = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--disable-pip-version-check",
        ]
        target = ["--implementation", "cp"]
        for glibc in ("2_28", "2_27", "2_17"):
            target += ["--platform", f"manylinux_{glibc}_{machine}"]
        target += ["--platform", f"manylinux2014_{machine}"]
    else:
        raise SandboxError("image", "neither uv nor pip is installed here: run `python -m ensurepip`")
    base += [word for place in wheels for word in (_place_option(place), place)]
    if uv and wheels:
        base += ["--index-strategy", "unsafe-best-match"]  # pip's only one
    fitting = ["--python-version", PYTHON_VERSION, "--only-binary", ":all:", *target]
    if name != "slim":
        fitting.append("--no-deps")  # the list is complete
    _run([*base, "--target", str(site), *fitting, "-r", str(_HERE / f"requirements-{name}.txt")])
    if name == "slim":
        _install_from_source(base, site)


def _place_option(place: str) -> str:
    return "--extra-index-url" if "://" in place else "--find-links"


def _install_from_source(base: list[str], site: Path) -> None:
    source = ["--no-deps", "-r", str(_HERE / "requirements-source.txt")]
    extra = site.with_name("source")
    _run([*base, "--target", str(extra), *source])
    shutil.copytree(extra, site, dirs_exist_ok=True)
    shutil.rmtree(extra)


def _bare_python(engine: Engine, scratch: Path, say: Say) -> str:
    say(f"looking for {PUBLIC_IMAGE}")
    if engine.image_id(PUBLIC_IMAGE) or engine.pull(PUBLIC_IMAGE):
        return PUBLIC_IMAGE
    made = f"{PYTHON_REPOSITORY}:{DEBIAN}"
    if not engine.image_id(made):
        archive = cache_dir() / f"{DEBIAN}-{platform.machine()}.tar"
        if not archive.exists():
            say(f"no registry answers: making {DEBIAN} from Debian packages (about a minute)")
            _make_rootfs(scratch / "root", archive)
        engine.import_rootfs(archive, PYTHON_REPOSITORY, DEBIAN)
    return made


def _make_rootfs(root: Path, archive: Path) -> None:
    """A minimal Debian with its Python, as a tar file."""
    if os.geteuid() != 0:
        raise SandboxError(
            "image",
            f"no registry answers and this user is not root: run `sudo {sys.argv[0]} image build` once, or "
            f"`docker save {PUBLIC_IMAGE}` where there is a network and `docker load` it here",
        )
    debootstrap = shutil.which("debootstrap")
    if debootstrap is None and shutil.which("apt-get"):
        _run(["apt-get", "-qq", "-y", "install", "--no-install-recommends", "debootstrap"])
        debootstrap = shutil.which("debootstrap")
    if debootstrap is None:
        raise SandboxError("image", "no registry answers and debootstrap is missing: install debootstrap")
    _run([debootstrap, "--variant=minbase", "--include=python3", DEBIAN, str(root)])
    for folder in _USELESS:
        shutil.rmtree(root / folder, ignore_errors=True)
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".partial")
    _run(["tar", "--numeric-owner", "--exclude=./dev/*", "-C", str(root), "-cf", str(partial), "."])
    partial.replace(archive)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise SandboxError("image", f"`{command[0]}` failed while making the image:\n{tail}")

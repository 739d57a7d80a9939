"""What a host decides about a runner: one small file, and the runner's token beside it, both 0600."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from runner.base_image import Recipe, places
from runner.hardening import MIB, Limits, spare_cpuset
from runner.protocol import Name
from runner.yaml_lines import YamlError, load

CONFIG_VARIABLE = "RAAS_RUNNER_CONFIG"
ImageKind = Literal["slim", "ml"]


class SettingsError(Exception):
    """The settings are missing or wrong; the message says what to do."""


def _listed(value: Any) -> Any:
    """One item stands for a list of one."""
    return [value] if isinstance(value, str) else value


class PackageRules(BaseModel):
    """What of a repository's requirements file is installed, and from where.

    Attributes:
        index: URLs of package indexes; `pip` is what this machine's pip uses, an empty list is none.
        wheelhouse: A folder of wheels, used before any index.
        build: Whether packages without a wheel may be built, which executes them in the build container.
        size_mb: Largest set of packages, in memory while it is installed [MiB].
        time_s: Longest installation [s].
        disk_mb: All sets kept on this host [MiB]; the longest unused go first.
        folder: Where they are kept; null for `requirements` in the runner's data folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: Annotated[
        list[Annotated[str, Field(pattern=r"^(pip|https?://\S+|file:///\S+)$")]], BeforeValidator(_listed)
    ] = ["pip"]
    wheelhouse: Path | None = None
    build: bool = False
    size_mb: int = Field(default=1024, ge=16)
    time_s: float = Field(default=600.0, gt=0)
    disk_mb: int = Field(default=10_000, ge=0)
    folder: Path | None = None


class Settings(BaseModel):
    """A runner's settings.

    Attributes:
        server: The server's URL.
        name: The runner's name, as the server gave it.
        labels: Its labels, for people: the server decides.
        controller: The controller's socket.
        data_dir: Where held jobs and undelivered results are kept.
        memory_mb: Main memory of a job [MiB].
        tmp_mb: Its `/tmp`, part of the memory [MiB].
        artifacts_mb: Its `/artifacts`, part of the memory [MiB].
        pids: Its processes and threads.
        cpuset: Its processors, as in `1-3`; null leaves the first one to the controller.
        cpus: Processor time as a number of processors, 0 for all of `cpuset`.
        runtime: Docker's name of another container runtime, such as `runsc` (gVisor); null for its usual one.
        images: The images jobs may choose from: `slim`, `ml`.
        default_image: The one for repositories that choose none.
        tensorflow: Whether `ml` has TensorFlow beside PyTorch.
        image_base: An image with Python to build on, where neither registry nor Debian is wanted.
        image_wheels: Further places to look for the images' packages: folders, and URLs of indexes.
        packages: What of a repository's requirements file is installed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    server: str = Field(pattern=r"^https?://[^\s/]+")
    name: Name
    labels: list[Name] = []
    controller: Path = Path("/run/raas/controller.sock")
    data_dir: Path
    memory_mb: int = Field(default=1024, ge=64)
    tmp_mb: int = Field(default=256, ge=1)
    artifacts_mb: int = Field(default=64, ge=1)
    pids: int = Field(default=256, ge=16)
    cpuset: str | None = Field(default=None, pattern=r"^[0-9,-]*$")
    cpus: float = Field(default=0.0, ge=0)
    runtime: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")] | None = None
    images: list[ImageKind] = Field(default=["slim"], min_length=1)
    default_image: ImageKind = "slim"
    tensorflow: bool = False
    image_base: str | None = None
    image_wheels: list[str] = []
    packages: PackageRules = PackageRules()

    @model_validator(mode="after")
    def _default_is_there(self) -> Settings:
        if self.default_image not in self.images:
            raise ValueError(f"`default_image` is {self.default_image}, which is not one of `images`")
        return self

    def recipe(self, kind: str) -> Recipe:
        """How the image of `kind` is made on this host."""
        wheels = (*self.image_wheels, *places())
        return Recipe(kind, self.tensorflow and kind == "ml", wheels, self.image_base)

    @property
    def packages_folder(self) -> Path:
        """Where sets of packages are kept."""
        return self.packages.folder or self.data_dir / "requirements"

    def limits(self, artifact_bytes_max: int) -> Limits:
        """The walls of one job; `artifact_bytes_max` is the server's word on artifacts."""
        return Limits(
            memory_bytes=self.memory_mb * MIB,
            pids=self.pids,
            tmp_bytes=self.tmp_mb * MIB,
            artifact_bytes=min(self.artifacts_mb * MIB, artifact_bytes_max),
            cpuset=spare_cpuset() if self.cpuset is None else self.cpuset,
            cpus=self.cpus,
            runtime=self.runtime or "",
        )


def default_path() -> Path:
    """`RAAS_RUNNER_CONFIG`, else `/etc/raas/runner.yml` for root, else in the user's configuration."""
    if chosen := os.environ.get(CONFIG_VARIABLE):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/etc/raas/runner.yml")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "raas" / "runner.yml"


def default_data_dir() -> Path:
    """`/var/lib/raas-runner` for root, else in the user's state folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/raas-runner")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "raas-runner"


def read(path: Path) -> Settings:
    """The settings in `path`.

    Raises:
        SettingsError: It is missing or wrong.
    """
    try:
        data, lines = load(path.read_bytes())
        return Settings.model_validate(data)
    except FileNotFoundError as error:
        raise SettingsError(
            f"{path} is missing: run `raas-runner register --server URL --token TOKEN` first"
        ) from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except YamlError as error:
        raise SettingsError(f"{path} line {error.line}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{path} line {lines.of(first['loc'])}: `{place}`: {first['msg']}") from error


def read_token(path: Path) -> str:
    """The runner's token, kept beside its settings.

    Raises:
        SettingsError: It is missing, or others may read it.
    """
    place = path.with_suffix(".token")
    try:
        if place.stat().st_mode & 0o077:
            raise SettingsError(f"others may read {place}: run `chmod 600 {place}`")
        return place.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"{place} cannot be read ({error.strerror}): register the runner again"
        ) from error


def write(path: Path, settings: Settings, token: str) -> None:
    """Keep settings and token; replaces what is there, each file at once."""
    chosen: dict[str, Any] = settings.model_dump(mode="json", exclude_defaults=True)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_durably(path.with_suffix(".token"), (token + "\n").encode())
    write_durably(path, yaml.safe_dump(chosen, sort_keys=False).encode())


def write_durably(path: Path, content: bytes) -> None:
    """Replace `path` in one step, mode 0600; after the return it survives a power cut."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""`hardware/install.sh` as root of a Debian system: accounts and boot settings; the whole as a dry run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from needs import need

from runner import base_image

ROOT = Path(__file__).parents[2]

SCRIPT = r"""
set -eu
mkdir -p /boot/firmware
printf 'dtparam=audio=on\n' >/boot/firmware/config.txt
printf 'console=serial0,115200 root=/dev/mmcblk0p2 rootwait\n' >/boot/firmware/cmdline.txt
install=/opt/raas/src/hardware/install.sh
changed() { find / -xdev -type f -newer /boot/firmware/cmdline.txt ! -path '/tmp/*'; }
changed >/tmp/before
$install --dry-run --name goose >/tmp/dry
changed >/tmp/after
cmp /tmp/before /tmp/after
grep -q 'would run: apt-get' /tmp/dry
grep -q 'would write /etc/systemd/system/raas-guardian.service' /tmp/dry
$install --name goose --only users --only boot
for user in controller guardian runner; do id -gn raas-$user; done
id -nG raas-runner | grep -qw docker
! id -nG raas-controller | grep -qw docker
cat /boot/firmware/cmdline.txt
$install --name goose --only users --only boot >/tmp/again
! grep -E 'wrote|reboot' /tmp/again
echo all well
"""


def debian_image() -> str | None:
    """The most basic image that the runner's image is made from, or that image itself."""
    bare = f"{base_image.PYTHON_REPOSITORY}:{base_image.DEBIAN}"
    for image in (bare, base_image.PUBLIC_IMAGE, base_image.tag()):
        if (
            subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode
            == 0
        ):
            return image
    return None


@pytest.mark.docker
def test_in_a_debian_container() -> None:
    image = debian_image()
    need(image is not None, "an image with Debian", "run `make image`")
    assert image is not None
    done = subprocess.run(
        [
            "docker",
            "run",
            "--rm",
            "--network",
            "none",
            "--user",
            "0:0",
            "--memory",
            "256m",
            "--volume",
            f"{ROOT}:/opt/raas/src:ro",
            "--entrypoint",
            "bash",
            image,
            "-c",
            SCRIPT,
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("raas\n") >= 3
    assert "root=/dev/mmcblk0p2 rootwait cgroup_enable=memory\n" in done.stdout
    assert done.stdout.endswith("all well\n")

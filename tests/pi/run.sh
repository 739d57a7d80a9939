#!/usr/bin/env bash
# An emulated Raspberry Pi 3 (QEMU raspi3b, Debian's arm64 kernel) runs tests/pi/guest.py over the real RPi.GPIO, then
# over the real rpi-lgpio. Packages are fetched from Debian and PyPI into a cache once; a run takes about a minute.
# Exits 0 if every check passed, 2 if something that it needs is missing.
#
#     tests/pi/run.sh [--cache DIR]
set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/raas/pi
[ "${1:-}" != --cache ] || CACHE=$2
LIMIT_S=300
RPI_LGPIO=0.6
LGPIO=0.2.2.0

command -v qemu-system-aarch64 >/dev/null || {
    echo "qemu-system-aarch64 is missing: apt-get install qemu-system-arm" >&2
    exit 2
}
command -v cpio >/dev/null || { echo "cpio is missing: apt-get install cpio" >&2; exit 2; }
mkdir -p "$CACHE"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Debian's arm64 packages beside this machine's own, with lists and status of their own.
fetch() {
    local apt=$CACHE/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    local options=(
        -oAPT::Architecture=arm64 -oAPT::Architectures=arm64 -oAPT::Install-Recommends=0
        -oDir::State::Lists="$apt/lists" -oDir::State::status="$apt/status" -oDir::Cache="$apt/cache"
        -oDebug::NoLocking=1 -oAPT::Get::Download-Only=1 -qq
    )
    apt-get "${options[@]}" update &&
        apt-get "${options[@]}" -y install python3 python3-rpi.gpio busybox-static linux-image-arm64
}

python=$REPO/.venv/bin/python
[ -x "$python" ] || python=python3
guest_python() { (cd "$CACHE/guest/usr/bin" && ls -d python3.*[0-9] | head -1); }

# Compile Python's modules here, where it takes seconds: in the emulator it would be the longer part of a run.
precompile() {
    local ours
    ours=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    [ "$ours" != "$(guest_python)" ] || "$python" -m compileall -qq --invalidation-mode unchecked-hash "$@" || true
}

# rpi-lgpio and lgpio for the guest's Python, apart from its own packages: both libraries are called RPi.
fetch_lgpio() {
    local version wheel
    version=$(guest_python)
    rm -rf "$CACHE/lgpio.part"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --platform manylinux_2_34_aarch64 --platform manylinux_2_17_aarch64 --python-version "${version#python}" \
        --dest "$CACHE/lgpio.part" "rpi-lgpio==$RPI_LGPIO" "lgpio==$LGPIO" || return 1
    for wheel in "$CACHE"/lgpio.part/*.whl; do
        "$python" -m zipfile -e "$wheel" "$CACHE/lgpio.part/site" && rm "$wheel"
    done
    rm -rf "$CACHE/lgpio" && mv "$CACHE/lgpio.part/site" "$CACHE/lgpio"
}

# The packages as a root file system: no maintainer script runs, Python needs none.
unpack() {
    local root=$CACHE/guest.part deb
    rm -rf "$root" "$CACHE/guest" "$CACHE/compiled"
    mkdir -p "$root"
    for deb in "$CACHE"/apt/cache/archives/*.deb; do dpkg-deb -x "$deb" "$root"; done
    mkdir -p "$CACHE/boot"
    cp "$root"/boot/vmlinuz-* "$CACHE/boot/vmlinuz"
    cp "$root"/usr/lib/linux-image-*/broadcom/bcm2837-rpi-3-b.dtb "$CACHE/boot/pi.dtb"
    # What the checks never touch; the kernel has the Pi's GPIO built in.
    rm -rf "${root:?}"/boot "$root"/lib/modules "$root"/usr/lib/modules "$root"/usr/lib/linux-image-* \
        "$root"/usr/share/{doc,man,locale,i18n,zoneinfo,perl,perl5} "$root"/usr/lib/aarch64-linux-gnu/{gconv,perl*}
    mv "$root" "$CACHE/guest"
}

if [ ! -d "$CACHE/guest" ]; then
    echo "==> fetching Debian's arm64 packages into $CACHE"
    fetch || { echo "Debian's arm64 packages cannot be fetched: is this Debian, and its mirror within reach?" >&2; exit 2; }
    unpack
fi

# The kernel's input system is in modules.
if [ ! -e "$CACHE/modules/uinput.ko" ]; then
    mkdir -p "$CACHE/modules.part"
    for deb in "$CACHE"/apt/cache/archives/linux-image-*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$CACHE/modules.part" --wildcards --transform='s:.*/::' \
            '*/evdev.ko*' '*/uinput.ko*' 2>/dev/null || true
    done
    unxz "$CACHE"/modules.part/*.xz 2>/dev/null || true
    rm -rf "$CACHE/modules" && mv "$CACHE/modules.part" "$CACHE/modules"
fi
if [ ! -d "$CACHE/lgpio" ]; then
    echo "==> fetching rpi-lgpio into $CACHE"
    fetch_lgpio || { echo "rpi-lgpio cannot be fetched: is PyPI within reach of pip?" >&2; exit 2; }
fi

if [ ! -e "$CACHE/compiled" ]; then
    precompile "$CACHE"/guest/usr/lib/python3*
    : >"$CACHE/compiled"
fi

mkdir -p "$work/src/hardware" "$work/src/tests/pi"
cp -r "$CACHE/lgpio" "$CACHE/modules" "$work/"
for module in __init__ claims encoder errors guardian heartbeat kernel_pins pins realtime watchdog wires; do
    cp "$REPO/hardware/$module.py" "$work/src/hardware/"
done
cp "$REPO"/tests/pi/{conformance,guest,uinput}.py "$work/src/tests/pi/"
precompile "$work/src" "$work/lgpio"
cat >"$work/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs tmp /tmp
# RPi.GPIO looks for these lines, which the kernel's own file lacks on arm64.
printf 'Hardware\t: BCM2835\nRevision\t: a02082\nSerial\t\t: 00000000deadbeef\n' >/tmp/cpuinfo
/bin/busybox mount --bind /tmp/cpuinfo /proc/cpuinfo
/bin/busybox ifconfig lo up 2>/dev/null
for module in evdev uinput; do /bin/busybox insmod /modules/$module.ko; done
cd /tmp
export PYTHONPATH=/src PYTHONDONTWRITEBYTECODE=1
/usr/bin/python3 -m tests.pi.guest RPi.GPIO
# On a Pi the firmware writes the revision into the device tree; here nobody does.
export PYTHONPATH=/lgpio:/src RPI_LGPIO_REVISION=a02082 LG_WD=/tmp
/usr/bin/python3 -m tests.pi.guest rpi-lgpio
echo PI-DONE
/bin/busybox sleep 1000
INIT
chmod 755 "$work/init"
(cd "$CACHE/guest" && find . -print0 | cpio -0 -o -H newc --quiet) >"$work/rfs"
(cd "$work" && find init src lgpio modules -print0 | cpio -0 -o -H newc --quiet) >>"$work/rfs"

echo "==> booting"
: >"$work/log"
qemu-system-aarch64 -M raspi3b -m 1024 -smp 4 -kernel "$CACHE/boot/vmlinuz" -dtb "$CACHE/boot/pi.dtb" \
    -initrd "$work/rfs" -serial stdio -monitor none -display none -no-reboot \
    -append "console=ttyAMA0,115200 rdinit=/init panic=-1 iomem=relaxed quiet" \
    </dev/null >"$work/log" 2>&1 &
machine=$!
trap 'kill "$machine" 2>/dev/null || true; rm -rf "$work"' EXIT
# A reboot of this machine hangs: the emulator is ended when the guest says that it is done.
for ((waited = 0; waited < LIMIT_S; waited++)); do
    if grep -q 'PI-DONE\|Kernel panic' "$work/log" || ! kill -0 "$machine" 2>/dev/null; then break; fi
    sleep 1
done
tr -d '\r' <"$work/log" | grep -v '^\[' || true
[ "$(grep -c 'PI PASSED' "$work/log")" = 2 ]

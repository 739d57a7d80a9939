#!/usr/bin/env bash
# Make a RaaS robot host out of Raspberry Pi OS (64 bit, Bookworm or newer). Safe to repeat: what is right stays.
#
#     sudo hardware/install.sh [--dry-run] [--name NAME] [--wiring standard|original-2020]
#                              [--plant hardware|simulated] [--only STEP]... [--root DIR]
#
#     --dry-run   change nothing; say what would change
#     --name      the robot's name, as spectators see it (default: this host's name)
#     --wiring    which pins (hardware/wiring/*.env); a robot of 2020 keeps its wires with original-2020
#     --plant     simulated: a host without motor, for trying things out (no boot settings are changed)
#     --only      one step: packages, users, boot, software, units. May be repeated
#     --root      work on the system below DIR, e.g. a mounted card; steps users, boot and units only
#
# Steps: packages (apt), users (accounts and groups), boot (config.txt, cmdline.txt), software (/opt/raas),
# units (/etc/raas, systemd). Files it changes are kept once beside themselves as *.before-raas.
set -euo pipefail

SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STEPS=(packages users boot software units)
dry='' root='' name='' wiring=standard plant=hardware changed='' reboot=''
only=()

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '2,/^set -euo/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

# Run a command, or say that one would.
run() {
    if [ -n "$dry" ]; then note "would run: $*"; else "$@"; fi
}

# put FILE MODE: make FILE hold standard input; keep its first state as FILE.before-raas. Sets `changed`.
put() {
    local file=$1 mode=$2 new
    changed=''
    new=$(mktemp)
    cat >"$new"
    if [ -f "$file" ] && cmp -s "$new" "$file"; then
        note "$file is right"
    elif [ -n "$dry" ]; then
        changed=1
        note "would write $file"
        [ ! -f "$file" ] || diff -u "$file" "$new" | sed -n '3,$s/^/      /p' || true
    else
        changed=1
        mkdir -p "$(dirname "$file")"
        if [ -f "$file" ] && [ ! -e "$file.before-raas" ]; then cp -p "$file" "$file.before-raas"; fi
        # Beside the file and renamed: a power cut leaves the old one or the new one.
        cp "$new" "$file.raas-new"
        chmod "$mode" "$file.raas-new"
        mv "$file.raas-new" "$file"
        note "wrote $file"
    fi
    rm -f "$new"
}

step_packages() {
    say "packages"
    [ -z "$root" ] || { note "skipped: --root works on files only"; return; }
    local wanted=(git ca-certificates python3 python3-venv python3-dev build-essential docker.io gpiod) missing=() one
    # pinctrl, with which motor-off writes the pins; Raspberry Pi OS alone has it.
    if [ "$plant" = hardware ]; then command -v pinctrl >/dev/null || wanted+=(raspi-utils); fi
    for one in "${wanted[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$one" 2>/dev/null || true)" = installed ] || missing+=("$one")
    done
    if [ ${#missing[@]} = 0 ]; then note "all there"; return; fi
    run apt-get -q update
    run env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"
}

has() { grep -q "^$2:" "$root/etc/$1" 2>/dev/null; }

step_users() {
    say "accounts"
    local prefix=() group user
    [ -z "$root" ] || prefix=(--prefix "$root")
    for group in raas gpio input spi docker; do
        has group "$group" || run groupadd "${prefix[@]}" --system "$group"
    done
    for user in raas-controller raas-guardian raas-runner; do
        if has passwd "$user"; then note "$user is there"; continue; fi
        run useradd "${prefix[@]}" --system --gid raas --home-dir "/var/lib/$user" --no-create-home \
            --shell /usr/sbin/nologin "$user"
    done
    # For its commands by hand (`image build`, `doctor`); the unit asks for the group by itself.
    if grep -Eq '^docker:.*[:,]raas-runner(,|$)' "$root/etc/group" 2>/dev/null; then
        note "raas-runner may use Docker"
    else
        run usermod "${prefix[@]}" --append --groups docker raas-runner
    fi
}

# config.txt on standard input -> with our settings, once, at its end.
config_txt() {
    # Earlier text of ours goes; the stock line that gives the PWM channels to the sound output becomes a comment.
    sed -e '/^# raas begin/,/^# raas end/d' -e 's/^dtparam=audio=on/#raas# &/' |
        sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
    cat <<-END

	# raas begin: written by hardware/install.sh, changes between these two lines are lost
	[all]
	# The motor's enable line is low from the first moment on, before Linux runs.
	gpio=$RAAS_PIN_ENABLE=op,dl
	gpio=$RAAS_PIN_STOP=ip,pd
	# Counting the encoder's edges in the kernel: $RAAS_PIN_ENCODER_A is channel A, $RAAS_PIN_ENCODER_B is B.
	dtoverlay=rotary-encoder,pin_a=$RAAS_PIN_ENCODER_A,pin_b=$RAAS_PIN_ENCODER_B,relative_axis=1,steps-per-period=4
	END
    if [ "$RAAS_PWM" = hardware ]; then
        cat <<-END
		# Hardware PWM; the analogue sound output would use the same channels.
		dtparam=audio=off
		dtoverlay=pwm-2chan,$(pwm_pins)
		END
    fi
    cat <<-END
	# The LED matrix.
	dtparam=spi=on
	# No serial console on GPIO 14 and 15.
	enable_uart=0
	# raas end
	END
}

# The overlay's words for the two pins; each belongs to one of the two channels.
pwm_pins() {
    case $RAAS_PIN_IN1,$RAAS_PIN_IN2 in
        12,13 | 13,12) echo pin=12,func=4,pin2=13,func2=4 ;;
        18,19 | 19,18) echo pin=18,func=2,pin2=19,func2=2 ;;
    esac
}

# cmdline.txt on standard input -> the same words, the memory cgroup on, no serial console.
cmdline_txt() {
    local word words=() kept=()
    read -r -a words || true
    for word in "${words[@]}"; do
        case $word in
            console=serial* | console=ttyAMA* | console=ttyS* | cgroup_disable=memory | cgroup_enable=memory) ;;
            *) kept+=("$word") ;;
        esac
    done
    # Without it the kernel ignores every memory limit of a container.
    printf '%s\n' "${kept[*]} cgroup_enable=memory"
}

step_boot() {
    say "boot settings"
    if [ "$plant" = simulated ]; then note "skipped: no motor here"; return; fi
    if [ "$RAAS_PWM" = hardware ] && [ -z "$(pwm_pins)" ]; then
        die "wiring $wiring: GPIO $RAAS_PIN_IN1 and $RAAS_PIN_IN2 are no two PWM channels: take 12 and 13, or 18 and 19"
    fi
    local boot new
    for boot in "$root/boot/firmware" "$root/boot" ''; do
        if [ -f "$boot/config.txt" ] && [ -f "$boot/cmdline.txt" ]; then break; fi
    done
    if [ -z "$boot" ]; then note "skipped: no config.txt here, so this is no Raspberry Pi"; return; fi
    # A cmdline.txt that names no root file system, or has more than one line, would not start.
    if [ "$(grep -c . "$boot/cmdline.txt")" != 1 ] || ! grep -q 'root=' "$boot/cmdline.txt"; then
        die "$boot/cmdline.txt is not the one line with root= that it should be: mend it by hand, then repeat"
    fi
    new=$(config_txt <"$boot/config.txt")
    put "$boot/config.txt" 755 <<<"$new"
    reboot=$reboot$changed
    new=$(cmdline_txt <"$boot/cmdline.txt")
    put "$boot/cmdline.txt" 755 <<<"$new"
    reboot=$reboot$changed
}

# RPi.GPIO sees no edges on kernels from 6.6 on and nothing at all on a Pi 5; rpi-lgpio takes its place. Never both.
needs_lgpio() {
    local major minor
    IFS=.- read -r major minor _ <<<"$(uname -r)"
    [ $((major * 100 + minor)) -ge 606 ] || grep -qa 'Raspberry Pi 5' /proc/device-tree/model 2>/dev/null
}

step_software() {
    say "software in /opt/raas"
    [ -z "$root" ] || { note "skipped: --root works on files only"; return; }
    local pip=/opt/raas/venv/bin/pip new
    [ -x $pip ] || run python3 -m venv /opt/raas/venv
    # The versions the tests ran with.
    new=$(sed -n '/^[A-Za-z0-9]/s/ *\\$//p' "$SRC/requirements.lock")
    put /opt/raas/constraints.txt 644 <<<"$new"
    run $pip install --quiet --disable-pip-version-check --upgrade --constraint /opt/raas/constraints.txt \
        "${SRC}[hardware,runner]"
    run ln -sfn /opt/raas/venv/bin/raas-controller /opt/raas/venv/bin/raas-runner /usr/local/bin/
    if [ "$plant" = hardware ] && needs_lgpio; then
        run $pip uninstall -qq --yes RPi.GPIO
        run $pip install --quiet --disable-pip-version-check rpi-lgpio
        # Both bring a package called RPi: what the other took away with itself is put back.
        run $pip install --quiet --disable-pip-version-check --force-reinstall --no-deps rpi-lgpio
    fi
}

step_units() {
    say "settings and units"
    local unit units=(raas-controller raas-runner) offline=()
    # Without a motor there is no enable line to guard.
    [ "$plant" = simulated ] || units+=(raas-guardian)
    put "$root/etc/raas/wiring.env" 644 <"$SRC/hardware/wiring/$wiring.env"
    # A host's own settings stay as they are.
    if [ -f "$root/etc/raas/controller.env" ]; then
        note "$root/etc/raas/controller.env stays as it is"
    else
        put "$root/etc/raas/controller.env" 644 <<<"RAAS_ROBOT_NAME=$name"$'\n'"RAAS_PLANT=$plant"
    fi
    put "$root/opt/raas/bin/motor-off" 755 <"$SRC/hardware/systemd/motor-off"
    for unit in "${units[@]}"; do
        put "$root/etc/systemd/system/$unit.service" 644 <"$(unit_file "$unit")"
    done
    if [ -n "$root" ]; then
        offline=(--root "$root")
    else
        run install -d -o raas-runner -g raas -m 750 /var/lib/raas-runner
        if [ -d /run/systemd/system ]; then run systemctl daemon-reload; fi
    fi
    run systemctl "${offline[@]}" --quiet enable "${units[@]/%/.service}"
}

# Where the source of a unit lies.
unit_file() {
    local folder
    for folder in hardware deploy; do
        if [ -f "$SRC/$folder/systemd/$1.service" ]; then echo "$SRC/$folder/systemd/$1.service"; fi
    done
}

while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry=1 ;;
        --name | --wiring | --plant | --only | --root)
            [ $# -gt 1 ] || die "$1 needs a value: see --help"
            case $1 in
                --name) name=$2 ;;
                --wiring) wiring=$2 ;;
                --plant) plant=$2 ;;
                --only) only+=("$2") ;;
                --root) root=${2%/} ;;
            esac
            shift ;;
        -h | --help) usage; exit 0 ;;
        *) die "unknown option $1: see --help" ;;
    esac
    shift
done

name=${name:-$(uname -n | tr '[:upper:]' '[:lower:]' | cut -d. -f1)}
[[ $name =~ ^[a-z][a-z0-9_-]{0,39}$ ]] ||
    die "the name '$name' will not do: 1 to 40 lower-case letters, digits, - or _, a letter first (--name goose)"
[ -f "$SRC/hardware/wiring/$wiring.env" ] || die "no wiring is called '$wiring': standard or original-2020"
[[ $plant = hardware || $plant = simulated ]] || die "--plant is hardware or simulated, not '$plant'"
[ -z "$root" ] || [ -d "$root" ] || die "$root is no directory"
for step in "${only[@]}"; do
    [[ " ${STEPS[*]} " = *" $step "* ]] || die "no step is called '$step': ${STEPS[*]}"
done
[ -n "$dry$root" ] || [ "$(id -u)" = 0 ] || die "this changes the system: run it with sudo, or look first with --dry-run"
# shellcheck source=hardware/wiring/standard.env
. "$SRC/hardware/wiring/$wiring.env"

[ ${#only[@]} -gt 0 ] || only=("${STEPS[@]}")
for step in "${STEPS[@]}"; do
    if [[ " ${only[*]} " = *" $step "* ]]; then "step_$step"; fi
done

say "done${dry:+ (dry run: nothing was changed)}"
if [ -n "$reboot" ]; then note "the boot settings are new: reboot before the next step (sudo reboot)"; fi
if [ -z "$dry$root" ]; then note "next: hardware/docs/raspberry-pi.md, from the first check after the reboot"; fi

#!/bin/sh
# First process of the machine: its own part of the control groups becomes its to write, then systemd takes over.
set -e
for it in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if mountpoint --quiet "$it"; then mount -o remount,bind,rw "$it"; fi
done
# Version 1 (hybrid, as systemd calls it): the part that tells which processes are a unit's.
if [ -d /sys/fs/cgroup/systemd ]; then
    mkdir /sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
fi
exec /sbin/init

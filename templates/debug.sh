#!/bin/sh
# debug.sh [FOLDER]: how this machine stands, then its worker's start-up again with every command printed. Nothing secret is shown.
folder=${1:-$(cd "$(dirname "$0")" && pwd)}
# shellcheck source=/dev/null
. "$folder/ecloud.conf"

title() { printf '\n=== %s\n' "$*"; }
title "machine"
(
    set -x
    date -u
    uname -a
    cat /proc/uptime
    python3 --version
    ssh -V
    df -h "$folder"
    ls -la "$folder"
)
title "network"
(
    set -x
    ip addr show || cat /proc/net/fib_trie
    ip route show
)
title "pulse: until when this machine may live"
(
    set -x
    cat "$folder/pulse"
    cat /proc/sys/kernel/random/boot_id
)
title "processes of the worker"
for process in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -qxF -e "ECLOUD_MACHINE=$folder" -e "ECLOUD_WORKER_FOLDER=$folder/work"; then
        printf '%s %s\n' "${process#/proc/}" "$(tr '\0' ' ' <"$process/cmdline" | cut -c1-200)"
    fi
done
if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
    title "service"
    (
        set -x
        systemctl status --no-pager --lines 0 ecloud-worker.service ecloud-watchdog.timer
        journalctl --no-pager --lines 60 --unit ecloud-worker.service
    )
elif [ -r "$folder/log" ]; then
    title "log"
    tail -n 60 "$folder/log"
fi
title "start-up: what the machine is prepared with"
sh -x "$folder/setup.sh" "$folder"
title "start-up: what this machine asks the boss, and what it is answered"
(
    set -x
    python3 -I "$folder/join.py" "$folder" --look
)

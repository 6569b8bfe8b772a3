#!/bin/sh
# poweroff.sh FOLDER REASON: ends this machine for good; without a command for that, all that its worker has started, this included.
folder=$1
# shellcheck source=/dev/null
. "$folder/ecloud.conf"
echo "ecloud: $2; this machine ends" >&2
if [ -n "$poweroff" ]; then exec sh -c "$poweroff"; fi
for round in 1 2 3; do # a process may have forked while we looked
    for process in /proc/[0-9]*; do
        pid=${process#/proc/}
        if [ "$pid" != "$$" ] && [ "$pid" != "$PPID" ] &&
            tr '\0' '\n' 2>/dev/null <"$process/environ" |
            grep -qxF -e "ECLOUD_MACHINE=$folder" -e "ECLOUD_WORKER_FOLDER=$folder/work"; then
            kill -KILL "$pid" 2>/dev/null
        fi
    done
done
echo "ecloud: what this machine's worker had started has ended ($round looks)" >&2
if tr '\0' '\n' 2>/dev/null <"/proc/$PPID/environ" | grep -qxF "ECLOUD_MACHINE=$folder"; then kill -KILL "$PPID"; fi

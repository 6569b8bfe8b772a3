#!/bin/sh
# watchdog.sh FOLDER [PERIOD]: ends this machine when its worker's time is over, whether the worker lives, is dead, or never came up.
#
# The worker writes into the file `pulse` until when it may live: this boot's id, and seconds of uptime. Without a pulse of this boot the
# machine has the time that it may take to join. With PERIOD it looks again and again, else once (systemd's timer repeats it).
folder=$1 period=$2
# By this in their environment the processes are known that end with the worker, this one included.
if [ "$ECLOUD_MACHINE" != "$folder" ]; then exec env ECLOUD_MACHINE="$folder" sh "$0" "$@"; fi
# shellcheck source=/dev/null
. "$folder/ecloud.conf"

look() {
    read -r up _ </proc/uptime
    read -r boot </proc/sys/kernel/random/boot_id
    # shellcheck disable=SC2154  # from ecloud.conf
    deadline=$join_deadline
    if [ -r "$folder/pulse" ] && read -r of until <"$folder/pulse" && [ "$of" = "$boot" ]; then
        case $until in
            '' | *[!0-9]*) ;;
            *) deadline=$until ;;
        esac
    fi
    if [ "${up%%.*}" -ge "$deadline" ]; then sh "$folder/poweroff.sh" "$folder" "its time was over at $deadline s of uptime"; fi
}

look
while [ -n "$period" ]; do
    sleep "$period"
    look
done

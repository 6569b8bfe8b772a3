#!/bin/sh
# run.sh FOLDER: keeps this machine's worker running: joins, starts it again when it dies, and ends the machine when it is over for good.
folder=$1
# By this in their environment the processes are known that end with the worker, this one included.
if [ "$ECLOUD_MACHINE" != "$folder" ]; then exec env ECLOUD_MACHINE="$folder" sh "$0" "$@"; fi
# shellcheck source=/dev/null
. "$folder/ecloud.conf"
umask 022
asked='' child=''
trap 'asked=yes; [ -z "$child" ] || kill -TERM "$child"' TERM INT

sh "$folder/setup.sh" "$folder"
if [ -x "$folder/python/bin/python3" ]; then
    PATH=$folder/python/bin:$PATH
    export PATH
fi
while [ -z "$asked" ]; do
    python3 -I "$folder/join.py" "$folder" &
    child=$!
    while :; do # a signal ends the wait, not the child
        wait "$child"
        code=$?
        kill -0 "$child" 2>/dev/null || break
    done
    child=''
    case $code in
        0) over='the worker has ended' ;;
        3) over='the boss does not let this machine in' ;;
        4) over='the boss was not reached in time' ;;
        *) over='' ;;
    esac
    if [ -n "$asked" ]; then exit 0; fi
    if [ -n "$over" ]; then exec sh "$folder/poweroff.sh" "$folder" "$over"; fi
    echo "ecloud: the worker ended with code $code; starting it again" >&2
    sleep "${restart_pause:-5}" &
    wait "$!"
done

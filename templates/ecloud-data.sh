#!/bin/sh
# ecloud-data DEVICE: mounts the volume with the data at /data, now and at each boot; only a volume with nothing on it gets a file system.
# DEVICE may be a pattern, such as /dev/disk/by-id/*0b8a7f64-5d6c-4c1e-9*, of which the first is meant.
# Without DEVICE /data is a folder of the server's own disk.
set -eu
mkdir -p /data
if [ -n "$1" ]; then
    device=''
    for wait in $(seq 60); do # an attached volume may come later than the server
        # shellcheck disable=SC2086  # a pattern
        for device in $1; do
            if [ -b "$device" ]; then break 2; fi
        done
        echo "ecloud: waiting for $1 ($wait)" >&2
        sleep 2
    done
    found=0
    blkid -p "$device" >/dev/null || found=$?
    if [ "$found" = 2 ]; then mkfs.ext4 -q -L ecloud-data "$device"; fi # 8 is more than one thing, of which none may be lost
    kind=$(blkid -s TYPE -o value "$device")
    id=$(blkid -s UUID -o value "$device")
    if ! grep -q " /data " /etc/fstab; then echo "UUID=$id /data $kind defaults,noatime,nofail 0 2" >>/etc/fstab; fi
    if ! mountpoint -q /data; then mount /data; fi
fi
install -d -o ecloud -g ecloud -m 700 /data/ecloud

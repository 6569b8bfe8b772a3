#!/bin/sh
# ecloud-data DEVICE: mounts the volume with the data at /data, now and at each boot; only a volume with nothing on it gets a file system.
# Without DEVICE /data is a folder of the server's own disk.
set -eu
device=$1
mkdir -p /data
if [ -n "$device" ]; then
    for wait in $(seq 60); do # an attached volume may come later than the server
        if [ -b "$device" ]; then break; fi
        echo "ecloud: waiting for $device ($wait)" >&2
        sleep 2
    done
    if ! blkid "$device" >/dev/null; then mkfs.ext4 -q -L ecloud-data "$device"; fi
    kind=$(blkid -s TYPE -o value "$device")
    id=$(blkid -s UUID -o value "$device")
    if ! grep -q " /data " /etc/fstab; then echo "UUID=$id /data $kind defaults,noatime,nofail 0 2" >>/etc/fstab; fi
    if ! mountpoint -q /data; then mount /data; fi
fi
install -d -o ecloud -g ecloud -m 700 /data/ecloud

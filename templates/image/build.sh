#!/bin/bash
# build.sh DIR [PACKAGE...]: an image for workers that boots in seconds: Debian with cloud-init, OpenSSH, Python, and these packages.
#
# Needs mmdebstrap, e2fsprogs and qemu-utils, and root. Writes DIR/vmlinuz, DIR/initrd.img and DIR/worker.qcow2: a root file system without
# boot loader, whose kernel and initrd are images of their own, and prints the commands that give them to an OpenStack.
# A plain cloud image of Debian or Ubuntu does as well: this one has what your tasks need, so that no VM installs it anew.
#
# Variables: SUITE (bookworm), MIRROR (what apt's sources here say), SIZE (3G).
set -euo pipefail

out=${1:?"usage: build.sh DIR [PACKAGE...]"}
shift
suite=${SUITE:-bookworm}
packages=systemd-sysv,dbus,udev,linux-image-cloud-amd64,initramfs-tools,zstd,netplan.io,systemd-resolved,iproute2,netbase
packages+=,cloud-init,cloud-guest-utils,e2fsprogs,sudo,openssh-server,openssh-client,util-linux,bash,python3,python3-venv,ca-certificates
for package in "$@"; do packages+=,$package; done

mkdir -p "$out"
work=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
sources=()
if [ -n "${MIRROR:-}" ]; then
    sources=("$MIRROR")
else
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        if [ -s "$file" ] && grep -qE '^(deb |Types:)' "$file"; then sources+=("$file"); fi
    done
fi

# shellcheck disable=SC2016  # "$1" is mmdebstrap's: the new root
mmdebstrap --mode=root --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --customize-hook='echo worker >"$1/etc/hostname"' \
    --customize-hook='echo "LABEL=worker / ext4 defaults,noatime 0 1" >"$1/etc/fstab"' \
    --customize-hook='echo "datasource_list: [ConfigDrive, OpenStack, NoCloud, None]" >"$1/etc/cloud/cloud.cfg.d/90_ecloud.cfg"' \
    --customize-hook='rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/machine-id"; touch "$1/etc/machine-id"' \
    --customize-hook='for unit in apt-daily.timer apt-daily-upgrade.timer; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done' \
    "$suite" "$work/root" "${sources[@]}"

cp -L "$work"/root/boot/vmlinuz-* "$out/vmlinuz"
cp -L "$work"/root/boot/initrd.img-* "$out/initrd.img"
rm -rf "$work"/root/boot/{vmlinuz,initrd.img}-* "$work"/root/var/cache/apt/*
truncate -s "${SIZE:-3G}" "$work/worker.raw"
mke2fs -q -F -t ext4 -L worker -d "$work/root" "$work/worker.raw"
qemu-img convert -O qcow2 -c "$work/worker.raw" "$out/worker.qcow2"

cat <<TOLD
Made $(du -h "$out/worker.qcow2" | cut -f1) of image. To use it:

kernel=\$(openstack image create -f value -c id --disk-format aki --container-format aki --file "$out/vmlinuz" ecloud-kernel)
initrd=\$(openstack image create -f value -c id --disk-format ari --container-format ari --file "$out/initrd.img" ecloud-initrd)
openstack image create --disk-format qcow2 --container-format bare --file "$out/worker.qcow2" --property kernel_id="\$kernel" \\
    --property ramdisk_id="\$initrd" --property os_command_line="root=LABEL=worker console=ttyS0" ecloud-worker
TOLD

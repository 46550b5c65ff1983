#!/bin/busybox sh
# First program of a guest, in the initramfs: loads the virtio modules, mounts the root and the work disk, gives the
# guest the identity that lies on its work disk, and hands over to the image's own init.
#
# Contract with regatta on the host:
#   kernel arguments  root=DEVICE (ext4), regatta.work=DEVICE (ext4, mounted at /root), and for each further disk that is
#                     mounted regatta.disk=NAME:DEVICE:PLACE (ext4; DEVICE where no disk has the serial number NAME; the
#                     place `modules` is the kernel's); or instead regatta.probe, which only shows that the machine can
#                     run the kernel, and ends it
#   work disk         .regatta/guest/{hostname,machine-id,address,gateway,nameserver,address6,gateway6,
#                     ssh_host_ed25519_key,ssh_host_ed25519_key.pub}, one line each but the keys
#   console           every line of ours starts with `regatta-init: `; after `regatta-init: fatal: ` the machine powers
#                     off, after any other the boot goes on
# All waits are bounded. Nothing here reads the network: addresses are static, so there is no `ip=` and no DHCP.

PATH=/bin
export PATH
NEW=/sysroot
GUEST=$NEW/root/.regatta/guest

say() { echo "regatta-init: $*"; }

fatal() {
    say "fatal: $*"
    sync
    # Where a reset is what ends the machine (Firecracker), powering off would leave it halted.
    case " $COMMAND_LINE " in *" reboot=k "*) reboot -f ;; esac
    # Starting again would end here again. Leaving pid 1 panics the kernel: the last way out, should the others fail.
    poweroff -f
    reboot -f
    exit 1
}

# argument NAME: value of NAME=VALUE on the kernel command line; fails when it is not there.
argument() {
    for word in $COMMAND_LINE; do
        case $word in "$1"=*) echo "${word#*=}" && return 0 ;; esac
    done
    return 1
}

# await_disk DEVICE: virtio devices appear a moment after their module is loaded; 10 s at most.
await_disk() {
    tries=0
    until [ -b "$1" ]; do
        tries=$((tries + 1))
        [ $tries -le 500 ] || fatal "no disk $1 after 10 s"
        usleep 20000
    done
}

# guest_value NAME: first line of one of the guest's identity files; empty when it is not there.
guest_value() {
    value=
    [ -r "$GUEST/$1" ] && read -r value <"$GUEST/$1"
    echo "$value"
}

# put TEXT FILE: makes FILE of the new root a regular file with this line; untouched when it is so already.
put() {
    [ ! -L "$NEW$2" ] && [ "$(cat "$NEW$2" 2>/dev/null)" = "$1" ] && return
    rm -f "$NEW$2" && echo "$1" >"$NEW$2" || fatal "cannot write $2"
}

load_modules() {
    while read -r module; do
        # One that finds no hardware (crc32c_intel) fails and is not missed; a disk that is missed is named later.
        insmod "/modules/$module" || say "cannot load $module"
    done </modules/order
}

mount_disks() {
    root=$(argument root) || fatal "no root= on the kernel command line"
    work=$(argument regatta.work) || fatal "no regatta.work= on the kernel command line"
    await_disk "$root"
    mount -t ext4 "$root" $NEW || fatal "cannot mount the root disk $root"
    await_disk "$work"
    mkdir -p $NEW/root && mount -t ext4 "$work" $NEW/root || fatal "cannot mount the work disk $work"
}

# disk_device NAME DEVICE: the disk with this serial number, else the device.
disk_device() {
    for disk in /sys/block/vd*; do
        [ "$(cat "$disk/serial" 2>/dev/null)" = "$1" ] && echo "/dev/${disk##*/}" && return
    done
    echo "$2"
}

# mount_further NAME DEVICE PLACE
mount_further() {
    await_disk "$2"
    device=$(disk_device "$1" "$2")
    case $3 in
        modules)
            lib=$NEW/lib
            # A link that starts at the root would lead out of it from here.
            [ ! -L $lib ] || lib=$NEW/usr/lib
            place=$lib/modules/$(uname -r)
            mkdir -p "$place" && mount -t ext4 -o ro "$device" "$place" || say "cannot mount the kernel's modules"
            ;;
        *)
            # A guest without its data must not look like one that has none.
            mkdir -p "$NEW$3" && mount -t ext4 "$device" "$NEW$3" || fatal "cannot mount the disk $1 at $3"
            ;;
    esac
}

mount_further_disks() {
    for word in $COMMAND_LINE; do
        case $word in
            regatta.disk=*)
                word=${word#*=}
                rest=${word#*:}
                mount_further "${word%%:*}" "${rest%%:*}" "${rest#*:}"
                ;;
        esac
    done
}

set_name() {
    name=$(guest_value hostname)
    [ -n "$name" ] || { say "no hostname on the work disk" && return; }
    hostname "$name" || fatal "cannot set the hostname $name"
    put "$name" /etc/hostname
    # Foreign lines stay; ours is marked.
    hosts=$(grep -v '# regatta$' $NEW/etc/hosts 2>/dev/null)
    [ -n "$hosts" ] || hosts="127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback"
    put "$hosts
127.0.1.1 $name # regatta" /etc/hosts
}

set_machine_id() {
    id=$(guest_value machine-id)
    [ -n "$id" ] || { say "no machine-id on the work disk" && return; }
    put "$id" /etc/machine-id
}

set_host_key() {
    key=ssh_host_ed25519_key
    [ -f $GUEST/$key ] || { say "no SSH host key on the work disk" && return; }
    mkdir -p $NEW/etc/ssh
    for file in $key $key.pub; do
        cmp -s $GUEST/$file $NEW/etc/ssh/$file && continue
        # Gets its mode before its content, and its name last: at no moment is a private key readable by others.
        rm -f $NEW/etc/ssh/$file.new
        (umask 077 && cp $GUEST/$file $NEW/etc/ssh/$file.new) || fatal "cannot write /etc/ssh/$file"
        mv $NEW/etc/ssh/$file.new $NEW/etc/ssh/$file || fatal "cannot write /etc/ssh/$file"
    done
    chown 0:0 $NEW/etc/ssh/$key $NEW/etc/ssh/$key.pub
    chmod 0600 $NEW/etc/ssh/$key && chmod 0644 $NEW/etc/ssh/$key.pub
}

# The first interface that is ethernet (type 1) and has a device behind it.
first_interface() {
    for link in /sys/class/net/*; do
        [ -e "$link/device" ] && [ "$(cat "$link/type")" = 1 ] && echo "${link##*/}" && return 0
    done
    return 1
}

set_network() {
    ip link set lo up
    address=$(guest_value address)
    gateway=$(guest_value gateway)
    nameserver=$(guest_value nameserver)
    servers=
    for server in $nameserver; do
        servers="${servers}nameserver $server
"
    done
    [ -z "$servers" ] || put "${servers%?}" /etc/resolv.conf
    [ -n "$address" ] || { say "no address on the work disk" && return; }
    interface=$(first_interface) || fatal "no network interface"
    ip address add "$address" dev "$interface" || fatal "cannot set the address $address on $interface"
    ip link set "$interface" up || fatal "cannot bring up $interface"
    [ -z "$gateway" ] || ip route add default via "$gateway" || fatal "cannot route by $gateway"
    address6=$(guest_value address6)
    gateway6=$(guest_value gateway6)
    [ -n "$address6" ] || return 0
    ip -6 address add "$address6" dev "$interface" || fatal "cannot set the address $address6 on $interface"
    [ -z "$gateway6" ] || ip -6 route add default via "$gateway6" dev "$interface" || fatal "cannot route by $gateway6"
}

/bin/busybox --install -s /bin || exit 1
mount -t proc proc /proc || fatal "cannot mount /proc"
mount -t sysfs sysfs /sys || fatal "cannot mount /sys"
mount -t devtmpfs devtmpfs /dev || fatal "cannot mount /dev"
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run || fatal "cannot mount /run"
read -r COMMAND_LINE </proc/cmdline
case " $COMMAND_LINE " in *" regatta.probe "*) say "probe passed" && reboot -f ;; esac

load_modules
mount_disks
mount_further_disks
[ -d $GUEST ] || say "no .regatta/guest on the work disk: the guest keeps the identity of its image"
set_name
set_machine_id
set_host_key
set_network
[ -x $NEW/sbin/init ] || [ -L $NEW/sbin/init ] || fatal "the image has no /sbin/init"
for dir in dev proc sys run; do
    mkdir -p $NEW/$dir && mount -o move /$dir $NEW/$dir || fatal "cannot move /$dir"
done
say "starting the guest's init"
exec switch_root $NEW /sbin/init

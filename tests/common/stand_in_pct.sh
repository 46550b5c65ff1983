#!/bin/sh
# Stands for `pct` and `qm` of Proxmox VE, as strict as they are with `set`: root only, one guest by its number, then
# options that are known, each with a value of its format. Everything else is refused, with their exit code. `pct exec` goes
# into the namespaces of a process that a test made, as the real one does with those of a container.
refuse() { echo "$1" >&2; exit 255; }
[ "$(id -u)" = 0 ] || refuse "please run as root"
if [ "${0##*/} $1" = "pct exec" ]; then
    echo "$2" | grep -Eqx '[1-9][0-9]{2,8}' || refuse "400 Parameter verification failed."
    [ "$3" = -- ] || refuse "Unknown option: $3"
    vmid=$2
    shift 3
    [ $# -gt 0 ] || refuse "missing command"
    [ -f /run/regatta-stand-in ] || { echo "Configuration file 'nodes/pve1/lxc/$vmid.conf' does not exist" >&2; exit 2; }
    at=$(cat /run/regatta-stand-in)
    init=$(cat "$at/init-$vmid" 2>/dev/null) && kill -0 "$init" 2>/dev/null || refuse "container '$vmid' not running!"
    echo "exec $vmid -- $*" >>"$at/log"
    nsenter --target "$init" --mount --pid -- "$@"
    exit $?
fi
[ "$1" = set ] || refuse "ERROR: unknown command '${0##*/} $1'"
echo "$2" | grep -Eqx '[1-9][0-9]{2,8}' || refuse "400 Parameter verification failed."
shown="$*"
shift 2
[ $# -gt 0 ] || refuse "no options specified"
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || refuse "Option $1 requires an argument"
    case "$1" in
    --digest) format='[0-9a-f]{40}' ;;
    --features) format='((keyctl|nesting|fuse|mknod)=[01],?)+' ;;
    --hookscript) format='[a-z0-9-]+:snippets/[^ ,]+' ;;
    --delete) format='(features|hookscript|dev[0-9]+|mp[0-9]+)' ;;
    --mp[0-9]) format='[^ ,]+(,[a-z]+=[^ ,]+)+' ;;
    --dev[0-9]) format='/dev/[^ ,]+(,[a-z]+=[^ ,]+)*' ;;
    *) refuse "Unknown option: $1" ;;
    esac
    printf '%s\n' "$2" | grep -Eqx -e "$format" || refuse "400 Parameter verification failed."
    shift 2
done
# Where a test wants to know what ran.
[ ! -f /run/regatta-stand-in ] || echo "$shown" >>"$(cat /run/regatta-stand-in)/log"

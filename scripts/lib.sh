# Shared by the scripts of this folder; source it. It defines functions and extends PATH, and does nothing else.
# shellcheck shell=bash

# Programs for disks live here, and an ordinary user's PATH on Debian leaves these out.
PATH=$PATH:/usr/sbin:/sbin

RUST_WANTED=1.95

say() { printf '%s\n' "$*"; }

complain() { printf '%s\n' "$*" >&2; }

heading() {
    if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
        printf '\n\033[1m== %s\033[0m\n' "$*"
    else
        printf '\n== %s\n' "$*"
    fi
}

has() { command -v "$1" >/dev/null 2>&1; }

# What regatta itself runs, as PROGRAM:PACKAGE.
RUN_NEEDS='qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils mmdebstrap:mmdebstrap
    debugfs:e2fsprogs dpkg-deb:dpkg depmod:kmod tar:tar xz:xz-utils ssh:openssh-client git:git'
# An ordinary user maps ids to build an image; root does not.
[ "$(id -u)" -eq 0 ] || RUN_NEEDS="$RUN_NEEDS newuidmap:uidmap"

# What the checks run besides; as root they also act as an ordinary user.
TEST_NEEDS='newuidmap:uidmap sudo:sudo jq:jq tmux:tmux nix-instantiate:nix-bin shellcheck:shellcheck
    ip:iproute2 nft:nftables setpriv:util-linux losetup:mount useradd:passwd cc:gcc openssl:openssl sfdisk:fdisk skopeo:skopeo
    umoci:umoci python3:python3-venv dnsmasq:dnsmasq-base pkill:procps busybox:busybox'
# Installing these starts servers on a person's machine, so only CI does it unasked.
[ "${CI:-}" != true ] || TEST_NEEDS="$TEST_NEEDS sshd:openssh-server docker-registry:docker-registry"

# Makes sure that there is a program for each PROGRAM:PACKAGE: installs what is missing with apt, as root or through sudo,
# or says what to install and ends the script.
need() {
    local pair missing=() programs=()
    for pair in "$@"; do
        if ! has "${pair%%:*}"; then
            programs+=("${pair%%:*}")
            missing+=("${pair#*:}")
        fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    if ! has apt-get; then
        complain "missing programs: ${programs[*]}"
        complain "they are in the Debian packages ${missing[*]}; install your distribution's, or run this inside \`nix develop\`"
        exit 1
    fi
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        # Without a terminal nobody can type a password.
        if has sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
            as_root=(sudo)
        else
            complain "missing programs: ${programs[*]}"
            complain "as root, run: apt-get update && apt-get install --no-install-recommends --no-remove ${missing[*]}"
            exit 1
        fi
    fi
    say "installing ${missing[*]}"
    install_packages "${as_root[@]}" -- "${missing[@]}"
}

# install_packages [sudo] -- PACKAGE…
# apt may never remove a package for us. When a newer qemu-utils from elsewhere stands in the way of qemu-system-x86 (they
# break each other unless their versions are equal), both are set to the version that apt would install of the latter.
install_packages() {
    local as_root=()
    while [ "$1" != -- ]; do
        as_root+=("$1")
        shift
    done
    shift
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o DPkg::Lock::Timeout=120)
    local install=("${apt[@]}" install --no-install-recommends --no-remove)

    "${install[@]}" "$@" </dev/null >/dev/null 2>&1 && return 0
    "${apt[@]}" update </dev/null || complain "the package lists could not be refreshed"
    "${install[@]}" "$@" </dev/null && return 0

    local version=
    [[ " $* " != *' qemu-'* ]] || version=$(LC_ALL=C apt-cache policy qemu-system-x86 | sed -n 's/^ *Candidate: //p')
    if [ -n "$version" ] && [ "$version" != '(none)' ]; then
        say "trying again with qemu-utils set to the version of qemu-system-x86, $version"
        "${install[@]}" --allow-downgrades "$@" "qemu-utils=$version" </dev/null && return 0
    fi
    complain "apt could not install: $*"
    exit 1
}

# Makes sure that cargo is there and new enough.
need_rust() {
    local found
    if ! has cargo && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
    found=$(cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9.]*\).*/\1/p')
    if [ -z "$found" ] || [ "$(printf '%s\n' "$RUST_WANTED" "$found" | sort -V | head -n 1)" != "$RUST_WANTED" ]; then
        complain "cargo $RUST_WANTED or newer is needed, found ${found:-none}"
        complain "install it from https://rustup.rs, then run: rustup toolchain install stable"
        exit 1
    fi
}

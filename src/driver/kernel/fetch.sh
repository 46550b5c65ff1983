# Run by mmdebstrap as a hook, with its own apt configuration: fetches and unpacks a kernel and busybox.
# $1: root of the tree. REGATTA_KERNEL: the kernel's package, or a metapackage that depends on it, or busybox-static.
# Leaves $1/regatta/tree (the unpacked packages) and $1/regatta/versions (`package version` lines).
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
mkdir "$1/regatta"
cd "$1/regatta"
kernel=$(apt-cache depends --important "$REGATTA_KERNEL" | sed -n 's/^ *Depends: \(linux-image-[a-z0-9][a-z0-9.+-]*\)$/\1/p' | head -n 1)
set -- "${kernel:-$REGATTA_KERNEL}"
# A kernel that is a file needs busybox alone.
[ "$1" != busybox-static ] || shift
apt-get --quiet --option APT::Sandbox::User=root download "$@" busybox-static >&2
for package in *.deb; do
    dpkg-deb --show --showformat '${Package} ${Version}\n' "$package" >>versions
    dpkg-deb --extract "$package" tree
    rm "$package"
done
# Newer releases compress modules; both merged and unmerged /usr are in use.
for modules in tree/lib/modules tree/usr/lib/modules; do
    [ ! -d "$modules" ] || find "$modules" -name '*.ko.xz' -exec xz --decompress --threads=0 {} +
done
# What modprobe looks things up in: packages leave making it to the machine they are installed on.
for modules in tree/lib/modules/* tree/usr/lib/modules/*; do
    [ ! -d "$modules" ] || depmod --basedir "${modules%/lib/modules/*}" "${modules##*/}"
done

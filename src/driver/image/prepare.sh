# Run by mmdebstrap as a hook when all packages are in place: puts declared files into the tree and runs declared
# commands there. $1: root of the tree. $REGATTA_INPUTS: a folder with files.tar, and command-1, command-2, …: arguments
# with a NUL byte behind each. Everything happens inside of the tree: a symbolic link in it leads to no file of this host.
set -eu
fail() {
    echo "E: $1" >&2
    exit 1
}
if [ -e "$REGATTA_INPUTS/files.tar" ]; then
    chroot "$1" tar --extract --directory=/ --numeric-owner --same-permissions <"$REGATTA_INPUTS/files.tar" || fail 'cannot write the declared files'
fi
number=1
output="$1/regatta-output"
while [ -e "$REGATTA_INPUTS/command-$number" ]; do
    command="$REGATTA_INPUTS/command-$number"
    shown=$(tr '\0\n' '  ' <"$command")
    # xargs only turns the file into arguments: -x lets it fail instead of making several calls.
    xargs -0 -x -a "$command" env --ignore-environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$1" </dev/null >"$output" 2>&1 ||
        fail "\`${shown% }\` failed: $(tail -n 1 "$output")"
    number=$((number + 1))
done
rm -f "$output"

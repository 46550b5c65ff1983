# Runs one session and writes down how it ended. Its arguments: the session's directory and how many bytes of each log
# are kept twice. It is the only writer of `child` and `exit`.
set -u
cd -- "$1" || exit 1
limit=$2

# Start time of a process (field 22 of /proc/PID/stat): with it, a pid names one process.
born() {
    stat=$(cat "/proc/$1/stat") || return 1
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    printf '%s\n' "${20}"
}

# Writes a file that is there whole or not at all.
note() {
    printf '%s\n' "$2" >"$1.new" && mv -f "$1.new" "$1"
}

# Keeps what comes in, at least the last $limit bytes of it. dd passes on what it gets at once; 64 reads later it is
# looked whether anything came. A log that cannot be written is no reason to stop the session.
keep() {
    size=0
    while dd bs=65536 count=64 2>/dev/null >>"$1" || { cat >/dev/null; return; }; do
        before=$size
        size=$(wc -c <"$1")
        [ "$size" -gt "$before" ] || return
        if [ "$size" -ge "$limit" ]; then
            mv -f "$1" "$1.1"
            size=0
        fi
    done
}

note runner "$$ $(born $$)" || exit 1
mkfifo out err || exit 1
: >stdout && : >stderr || exit 1
keep stdout <out &
out=$!
keep stderr <err &
err=$!
if [ -p stdin ]; then
    # Open for writing as well: who detaches does not end the input.
    exec 3<>stdin
else
    exec 3</dev/null
fi

# The job: words and variables, one a line, in octal escapes.
(
    exec >out 2>err
    cd -- "$(cat cwd)" || exit 126
    set --
    while read -r kind word; do
        word=$(printf '%b.' "$word")
        word=${word%.}
        case $kind in
        word) set -- "$@" "$word" ;;
        variable) export "${word?}" ;;
        esac
    done <"$OLDPWD/job"
    # In a session and process group of its own, so that it can be ended with all it starts.
    exec setsid "$@" <&3 3<&-
) &
child=$!
exec 3<&-
note child "$child $(born "$child")"
wait "$child"
code=$?

# What it wrote last is in the logs before it counts as ended, unless something it left behind still holds them open.
tries=0
while [ "$tries" -lt 20 ] && { kill -0 "$out" || kill -0 "$err"; } 2>/dev/null; do
    sleep 0.1
    tries=$((tries + 1))
done
note exit "$code"
rm -f out err stdin stopping

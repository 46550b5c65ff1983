# What can be done with sessions in a guest: VERB, then what it needs. Everything about a session is in a directory of
# its own, so nothing has to run between two calls.
set -u
umask 077
verb=$1
shift
root=$HOME/.regatta/sessions
boot=$(cat /proc/sys/kernel/random/boot_id) || exit 1

# Ends with an error that the other side knows by its first word; the rest is for people who see it.
refuse() {
    printf '%s\n' "$*" >&2
    exit 65
}

# Goes to a session's directory.
enter() {
    cd -- "$root/$1" 2>/dev/null || refuse missing: no such session
}

# Whether the process that a file names ("PID START") runs.
alive() {
    read -r pid start 2>/dev/null <"$1" || return 1
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "${20}" = "$start" ]
}

# Prints the status of the session in this directory, and after a space its exit code or why it failed.
status() {
    if [ -e exit ]; then
        printf 'exited %s' "$(cat exit)"
    elif [ -e failure ]; then
        printf 'failed %s' "$(cat failure)"
    elif [ "$(cat boot 2>/dev/null)" != "$boot" ]; then
        printf 'failed restarted'
    elif [ -e child ]; then
        # Written between the two looks: the answer is there now.
        if alive child || alive runner; then
            if [ -e stopping ]; then printf 'stopping '; else printf 'running '; fi
        elif [ -e exit ]; then
            printf 'exited %s' "$(cat exit)"
        else
            printf 'failed lost'
        fi
    elif alive runner || alive launcher; then
        printf 'starting '
    elif [ -e exit ] || [ -e child ]; then
        status
    else
        printf 'failed lost'
    fi
}

ended() {
    case $(status) in
    exited* | failed*) return 0 ;;
    *) return 1 ;;
    esac
}

# Sends a signal to the session's process group, if it is still the one that was started.
signal() {
    alive child || return 1
    read -r pid start <child
    kill -s "$1" -- "-$pid" 2>/dev/null
}

# Lets a session of this name that was declared and has ended make room for the next one. Prints where it went.
make_room() {
    [ -e "$root/$1/declared" ] || return 0
    (cd -- "$root/$1" && ended) || return 0
    gone=$root/.gone.$1.$$
    mv -- "$root/$1" "$gone" && printf '%s\n' "$gone"
}

# Takes over what the last one of this name wrote, as the older part of the logs.
inherit() {
    for log in stdout stderr; do
        for old in "$1/$log" "$1/$log.1"; do
            if [ -s "$old" ]; then
                mv -- "$old" "$log.1"
                break
            fi
        done
    done
    rm -rf -- "$1"
}

# start NAME RUNNER LIMIT STDIN CWD META DECLARED [COMMAND…]: standard input is the job; DECLARED is empty for what somebody
# starts by hand.
start() {
    name=$1 runner=$2 limit=$3 stdin=$4 cwd=$5 meta=$6 declared=$7
    shift 7
    cwd=${cwd:-$HOME}
    [ -d "$cwd" ] || refuse cwd: no such directory
    (cd -- "$cwd") 2>/dev/null || refuse cwd: no such directory
    for command do
        command -v -- "$command" >/dev/null 2>&1 || refuse "require: $command"
    done
    mkdir -p -- "$root" || exit 1
    # What is cut off on its way would run without the rest of its words.
    job=$root/.job.$name.$$
    trap 'rm -f -- "$job"' EXIT
    cat >"$job" || exit 1
    [ "$(tail -n 1 -- "$job")" = end ] || refuse incomplete: the job did not arrive whole
    before=
    if [ -n "$declared" ]; then before=$(make_room "$name"); fi
    mkdir -- "$root/$name" 2>/dev/null || { [ -d "$root/$name" ] && refuse exists: the name is taken; exit 1; }
    enter "$name"
    if [ -n "$before" ]; then inherit "$before"; fi
    if [ -n "$declared" ]; then printf '%s\n' "$declared" >declared; fi
    stat=$(cat /proc/$$/stat)
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    printf '%s %s\n' "$$" "${20}" >launcher
    printf '%s\n' "$boot" >boot
    date +%s >created
    printf '%s\n' "$meta" >meta
    printf '%s\n' "$cwd" >cwd
    mv -- "$job" job || exit 1
    if [ "$stdin" = pipe ]; then mkfifo stdin || exit 1; fi
    # A file: systemd replaces what looks like a variable in the words of a unit.
    printf '%s\n' "$runner" >watch || exit 1
    dir=$root/$name
    set -- env -i "HOME=$HOME" USER=root LOGNAME=root SHELL=/bin/sh LANG=C.UTF-8 \
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        sh "$dir/watch" "$dir" "$limit"
    if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
        # A unit of its own: logging out ends none of it. That of the last one of this name may not be quite gone.
        tries=0
        until systemd-run --quiet --collect --unit "regatta-session-$name" --description "regatta session $name" \
            --property KillMode=control-group -- "$@" >launch 2>&1 </dev/null || [ "$tries" -ge 10 ]; do
            sleep 0.2
            tries=$((tries + 1))
        done
    else
        setsid "$@" >launch 2>&1 </dev/null &
    fi
    tries=0
    while [ ! -e child ] && [ ! -e exit ] && [ "$tries" -lt 50 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    if [ ! -e child ] && [ ! -e exit ]; then
        # Nothing of it goes on behind our back.
        if alive runner; then kill -s KILL -- "-$pid" "$pid" 2>/dev/null; fi
        printf 'not-ready\n' >failure
        cat launch
        refuse not-ready: it did not start
    fi
}

# Prints a line for each session: NAME, STATUS, CODE OR REASON, CREATED, BYTES, BYTES, DECLARED, META.
list() {
    cd -- "$root" 2>/dev/null || return 0
    for name in *; do
        [ -d "$name" ] || continue
        (
            cd -- "$name" || exit 0
            now=$(status)
            printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$name" "${now%% *}" "${now#* }" "$(cat created 2>/dev/null)" \
                "$(cat stdout.1 stdout 2>/dev/null | wc -c)" "$(cat stderr.1 stderr 2>/dev/null | wc -c)" \
                "$(cat declared 2>/dev/null)" "$(cat meta 2>/dev/null)"
        )
    done
}

# stop NAME SIGNAL SECONDS: sends it to the job and all it started, and waits.
stop() {
    enter "$1"
    ended && return 0
    : >stopping
    signal "$2"
    tries=0
    while ! ended && [ "$tries" -lt "$(($3 * 10))" ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    ended || refuse still-running: it did not end
}

remove() {
    enter "$1"
    ended || refuse running: it has not ended
    # Out of sight in one step; what is left of it after a crash goes with the next removal.
    gone=$root/.gone.$1.$$
    mv -- "$root/$1" "$gone" && rm -rf -- "$root"/.gone.*
}

# Prints what came to a log since it had $2 bytes, and counts them in $seen. When the log has begun anew, what the old
# one had last comes first.
more() {
    size=$(wc -c <"$1" 2>/dev/null || echo 0)
    seen=$2
    if [ "$size" -lt "$seen" ]; then
        tail -c "+$((seen + 1))" "$1.1" 2>/dev/null
        seen=0
    fi
    if [ "$size" -gt "$seen" ]; then
        tail -c "+$((seen + 1))" "$1" | head -c "$((size - seen))"
        seen=$size
    fi
}

# relay OUT ERR PAUSE LAST: what the job writes from these places on, until the function LAST says that no more comes. It is
# asked before each look, so that nothing written by then is missed.
relay() {
    out=$1 err=$2
    while :; do
        last=no
        if "$4"; then last=yes; fi
        more stdout "$out"
        out=$seen
        more stderr "$err" >&2
        err=$seen
        [ "$last" = no ] || return 0
        sleep "$3"
    done
}

# logs NAME [follow]
logs() {
    # Nothing but logs goes where logs go.
    cd -- "$root/$1" 2>/dev/null || exit 65
    cat stdout.1 2>/dev/null
    cat stderr.1 2>/dev/null >&2
    following=${2:-}
    relay 0 0 0.3 all_told
}

all_told() {
    [ "$following" != follow ] || ended
}

# Ends whoever is attached: an input that the job does not read may keep one whose connection is gone.
detach() {
    alive attached/by || return 0
    kill -s TERM "$pid"
    tries=0
    while alive attached/by && [ "$tries" -lt 20 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
}

# attach NAME [take-over]: standard input goes to the job, what it writes from now on comes back.
attach() {
    enter "$1"
    ended && refuse ended: it has ended
    [ -p stdin ] || refuse no-stdin: it was started without input
    if ! mkdir attached 2>/dev/null; then
        if [ "${2:-}" = take-over ]; then detach; fi
        alive attached/by && refuse attached: somebody is
        rm -rf attached
        mkdir attached 2>/dev/null || refuse attached: somebody is
    fi
    stat=$(cat /proc/$$/stat)
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    printf '%s %s\n' "$$" "${20}" >attached/by
    out=$(wc -c <stdout)
    err=$(wc -c <stderr)
    trap 'rm -rf attached; kill "$feeder" 2>/dev/null' EXIT
    trap 'exit 1' HUP INT TERM PIPE
    exec 4<&0
    cat <&4 >stdin &
    feeder=$!
    looks=5
    relay "$out" "$err" 0.1 left
}

# After the last of the input the answer to it gets half a second: whoever pipes something in is there to read it.
left() {
    ended && return
    kill -0 "$feeder" 2>/dev/null && return 1
    looks=$((looks - 1))
    [ "$looks" -lt 0 ]
}

case $verb in
start | list | stop | remove | logs | attach) "$verb" "$@" ;;
*) exit 64 ;;
esac

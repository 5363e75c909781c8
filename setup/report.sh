# shellcheck shell=bash disable=SC2034,SC2154
# How set-up talks: one line per step with its log, and a failure that names its remedy.

say() { printf '%s\n' "$*"; }

# fail MESSAGE REMEDY
fail() {
    printf '\nset-up stopped: %s\n' "$1" >&2
    printf '  What to do: %s\n' "$2" >&2
    exit 1
}

# run_step LOG TITLE DURATION REMEDY COMMAND...
# Runs the command in a process group of its own, so that an interrupt can end all of it.
run_step() {
    start_step "$@"
    finish_step "$1"
}

declare -A step_pid step_title step_remedy step_began

start_step() {
    local log=$1 title=$2 duration=$3 remedy=$4
    shift 4
    say "  $title (about $duration; log: build/setup/$log.log)"
    step_title[$log]=$title
    step_remedy[$log]=$remedy
    step_began[$log]=$SECONDS
    set -m
    (
        trap - EXIT INT TERM HUP
        set -e
        "$@"
    ) </dev/null >"$log_folder/$log.log" 2>&1 &
    step_pid[$log]=$!
    set +m
}

finish_step() {
    local log=$1 status=0
    wait "${step_pid[$log]}" || status=$?
    unset "step_pid[$log]"
    if [ "$status" -ne 0 ]; then
        stop_steps
        printf '\n--- the last lines of build/setup/%s.log ---\n' "$log" >&2
        tail -n 15 "$log_folder/$log.log" >&2
        fail "'${step_title[$log]}' failed (exit status $status)." \
            "$(remedy_for "$log_folder/$log.log" "${step_remedy[$log]}")"
    fi
    say "    done in $((SECONDS - step_began[$log])) s"
}

stop_steps() {
    local log
    for log in "${!step_pid[@]}"; do
        kill -TERM -- "-${step_pid[$log]}" 2>/dev/null || true
        wait "${step_pid[$log]}" 2>/dev/null || true
    done
    step_pid=()
}

# The usual causes, known by what the tools write, come before the step's own remedy.
remedy_for() {
    local log=$1 remedy=$2
    if grep -qi 'no space left on device' "$log"; then
        say "free some disk space (set-up needs about 8 GB) and run the same command again."
    elif grep -qiE "could not resolve|temporary failure|failed to fetch|name resolution|network is unreachable|connection (refused|timed out|reset)|\
read timed out|failed to establish a new connection|max retries exceeded" "$log"; then
        say "the package servers cannot be reached: check the network, or pip's and apt's proxy settings," \
            "and run the same command again."
    elif grep -qiE 'could not get lock|unable to acquire the dpkg' "$log"; then
        say "another package manager is running: wait until it has ended and run the same command again."
    else
        say "$remedy"
    fi
}

# shellcheck shell=bash disable=SC2034,SC2154
# One set-up at a time in a checkout, one build at a time in a cache.

declare -A lock_descriptor

# wait_for_lock FILE WHAT MINUTES
wait_for_lock() {
    local descriptor
    mkdir -p "$(dirname "$1")"
    exec {descriptor}>"$1"
    if ! flock --nonblock "$descriptor"; then
        say "  Another set-up is making $2; waiting for it (at most $3 minutes)."
        flock --timeout "$(($3 * 60))" "$descriptor" || fail \
            "another set-up has held $1 for $3 minutes." \
            "see whether it still works ('fuser -v $1'), end it, and run the same command again."
    fi
    lock_descriptor[$1]=$descriptor
}

release_lock() {
    local descriptor=${lock_descriptor[$1]}
    exec {descriptor}>&-
    unset "lock_descriptor[$1]"
}

# require_space FOLDER GIGABYTES
require_space() {
    local free
    mkdir -p "$1"
    free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$free" -ge "$2" ] || fail "$1 has $free GB free; $2 GB are needed." \
        "free some space there and run the same command again."
}

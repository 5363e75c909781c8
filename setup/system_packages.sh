# shellcheck shell=bash disable=SC2034,SC2154
# Packages of the distribution, installed as root or through sudo.

has_apt() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

missing_packages() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            printf '%s\n' "$package"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Asks for the password, if one is needed, while set-up still owns the terminal.
need_root_for() {
    [ "$(id -u)" -eq 0 ] && return
    command -v sudo >/dev/null || fail "these packages are missing and there is no sudo: $*." \
        "let an administrator run: apt-get update && apt-get install $*"
    say "  Administrator rights are needed to install: $*"
    sudo -v || fail "sudo was refused." "let an administrator run: apt-get update && apt-get install $*"
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" -eq 0 ] && return
    need_root_for "${missing[@]}"
    run_step apt "Install ${#missing[@]} packages of the distribution" "30 s" \
        "run 'apt-get update' and 'apt-get install ${missing[*]}' by hand and read what they say." \
        apt_install "${missing[@]}"
}

apt_install() {
    as_root apt-get -q update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

apt_candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p'; }

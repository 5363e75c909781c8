# shellcheck shell=bash disable=SC2034,SC2154
# Where DOLFINx comes from. Sets `route` and `base_python`; the first that is there is taken:
#   active        an importable DOLFINx of the active Python (conda, container, distribution)
#   distribution  the package python3-dolfinx, installed first
#   wheel         the binary wheel of setup/wheel.txt, into .venv
#   build         DOLFINx built from source, cached as wheels
# IBVONN_ROUTE=wheel (or another of the four) allows this one alone.

conda_remedy="use conda instead: 'conda env create -f environment.yml && conda activate ibvonn', \
then the same command again."

find_dolfinx() {
    local candidate
    case "${IBVONN_ROUTE:-}" in
        "" | active | distribution | wheel | build) ;;
        *) fail "IBVONN_ROUTE=$IBVONN_ROUTE is none of active, distribution, wheel, build." "unset it, or give one of these." ;;
    esac
    if [ -n "${IBVONN_PYTHON:-}" ]; then
        command -v "$IBVONN_PYTHON" >/dev/null || fail "IBVONN_PYTHON=$IBVONN_PYTHON is not a program." \
            "give the path of a Python there, or unset it."
    fi
    say "Looking for DOLFINx $dolfinx_oldest or newer${IBVONN_ROUTE:+ (only by IBVONN_ROUTE=$IBVONN_ROUTE)}"
    for candidate in active distribution wheel build; do
        [ "${IBVONN_ROUTE:-$candidate}" = "$candidate" ] || continue
        "find_$candidate" && return
    done
    fail "no DOLFINx >= $dolfinx_oldest was found (the reasons stand above)." "$conda_remedy"
}

find_active() {
    local python version pythons=(python3)
    [ "$(command -v python3)" = /usr/bin/python3 ] || pythons+=(/usr/bin/python3)
    [ -z "${IBVONN_PYTHON:-}" ] || pythons=("$IBVONN_PYTHON")
    for python in "${pythons[@]}"; do
        python=$(command -v "$python") || continue
        if version=$("$python" "$setup_folder/probe_dolfinx.py" --for-venv 2>"$log_folder/probe.log"); then
            require_python "$python"
            say "  $python has DOLFINx $version."
            route=active base_python=$python
            return
        fi
        say "  not in $python: $(tail -n 1 "$log_folder/probe.log")"
    done
    return 1
}

find_distribution() {
    local candidate
    has_apt || {
        say "  not in the distribution: there is no apt."
        return 1
    }
    candidate=$(apt_candidate python3-dolfinx)
    if [ -z "$candidate" ] || [ "$candidate" = "(none)" ]; then
        need_root_for python3-dolfinx
        run_step apt-update "Read the distribution's list of packages" "10 s" \
            "run 'apt-get update' by hand and read what it says." as_root apt-get -q update
        candidate=$(apt_candidate python3-dolfinx)
    fi
    candidate=${candidate#*:}
    if dpkg --compare-versions "${candidate:-0}" lt "$dolfinx_oldest"; then
        say "  not in the distribution: its python3-dolfinx is ${candidate:-absent}."
        return 1
    fi
    say "  The distribution has python3-dolfinx $candidate."
    route=distribution base_python=/usr/bin/python3
}

# The wheel is built for the stable ABI of Python 3.12 and for the C library of 2021.
find_wheel() {
    local python glibc candidates=(python3 python3.12 python3.13 python3.14)
    glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p')
    if [ "$(uname -sm)" != "Linux x86_64" ] || ! is_at_least "${glibc:-0}" "$wheel_glibc"; then
        say "  not as a wheel: it is for Linux on x86_64 with glibc >= $wheel_glibc; this is $(uname -sm) with glibc ${glibc:-unknown}."
        return 1
    fi
    # The shims of pyenv refuse to run a Python that is installed, but not chosen.
    if command -v pyenv >/dev/null; then
        candidates+=("$(pyenv root)"/versions/3.1[2-4]*/bin/python)
    fi
    [ -z "${IBVONN_PYTHON:-}" ] || candidates=("$IBVONN_PYTHON")
    for python in "${candidates[@]}"; do
        python=$(command -v "$python") || continue
        serves_the_wheel "$python" || continue
        say "  $python takes the binary wheel of DOLFINx $wheel_version."
        route=wheel base_python=$python
        return
    done
    say "  not as a wheel: no Python 3.12 to 3.14 with venv and headers runs here${IBVONN_PYTHON:+ (IBVONN_PYTHON=$IBVONN_PYTHON)}."
    return 1
}

is_at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# It runs, can make an environment, and has the headers with which forms are compiled.
serves_the_wheel() {
    "$1" - >/dev/null 2>&1 <<'EOS'
import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not ((3, 12) <= sys.version_info[:2] <= (3, 14) and os.path.exists(header)))
EOS
}

find_build() {
    local here="unknown" candidate
    has_apt || {
        say "  not built from source: that needs apt."
        return 1
    }
    here=$(. /etc/os-release && printf '%s-%s' "$ID" "${VERSION_ID:-unknown}")
    [ "$here" = "$build_distribution" ] || fail \
        "this distribution ($here) offers no DOLFINx >= $dolfinx_oldest, and the build is known to work on $build_distribution only." \
        "$conda_remedy"
    local pythons=(python3 "python$build_python" /usr/bin/python3)
    [ -z "${IBVONN_PYTHON:-}" ] || pythons=("$IBVONN_PYTHON")
    for candidate in "${pythons[@]}"; do
        candidate=$(command -v "$candidate") || continue
        if [ "$(python_version "$candidate")" = "$build_python" ]; then
            say "  DOLFINx $dolfinx_version is taken from the cache, or built from source in ten minutes, for $candidate."
            say "  Faster: a Python 3.12 with headers, which takes a wheel, or conda: 'conda env create -f environment.yml'."
            route=build base_python=$candidate
            return
        fi
    done
    fail "the build of DOLFINx $dolfinx_version needs Python $build_python; found $(python_version "${pythons[0]}" || say none)." \
        "install Python $build_python ('apt-get install python3 python3-venv python3-dev') or name it: IBVONN_PYTHON=/path/to/python$build_python"
}

python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

require_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail \
        "$1 has a usable DOLFINx, but is Python $(python_version "$1"); Python 3.11 or newer is needed." \
        "activate an environment with a newer Python, or $conda_remedy"
}

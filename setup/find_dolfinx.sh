# shellcheck shell=bash disable=SC2034,SC2154
# Where DOLFINx comes from. Sets `route` and `base_python`:
#   active        an importable DOLFINx of the active Python (conda, container, distribution)
#   distribution  the package python3-dolfinx, installed first
#   build         DOLFINx built from source, cached as wheels

conda_remedy="use conda instead: 'conda env create -f environment.yml && conda activate ibvonn', \
then the same command again."

find_dolfinx() {
    local python version
    say "Looking for DOLFINx $dolfinx_oldest or newer"
    local pythons=(python3)
    [ "$(command -v python3)" = /usr/bin/python3 ] || pythons+=(/usr/bin/python3)
    if [ -n "${IBVONN_PYTHON:-}" ]; then
        command -v "$IBVONN_PYTHON" >/dev/null || fail "IBVONN_PYTHON=$IBVONN_PYTHON is not a program." \
            "give the path of a Python there, or unset it."
        pythons=("$IBVONN_PYTHON")
    fi
    for python in "${pythons[@]}"; do
        python=$(command -v "$python") || continue
        if version=$("$python" "$setup_folder/probe_dolfinx.py" 2>"$log_folder/probe.log"); then
            require_python "$python"
            say "  $python has DOLFINx $version."
            route=active base_python=$python
            return
        fi
        say "  not in $python: $(tail -n 1 "$log_folder/probe.log")"
    done
    has_apt || fail "no Python here has DOLFINx $dolfinx_oldest or newer, and there is no apt to install it with." \
        "$conda_remedy"
    find_in_distribution || find_by_build
}

find_in_distribution() {
    local candidate
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

find_by_build() {
    local here="unknown" candidate
    here=$(. /etc/os-release && printf '%s-%s' "$ID" "${VERSION_ID:-unknown}")
    [ "$here" = "$build_distribution" ] || fail \
        "this distribution ($here) offers no DOLFINx >= $dolfinx_oldest, and the build is known to work on $build_distribution only." \
        "$conda_remedy"
    local pythons=(python3 "python$build_python" /usr/bin/python3)
    [ -z "${IBVONN_PYTHON:-}" ] || pythons=("$IBVONN_PYTHON")
    for candidate in "${pythons[@]}"; do
        candidate=$(command -v "$candidate") || continue
        if [ "$(python_version "$candidate")" = "$build_python" ]; then
            say "  DOLFINx $dolfinx_version is built from source (or taken from the cache), for $candidate."
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

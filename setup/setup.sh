#!/usr/bin/env bash
# Makes .venv with everything that the demo and the tests need. Does nothing when it is there.
#
#   bash setup/setup.sh          all
#   bash setup/setup.sh demo     without the tools of tests, checks and pictures
#
# IBVONN_PYTHON names the Python to use, IBVONN_ROUTE the way to DOLFINx (find_dolfinx.sh lists
# them). The logs are in build/setup.
# shellcheck disable=SC2154
set -Eeuo pipefail

project_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
setup_folder=$project_folder/setup
log_folder=$project_folder/build/setup
stamp=$project_folder/.venv/ibvonn-setup
tools_stamp=$project_folder/.venv/ibvonn-tools
wants_tools=true
[ "${1:-}" != demo ] || wants_tools=false

# An activated .venv must not be taken for the Python that it is made from.
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -vxF "$project_folder/.venv/bin" | paste -sd:)
unset VIRTUAL_ENV

# What decides the content of .venv, and the folder, which a venv cannot leave.
wanted_stamp() {
    printf '%s\n' "$project_folder"
    {
        sed '/^\[tool\.ruff/,$d' "$project_folder/pyproject.toml"
        cat "$project_folder/constraints.txt" "$setup_folder/versions.sh" "$setup_folder/wheel.txt"
    } | cksum
}

has_stamp() { [ "$(cat "$1" 2>/dev/null)" = "$(wanted_stamp)" ]; }

base_is_ready() {
    has_stamp "$stamp" && "$project_folder/.venv/bin/python" -c '' 2>/dev/null &&
        [ "${IBVONN_ROUTE:-$(cat "$project_folder/.venv/ibvonn-route")}" = "$(cat "$project_folder/.venv/ibvonn-route")" ]
}

is_ready() { base_is_ready && { ! "$wants_tools" || has_stamp "$tools_stamp"; }; }

if is_ready; then
    exit 0
fi

for part in versions report locking system_packages find_dolfinx wheel_cache dolfinx_source petsc_prefix \
    build_dolfinx install_dolfinx python_env; do
    # shellcheck source=/dev/null
    . "$setup_folder/$part.sh"
done
mkdir -p "$log_folder"

build_folder=
clean_up() {
    stop_steps
    [ -z "$build_folder" ] || rm -rf "$build_folder"
}
trap clean_up EXIT
trap 'printf "\nset-up interrupted; nothing half-made is left in use. Run the same command again.\n" >&2; exit 130' INT TERM HUP

say "Set-up of IB-VONN for FEniCSx (a minute; 10 where DOLFINx has to be built)"
wait_for_lock "$log_folder/lock" "this checkout's .venv" 60
if is_ready; then
    say "  The other set-up has made it."
    exit 0
fi

make_base() {
    find_dolfinx
    install_dolfinx
    # The long step comes before .venv is touched, so that interrupting it costs nothing there.
    if [ "$route" = build ] && ! { venv_is_sound && wheels_are_installed; }; then
        provide_wheels
    fi
    make_venv
    install_python_packages
    if [ "$route" = build ] && ! wheels_are_installed; then
        run_step dolfinx "Install DOLFINx into .venv" "15 s" \
            "run the same command again; if it fails again, $conda_remedy" install_wheels
    fi
    run_step check "Import everything once" "15 s" \
        "delete .venv and run the same command again." check_environment
    printf '%s\n' "$route" >"$venv/ibvonn-route"
    wanted_stamp >"$stamp"
    rm -f "$unfinished"
    say "  DOLFINx $(tail -n 1 "$log_folder/check.log"), by the route '$route', on $("$venv/bin/python" --version)"
}

base_is_ready || make_base
if "$wants_tools"; then
    route=$(cat "$venv/ibvonn-route")
    install_tools
    wanted_stamp >"$tools_stamp"
fi
say "Set-up is complete ($SECONDS s). Activate it with: . .venv/bin/activate"

#!/usr/bin/env bash
# Makes .venv with everything that the demo and the tests need. Does nothing when it is there.
#
#   bash setup/setup.sh
#
# IBVONN_PYTHON names the Python to use. The logs are in build/setup.
# shellcheck disable=SC2154
set -Eeuo pipefail

project_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
setup_folder=$project_folder/setup
log_folder=$project_folder/build/setup
stamp=$project_folder/.venv/ibvonn-setup

# An activated .venv must not be taken for the Python that it is made from.
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -vxF "$project_folder/.venv/bin" | paste -sd:)
unset VIRTUAL_ENV

# What decides the content of .venv, and the folder, which a venv cannot leave.
wanted_stamp() {
    printf '%s\n' "$project_folder"
    {
        sed '/^\[tool\.ruff/,$d' "$project_folder/pyproject.toml"
        cat "$project_folder/constraints.txt" "$setup_folder/versions.sh"
    } | cksum
}

is_ready() {
    [ "$(cat "$stamp" 2>/dev/null)" = "$(wanted_stamp)" ] && "$project_folder/.venv/bin/python" -c '' 2>/dev/null
}

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

say "Set-up of IB-VONN for FEniCSx (at most 10 minutes from nothing, about one with a filled cache)"
wait_for_lock "$log_folder/lock" "this checkout's .venv" 60
if is_ready; then
    say "  The other set-up has made it."
    exit 0
fi

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
say "Set-up is complete ($SECONDS s). Activate it with: . .venv/bin/activate"

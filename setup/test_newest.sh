#!/usr/bin/env bash
# Runs the tests with the newest DOLFINx, which Debian sid has, in a root of its own. As root.
#   bash setup/test_newest.sh [PYTEST ARGUMENTS]     such as tests/fem tests/contract
# (pytest ends with status 5 on two ranks where the selection has no tests marked mpi), or
#   bash setup/test_newest.sh run COMMAND            in a copy of the project, after its set-up;
# what the command wrote into benchmarks/results is copied back.
# The first time takes about 4 minutes and 6 GB. sid moves, so a run informs and never gates.
set -euo pipefail

project_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
setup_folder=$project_folder/setup
log_folder=$project_folder/build/setup
for part in versions report system_packages locking debian_root; do
    # shellcheck source=/dev/null
    . "$setup_folder/$part.sh"
done
mkdir -p "$log_folder"
trap stop_steps EXIT
trap 'exit 130' INT TERM HUP

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ibvonn
root=$cache/sid
inside=/opt/ibvonn
# torch and its companions come from Debian too: from PyPI they would be several GB.
debian_packages=(
    make git ca-certificates gcc python3-dev python3-venv python3-dolfinx python3-dolfinx-real
    python3-torch python3-onnx python3-onnxruntime python3-h5py python3-scipy python3-matplotlib
    python3-tqdm python3-jsonschema python3-cffi python3-pytest
)

update_root() {
    connect_root
    # An interrupted run leaves packages that are unpacked only.
    enter env DEBIAN_FRONTEND=noninteractive dpkg --configure -a
    # A mirror may lag behind: an expired list of packages is still good enough here.
    enter apt-get -q -o Acquire::Check-Valid-Until=false update
    enter env DEBIAN_FRONTEND=noninteractive apt-get -q -y dist-upgrade
    enter env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends "${debian_packages[@]}"
    share_certificates
}

copy_project() {
    mkdir -p "$root$inside"
    find "$root$inside" -mindepth 1 -maxdepth 1 ! -name .venv ! -name build -exec rm -rf {} +
    git -C "$project_folder" ls-files -z --cached --others --exclude-standard |
        tar -C "$project_folder" --null --ignore-failed-read -T - -cf - | tar -C "$root$inside" -xf -
}

[ "$(id -u)" -eq 0 ] || fail "a Debian root can only be made as root." "run it with sudo."
install_packages debootstrap
say "The newest DOLFINx, in a Debian sid root ($root)"
wait_for_lock "$cache/sid.lock" "the sid root" 10
if [ ! -d "$root" ]; then
    require_space "$cache" 7
    run_step sid-root "Make the root" "30 s" "run the same command again." make_root sid
fi
run_step sid-packages "Install or update its packages" "2 minutes" \
    "delete $root and run the same command again." update_root
copy_project
inside() { enter env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
if [ "${1:-}" = run ]; then
    inside make --no-print-directory -C "$inside" setup
    # shellcheck disable=SC2016
    inside bash -c 'cd "$0" && "$@"' "$inside" "${@:2}"
    cp -u "$root$inside"/benchmarks/results/* "$project_folder/benchmarks/results/"
else
    inside env PYTEST_ADDOPTS="${*@Q}" make --no-print-directory -C "$inside" test
fi

#!/usr/bin/env bash
# Builds the wheel, installs it beside the binary wheel of DOLFINx into an empty environment, and
# runs README's finite-element example in an empty folder.
#   bash distribution/try_wheel.sh [WHEEL]     builds the wheel if none is given
# Where DOLFINx came by another route than its wheel, an empty environment cannot have it.
# shellcheck disable=SC2154
set -euo pipefail

project_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
setup_folder=$project_folder/setup
work=$project_folder/build/try_wheel
log_folder=$work
for part in versions report python_env; do
    # shellcheck source=/dev/null
    . "$setup_folder/$part.sh"
done
route=$(cat "$venv/ibvonn-route")
if [ "$route" != wheel ]; then
    say "The wheel is not tried: DOLFINx came by the route '$route', which an empty environment lacks."
    exit 0
fi
trap 'say "The wheel could not be tried: line $LINENO of distribution/try_wheel.sh failed." >&2' ERR
# The project is found in the environment alone.
unset PYTHONPATH
rm -rf "$work"
mkdir -p "$work/empty"

wheel=${1:-}
if [ -z "$wheel" ]; then
    # From a copy, so that no file of an older build gets into the wheel.
    mkdir "$work/source"
    git -C "$project_folder" ls-files -z --cached --others --exclude-standard |
        tar -C "$project_folder" --null --ignore-failed-read -T - -cf - | tar -C "$work/source" -xf -
    "$venv/bin/python" -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation \
        --wheel-dir "$work" "$work/source"
    wheel=$(echo "$work"/*.whl)
fi
say "$(basename "$wheel"): $(stat -c %s "$wheel") bytes"

"$venv/bin/python" -m venv --without-pip "$work/venv"
export_settings_of_pip
write_constraints
into_it=("$venv/bin/uv" pip install -q --python "$work/venv/bin/python")
"${into_it[@]}" --no-deps --require-hashes -r "$setup_folder/wheel.txt"
"${into_it[@]}" "${constraints[@]}" "$wheel[fem]"

example=$work/bar.py
"$venv/bin/python" "$project_folder/distribution/readme_example.py" >"$example"
cd "$work/empty"
# Nothing that was compiled before helps: a newcomer has to compile the form and the law.
export OMP_NUM_THREADS=1 MPLBACKEND=Agg XDG_CACHE_HOME=$work/cache
printed=$("$work/venv/bin/python" "$example")
expected=$(sed -n 's/^# prints: //p' "$example")
if [ -z "$expected" ] || [ "$printed" != "$expected" ]; then
    say "README's example in an empty folder: must print '$expected'; it printed '$printed'." >&2
    exit 1
fi
say "README's example in an empty folder printed: $printed"
say "ibvonn-fem models lists: $("$work/venv/bin/ibvonn-fem" models | grep '^[^ ]' | paste -sd' ')"
"$work/venv/bin/ibvonn-fem" check lattice | tail -n 1
say "The wheel was tried in $SECONDS s."

# shellcheck shell=bash disable=SC2034,SC2154
# The virtual environment .venv and what goes into it.

venv=$project_folder/.venv
# Stands beside .venv from the first change to the last: found by a later run, it says "interrupted".
unfinished=$log_folder/unfinished

make_venv() {
    if ! "$base_python" -c 'import ensurepip' 2>/dev/null && has_apt; then
        install_packages python3-venv python3-dev
    fi
    if venv_is_sound; then
        rm -f "$stamp"
        touch "$unfinished"
        return
    fi
    require_space "$project_folder" 8
    touch "$unfinished"
    rm -rf "$venv"
    local options=()
    venv_sees_outside && options=(--system-site-packages)
    run_step venv "Create .venv with $base_python" "5 s" \
        "look whether '$base_python -m venv' works at all (on Debian: apt-get install python3-venv)." \
        "$base_python" -m venv "${options[@]}" "$venv"
    ! venv_sees_outside || show_outer_packages
}

# The distribution's DOLFINx, or that of the active Python, stays where it is.
venv_sees_outside() { [ "$route" = active ] || [ "$route" = distribution ]; }

# An environment that was left half-made, made for another Python, or moved is made anew.
venv_is_sound() {
    local shared=false
    venv_sees_outside && shared=true
    [ ! -e "$unfinished" ] &&
        { [ ! -e "$stamp" ] || [ "$(head -n 1 "$stamp")" = "$project_folder" ]; } &&
        grep -qs "include-system-site-packages = $shared" "$venv/pyvenv.cfg" &&
        [ "$(python_version "$venv/bin/python")" = "$(python_version "$base_python")" ]
}

# A venv made from a venv, or from a Python with PYTHONPATH, does not see the packages of its parent.
show_outer_packages() {
    "$base_python" - "$venv" <<'EOS'
import pathlib, subprocess, sys
venv = pathlib.Path(sys.argv[1])
seen = subprocess.run(
    [venv / "bin/python", "-I", "-c", "import sys; print(*sys.path, sep='\\n')"],
    check=True, capture_output=True, text=True,
).stdout.splitlines()
outer = [p for p in sys.path if p.endswith(("site-packages", "dist-packages")) and p not in seen]
site = next(p for p in seen if p.startswith(str(venv)))
(pathlib.Path(site) / "outer-packages.pth").write_text("".join(p + "\n" for p in outer))
EOS
}

# Python compiles what it imports; compiling everything that is installed would take longer.
pip_install() { "$venv/bin/python" -m pip install --disable-pip-version-check --no-compile "$@"; }

# The versions of the tested set-up; DOLFINx from the wheel brings its own companions.
write_constraints() {
    constraints=()
    case $route in
        build) constraints=(-c "$project_folder/constraints.txt") ;;
        wheel)
            grep -vE '^(fenics-|mpi4py|cffi)' "$project_folder/constraints.txt" >"$log_folder/constraints.txt"
            constraints=(-c "$log_folder/constraints.txt")
            ;;
    esac
}

# Two steps at a time, which must not install the same package: what both sides need comes first.
install_python_packages() {
    local again="run the same command again; 'pip config list' shows where pip looks for packages."
    local gpu="minutes where pip finds only the build for GPUs (2.5 GB)"
    write_constraints
    run_step shared "Install the tools of pip" "3 s" "$again" pip_install "${constraints[@]}" \
        "setuptools>=77" wheel typing_extensions MarkupSafe
    start_step torch "Install torch $torch_version" "20 s" "$again" install_torch
    if [ "$route" = wheel ]; then
        run_step wheel "Install DOLFINx $wheel_version from its wheel" "15 s" \
            "if a hash differs, the file is not the one that was tested: do not use it, and $conda_remedy" \
            pip_install --no-deps --require-hashes -r "$setup_folder/wheel.txt"
    fi
    run_step packages "Install the packages that this project needs" "20 s" "$again" \
        install_requirements train fem
    finish_step torch
    start_step torch-cuda "Install what torch needs of CUDA, if it does" "1 s; $gpu" "$again" \
        install_needs_of_torch 'cuda-'
    run_step torch-needs "Install what else torch needs" "5 s; $gpu" "$again" \
        install_needs_of_torch '(?!cuda-)' --no-deps
    finish_step torch-cuda
    run_step project "Install this project and what is still missing" "5 s" "$again" \
        pip_install "${constraints[@]}" --no-build-isolation -e "${project_folder}[train,fem]"
}

# With its exact version: a range would admit a newer torch, of several GB.
install_torch() {
    "$venv/bin/python" - "$torch_oldest" <<'EOS' || pip_install "${constraints[@]}" --no-deps "torch==$torch_version"
import sys
from importlib.metadata import version
number = lambda text: tuple(int(part) for part in text.split("+")[0].split(".")[:2])
sys.exit(number(version("torch")) < number(sys.argv[1]))
EOS
}

# install_needs_of_torch PATTERN [PIP OPTION]: those that the installed torch asks for and whose names
# match. Its other libraries of CUDA need some of cuda-toolkit: hence --no-deps for one of the two.
install_needs_of_torch() {
    local needs pattern=$1
    shift
    needs=$("$venv/bin/python" - "$pattern" <<'EOS'
import re, sys
from importlib.metadata import requires
from pip._vendor.packaging.requirements import Requirement
for need in map(Requirement, requires("torch") or ()):
    wanted = need.marker is None or need.marker.evaluate({"extra": ""})
    if wanted and re.match(sys.argv[1], need.name):
        extras = f"[{','.join(sorted(need.extras))}]" if need.extras else ""
        print(f"{need.name}{extras}{need.specifier}")
EOS
    )
    [ -z "$needs" ] || xargs -d '\n' -a <(printf '%s\n' "$needs") \
        "$venv/bin/python" -m pip install --disable-pip-version-check --no-compile "${constraints[@]}" "$@"
}

# install_requirements EXTRA...: those of pyproject.toml but torch, and nflows, which asks for it.
install_requirements() {
    "$venv/bin/python" - "$project_folder/pyproject.toml" "$@" >"$log_folder/requirements-$1.txt" <<'EOS'
import pathlib, re, sys, tomllib
project = tomllib.loads(pathlib.Path(sys.argv[1]).read_text())["project"]
extras = [need for extra in sys.argv[2:] for need in project["optional-dependencies"][extra]]
print("\n".join(n for n in project["dependencies"] + extras if not re.match("(torch|nflows)\\b", n)))
EOS
    pip_install "${constraints[@]}" -r "$log_folder/requirements-$1.txt"
}

# What tests, checks and pictures need, and the demo does not.
install_tools() {
    write_constraints
    run_step tools "Install the tools of tests, checks and pictures" "15 s" \
        "run the same command again; 'pip config list' shows where pip looks for packages." \
        install_requirements view dev
}

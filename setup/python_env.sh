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

# install OPTION OR PACKAGE...: uv takes a fifth of pip's time, but does not see the packages of an
# outer Python. Neither compiles what is installed: Python compiles what it imports.
install() {
    if venv_sees_outside; then
        "$venv/bin/python" -m pip install --disable-pip-version-check --no-compile "$@"
    else
        "$venv/bin/uv" pip install --python "$venv/bin/python" "$@"
    fi
}

install_uv() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-compile --no-deps \
        -r <(grep '^uv==' "$project_folder/constraints.txt")
}

# What the user has told pip of mirrors, certificates and local packages holds for uv.
export_settings_of_pip() {
    local settings
    settings=$("$venv/bin/python" "$setup_folder/settings_of_pip.py") && eval "$settings"
}

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

install_python_packages() {
    local again="run the same command again; 'pip config list' shows where packages are looked for."
    write_constraints
    if ! venv_sees_outside; then
        run_step uv "Install the installer uv" "5 s" "$again" install_uv
        export_settings_of_pip
    fi
    if [ "$route" = wheel ]; then
        run_step wheel "Install DOLFINx $wheel_version from its wheel" "5 s" \
            "if a hash differs, the file is not the one that was tested: do not use it, and $conda_remedy" \
            install --no-deps --require-hashes -r "$setup_folder/wheel.txt"
    fi
    run_step packages "Install torch and this project" \
        "20 s; minutes where torch is found only with what GPUs need (2.5 GB)" "$again" install_project
}

# torch with its exact version, unless the outer Python has one: a range would admit a newer one.
install_project() {
    local torch=()
    "$venv/bin/python" - "$torch_oldest" <<'EOS' || torch=("torch==$torch_version")
import sys
from importlib.metadata import version
number = lambda text: tuple(int(part) for part in text.split("+")[0].split(".")[:2])
sys.exit(number(version("torch")) < number(sys.argv[1]))
EOS
    install "${constraints[@]}" "setuptools>=77" wheel
    install "${constraints[@]}" --no-build-isolation "${torch[@]}" -e "${project_folder}[train,fem]"
}

# What tests, checks and pictures need, and the demo does not.
install_tools() {
    write_constraints
    venv_sees_outside || export_settings_of_pip
    run_step tools "Install the tools of tests, checks and pictures" "5 s" \
        "run the same command again; 'pip config list' shows where packages are looked for." \
        install_requirements view dev
}

# install_requirements EXTRA...: those of pyproject.toml.
install_requirements() {
    "$venv/bin/python" - "$project_folder/pyproject.toml" "$@" >"$log_folder/requirements-$1.txt" <<'EOS'
import pathlib, sys, tomllib
extras = tomllib.loads(pathlib.Path(sys.argv[1]).read_text())["project"]["optional-dependencies"]
print("\n".join(need for extra in sys.argv[2:] for need in extras[extra]))
EOS
    install "${constraints[@]}" -r "$log_folder/requirements-$1.txt"
}

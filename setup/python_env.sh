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
    require_space "$project_folder" 4
    touch "$unfinished"
    rm -rf "$venv"
    local options=()
    [ "$route" = build ] || options=(--system-site-packages)
    run_step venv "Create .venv with $base_python" "5 s" \
        "look whether '$base_python -m venv' works at all (on Debian: apt-get install python3-venv)." \
        "$base_python" -m venv "${options[@]}" "$venv"
    [ "$route" = build ] || show_outer_packages
}

# An environment that was left half-made, made for another Python, or moved is made anew.
venv_is_sound() {
    local shared=true
    [ "$route" = build ] && shared=false
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

pip_install() { "$venv/bin/python" -m pip install --disable-pip-version-check "$@"; }

install_python_packages() {
    local again="run the same command again; 'pip config list' shows where pip looks for packages."
    local constraints=()
    [ "$route" = build ] && constraints=(-c "$project_folder/constraints.txt")
    run_step torch "Install torch $torch_version" "20 s; minutes and several GB where pip finds only the build for GPUs" "$again" \
        install_torch "${constraints[@]}"
    run_step packages "Install this project and the packages it needs" "40 s" "$again" \
        install_project "${constraints[@]}"
}

# Before everything else and with its exact version: a range would admit a newer torch, of several GB.
install_torch() {
    pip_install "$@" "setuptools>=77" wheel  # what pyproject.toml asks for; an older one may be there
    "$venv/bin/python" - "$torch_oldest" <<'EOS' || pip_install "$@" "torch==$torch_version"
import sys
from importlib.metadata import version
number = lambda text: tuple(int(part) for part in text.split("+")[0].split(".")[:2])
sys.exit(number(version("torch")) < number(sys.argv[1]))
EOS
}

install_project() {
    pip_install "$@" --no-build-isolation -e "${project_folder}[train,fem,view,dev]"
}

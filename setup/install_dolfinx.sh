# shellcheck shell=bash disable=SC2034,SC2154
# Puts DOLFINx into .venv by the route that was found, and proves that it can be imported.

install_dolfinx() {
    case $route in
        distribution) install_packages python3-dolfinx python3-dolfinx-real python3-venv python3-dev gcc openmpi-bin ;;
        wheel) command -v cc >/dev/null || ! has_apt || install_packages gcc ;;
        build) install_packages "${build_packages[@]}" ;;
    esac
}

# The same wheels are not fetched or built again for an .venv that has them.
wheels_are_installed() {
    [ "$(cat "$venv/ibvonn-wheels" 2>/dev/null)" = "$(basename "$(cache_entry)")" ] &&
        "$venv/bin/python" "$setup_folder/probe_dolfinx.py" >"$log_folder/probe.log" 2>&1
}

install_wheels() {
    install -c "$project_folder/constraints.txt" mpi4py fenics-basix fenics-ffcx cffi
    install --no-deps --reinstall "$(cache_entry)"/*.whl
    make_petsc_prefix "$venv/petsc"
    # Nothing of the cache or the build folder is needed from here on. The file is made anew because
    # the installed one may be a link into the cache of uv.
    local settings
    settings=$("$venv/bin/python" -c 'import petsc4py, pathlib; print(pathlib.Path(petsc4py.__file__).parent)')/lib/petsc.cfg
    rm -f "$settings"
    printf 'PETSC_DIR = %s\nPETSC_ARCH = \n' "$venv/petsc" >"$settings"
    basename "$(cache_entry)" >"$venv/ibvonn-wheels"
}

# What is imported here is compiled for all later processes, also where the user's shell forbids it.
check_environment() {
    unset PYTHONDONTWRITEBYTECODE
    "$venv/bin/python" -c '
import h5py, matplotlib.pyplot, nflows, onnx, onnxruntime, scipy.interpolate, scipy.stats, torch
import torch.jit, torch.onnx, ibvonn_fem, ibvonn_train'
    "$venv/bin/python" "$setup_folder/probe_dolfinx.py"
}

# shellcheck shell=bash disable=SC2034,SC2154
# Builds the wheels of petsc4py and DOLFINx and stores them in the cache.
# The build folder is the user's own, because the libraries keep its path in their RUNPATH.

build_packages=(
    libpetsc-real-dev libopenmpi-dev openmpi-bin libboost1.81-dev libboost-timer1.81-dev
    libboost-chrono1.81-dev libpugixml-dev libspdlog-dev libhdf5-openmpi-dev libscotch-dev
    libptscotch-dev ninja-build pkg-config dpkg-dev g++
)

provide_wheels() {
    cached_wheels_are_sound && {
        say "  DOLFINx $dolfinx_version is in the cache ($(cache_entry))."
        return
    }
    wait_for_lock "$cache_folder/lock" "DOLFINx" 60
    cached_wheels_are_sound && return
    rm -rf "$cache_folder"/build.*
    require_space "$cache_folder" 2
    build_folder=$(mktemp -d "$cache_folder/build.XXXXXX")
    build_wheels "$build_folder"
    store_wheels "$build_folder/wheels"
    rm -rf "$build_folder"
    release_lock "$cache_folder/lock"
}

build_wheels() {
    local again="run the same command again; if it fails again, $conda_remedy"
    local petsc_found
    petsc_found=$(pkg-config --modversion PETSc)
    [ "$petsc_found" = "$petsc_version" ] || fail \
        "the build is known to work with PETSc $petsc_version, and this machine has $petsc_found." "$conda_remedy"
    mkdir -p "$1/wheels" "$1/tmp"
    export TMPDIR=$1/tmp PETSC_DIR=$1/petsc
    run_step dolfinx-source "Fetch the source of DOLFINx $dolfinx_version" "10 s" \
        "look whether the Debian mirror of this machine carries the suite '$source_suite'; else $conda_remedy" \
        fetch_source "$1"
    run_step dolfinx-tools "Install the build tools into an environment of their own" "40 s" "$again" \
        make_build_environment "$1"
    start_step petsc4py "Compile petsc4py $petsc_version" "150 s, on one core beside the next step" "$again" \
        build_petsc4py "$1"
    run_step dolfinx-library "Compile the C++ library" "150 s" "$again" build_library "$1"
    finish_step petsc4py
    run_step dolfinx-python "Compile the Python layer" "150 s" "$again" build_python_layer "$1"
    unset TMPDIR PETSC_DIR
}

make_build_environment() {
    make_petsc_prefix "$1/petsc"
    "$base_python" -m venv "$1/venv"
    "$1/venv/bin/python" -m pip install --no-deps -r "$setup_folder/build-tools.txt"
    tar -xf "$1/fenics-dolfinx_$dolfinx_version.orig.tar.gz" -C "$1"
    mv "$1"/*dolfinx-*/ "$1/source"
}

# pip's own cache is left out: it hands out a petsc4py built for another PETSC_DIR.
build_wheel() {
    "$1/venv/bin/python" -m pip wheel --no-cache-dir --no-build-isolation --no-deps -w "$1/wheels" "${@:2}"
}

build_petsc4py() { build_wheel "$1" "petsc4py==$petsc_version"; }

build_library() {
    export PATH=$1/venv/bin:$PATH
    cmake -G Ninja -S "$1/source/cpp" -B "$1/library" \
        -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$1/prefix" \
        -DPython3_EXECUTABLE="$1/venv/bin/python" -DDOLFINX_UFCX_PYTHON=ON \
        -DDOLFINX_ENABLE_PETSC=ON -DDOLFINX_ENABLE_SLEPC=OFF -DDOLFINX_ENABLE_PARMETIS=OFF \
        -DDOLFINX_ENABLE_KAHIP=OFF -DDOLFINX_ENABLE_ADIOS2=OFF
    ninja -C "$1/library" install
}

# petsc4py has to be installed here first: without it the layer compiles, but knows no PETSc.
build_python_layer() {
    "$1/venv/bin/python" -m pip install --no-deps "$1"/wheels/petsc4py-*.whl
    cp -L "$1/prefix/lib/libdolfinx.so.0.9" "$1/source/python/dolfinx/"
    export PATH=$1/venv/bin:$PATH CMAKE_PREFIX_PATH=$1/prefix
    build_wheel "$1" \
        -C 'cmake.define.CMAKE_INSTALL_RPATH=$ORIGIN;$ORIGIN/../basix/lib;$ORIGIN/../fenics_basix.libs' \
        "$1/source/python"
}

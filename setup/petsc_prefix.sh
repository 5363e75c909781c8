# shellcheck shell=bash disable=SC2034,SC2154
# DOLFINx 0.9 looks for PETSC_DIR/lib/libpetsc.so when it is imported; Debian names it otherwise.

# make_petsc_prefix FOLDER: three links that look like an installed PETSc.
make_petsc_prefix() {
    local petsc
    petsc=$(pkg-config --variable=prefix PETSc)
    grep -qs 'define PETSC_USE_COMPLEX' "$petsc/include/petscconf.h" && {
        echo "the default PETSc ($petsc) is built for complex numbers: choose the real one with update-alternatives"
        return 1
    }
    mkdir -p "$1/lib"
    ln -sfn "$petsc/include" "$1/include"
    ln -sfn "$petsc/lib/petsc" "$1/lib/petsc"
    ln -sfn "$petsc/lib/libpetsc_real.so" "$1/lib/libpetsc.so"
}

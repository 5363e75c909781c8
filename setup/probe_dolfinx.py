"""Say whether the Python that runs this can serve as the DOLFINx of this project.

With --for-venv: also whether an environment made from it can.

Prints the version and exits with 0 if it can, prints the reason and exits with 1 if not.
"""

import sys
from pathlib import Path

OLDEST = (0, 9)


def main() -> str:
    """Return the version of a usable DOLFINx."""
    try:
        # First, because it loads the MPI library that PETSc and DOLFINx from a wheel need.
        from mpi4py import MPI  # noqa: F401, I001
        import dolfinx
    except Exception as error:
        sys.exit(f"it cannot import dolfinx ({error!r})")
    # The MPI of a wheel is found from the environment alone that it is installed in.
    in_an_environment = sys.prefix != sys.base_prefix
    if (
        "--for-venv" in sys.argv
        and in_an_environment
        and any(Path(sys.prefix, "lib").glob("libmpi*"))
    ):
        sys.exit("its DOLFINx is the binary wheel, which serves its own environment only")
    version = str(dolfinx.__version__)
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        sys.exit(f"its DOLFINx {version} is older than {OLDEST[0]}.{OLDEST[1]}")
    if not dolfinx.common.has_petsc4py:
        sys.exit(f"its DOLFINx {version} has no petsc4py")
    try:
        from petsc4py import PETSc
    except Exception as error:
        sys.exit(f"it cannot import petsc4py ({error!r})")
    if PETSc.ScalarType().dtype.kind != "f":
        sys.exit("its PETSc is built for complex numbers")
    return version


if __name__ == "__main__":
    sys.stdout.write(main() + "\n")

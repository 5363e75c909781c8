# shellcheck shell=bash disable=SC2034,SC2154
# The versions that set-up chooses. Python packages are pinned in constraints.txt, and those of the
# build in build-tools.txt. The binary wheel of DOLFINx is pinned, with hashes, in wheel.txt.

torch_version=2.13.0
torch_oldest=2.5

dolfinx_version=0.9.0
dolfinx_oldest=0.9
basix_version=0.9.0

wheel_version=0.11.0.post0
wheel_glibc=2.34

# Only for the build from source. numpy 2.4 needs Python 3.11, petsc4py 3.18 allows none newer.
build_python=3.11
build_distribution=debian-12
petsc_version=3.18.5
source_suite=trixie
source_sha256=8caf7bc7beabe66d8f0e130fa3ef2e65b074952aef88d13314a548894e8f0b03

# Increase when the build recipe changes: wheels of an older recipe are then not used again.
recipe_revision=1

#!/usr/bin/env bash
# Builds CalculiX with support for external behaviours, which Debian's own binary lacks, from
# Debian's source package, and prints the path of the program. Built once, then taken from the cache.
#
#   bash build_ccx.sh
#
# Needs apt with a source of Debian packages configured, a C and a Fortran compiler; installs the
# packages below if they are missing and it may. Takes two minutes on two cores.
set -euo pipefail

version=2.20
packages=(gcc gfortran make dpkg-dev libarpack2-dev libspooles-dev liblapack-dev libblas-dev)
cache=${IBVONN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ibvonn}/calculix
entry=$cache/ccx-$version-$(uname -m)-$(sha256sum "${BASH_SOURCE[0]}" | cut -c 1-12)

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "calculix: $*"
    exit 1
}

install_packages() {
    local package missing=()
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    [ "$(id -u)" -eq 0 ] || fail "needs the packages ${missing[*]}. Run: sudo apt-get install ${missing[*]}"
    say "Installing ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "${missing[@]}" >&2
}

# The source from the mirror that this machine uses already, with a private apt configuration.
fetch_source() {
    local apt=$1/apt mirror suite
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1)
    [ -n "$mirror" ] || fail "apt knows no mirror. Run 'apt-get update' first."
    suite=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    mkdir -p "$apt/sources" "$apt/lists/partial" "$apt/cache/archives/partial"
    cat >"$apt/sources/source.sources" <<EOS
Types: deb-src
URIs: $mirror
Suites: $suite
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
EOS
    local options=(
        -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/sources"
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=
    )
    (cd "$1" && apt-get -qq "${options[@]}" update && apt-get -qq "${options[@]}" source \
        --download-only --tar-only calculix-ccx) >&2
    compgen -G "$1/calculix-ccx_$version*.orig.tar.*" >/dev/null || fail \
        "the suite $suite carries another version than $version; this script knows $version only."
    mkdir "$1/source"
    tar -xf "$1"/calculix-ccx_"$version"*.orig.tar.* -C "$1/source"
}

# CalculiXstep.c is a second main; gauss.f and xlocal.f are only included by others.
compile() {
    local source
    source=$(dirname "$(find "$1/source" -name CalculiX.h | head -n 1)")
    cat >"$source/Makefile.external" <<'EOS'
C := $(filter-out CalculiXstep.c,$(wildcard *.c))
F := $(filter-out gauss.f xlocal.f,$(wildcard *.f))
CFLAGS := -O1 -w -DARCH="Linux" -DSPOOLES -DARPACK -DMATRIXSTORAGE -DNETWORKOUT \
          -DCALCULIX_EXTERNAL_BEHAVIOURS_SUPPORT -I/usr/include/spooles
FFLAGS := -O1 -w -fallow-argument-mismatch
ccx: $(C:.c=.o) $(F:.f=.o)
	$(FC) -rdynamic -o $@ $^ -lspooles -larpack -llapack -lblas -ldl -lpthread -lm
EOS
    make -s -C "$source" -f Makefile.external -j "$(nproc)" CC=gcc FC=gfortran ccx >&2
    cp "$source/ccx" "$1/ccx"
}

if [ ! -x "$entry/ccx" ]; then
    command -v apt-get >/dev/null || fail "needs apt (Debian or Ubuntu)."
    install_packages
    mkdir -p "$cache"
    exec {lock}>"$cache/lock"
    flock "$lock"
    if [ ! -x "$entry/ccx" ]; then
        folder=$(mktemp -d "$cache/build.XXXXXX")
        trap 'rm -rf "$folder"' EXIT
        say "Fetching the source of CalculiX $version"
        fetch_source "$folder"
        say "Compiling CalculiX $version (two minutes on two cores)"
        compile "$folder"
        mkdir -p "$entry"
        mv "$folder/ccx" "$entry/ccx"
    fi
fi
printf '%s\n' "$entry/ccx"

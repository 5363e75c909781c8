# shellcheck shell=bash disable=SC2034,SC2154
# The source of DOLFINx, from the Debian mirror that this machine already uses, read with a private
# apt configuration, so that the machine's own lists and sources stay as they are.

# fetch_source FOLDER: leaves fenics-dolfinx_VERSION.orig.tar.gz there, with its checksum verified.
fetch_source() {
    local folder=$1 apt="$1/apt" mirror tarball="fenics-dolfinx_$dolfinx_version.orig.tar.gz"
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1)
    [ -n "$mirror" ] || {
        echo "apt knows no mirror: 'apt-get update' has not been run, or its sources list is empty"
        return 1
    }
    mkdir -p "$apt/sources" "$apt/lists/partial" "$apt/cache/archives/partial"
    cat >"$apt/sources/source.sources" <<EOS
Types: deb-src
URIs: $mirror
Suites: $source_suite
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
EOS
    cd "$folder" || return
    local options=(
        -o Dir::Etc::sourcelist=/dev/null
        -o Dir::Etc::sourceparts="$apt/sources"
        -o Dir::State::lists="$apt/lists"
        -o Dir::Cache="$apt/cache"
        -o APT::Sandbox::User=
    )
    apt-get -q "${options[@]}" update
    apt-get -q "${options[@]}" source --download-only --tar-only fenics-dolfinx
    echo "$source_sha256  $tarball" | sha256sum --check --strict
}

# shellcheck shell=bash disable=SC2034,SC2154
# The two built wheels (petsc4py, DOLFINx) in the user's cache folder, under a name with every
# version. An entry appears by one rename, complete, or not at all.

cache_folder=${XDG_CACHE_HOME:-$HOME/.cache}/ibvonn/dolfinx

cache_entry() {
    printf '%s/%s-petsc%s-basix%s-python%s-%s-%s-r%s' "$cache_folder" "$dolfinx_version" \
        "$petsc_version" "$basix_version" "$build_python" "$build_distribution" "$(uname -m)" "$recipe_revision"
}

# Succeeds if the entry is there and every file is what was stored.
cached_wheels_are_sound() {
    local entry
    entry=$(cache_entry)
    [ -d "$entry" ] || return 1
    if (cd "$entry" && sha256sum --check --quiet --strict SHA256SUMS) >"$log_folder/cache.log" 2>&1; then
        return 0
    fi
    say "  The cached wheels do not have their checksums: they are thrown away and built again."
    rm -rf "$entry"
    return 1
}

# store_wheels FOLDER
store_wheels() {
    local entry
    entry=$(cache_entry)
    (cd "$1" && sha256sum -- *.whl >SHA256SUMS)
    sync -f "$1"
    mkdir -p "$(dirname "$entry")"
    mv -T "$1" "$entry"
}

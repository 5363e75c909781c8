#!/usr/bin/env bash
# Carries out distribution/Dockerfile in a Debian 13 root made by debootstrap, and runs README's
# finite-element example there, as its user. As root, after `make dist`; outside CI.
# The first time takes about 3 minutes and 3 GB; the root is made anew at every run.
# shellcheck disable=SC2154
set -euo pipefail

project_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
setup_folder=$project_folder/setup
log_folder=$project_folder/build/dist-debian
for part in versions report system_packages debian_root; do
    # shellcheck source=/dev/null
    . "$setup_folder/$part.sh"
done
mkdir -p "$log_folder"
trap stop_steps EXIT
trap 'exit 130' INT TERM HUP

root=$log_folder/root
[ "$(id -u)" -eq 0 ] || fail "a Debian root can only be made as root." "run it with sudo."
wheel=$(find "$project_folder/dist" -name 'ibvonn-*.whl' 2>/dev/null)
[ -f "$wheel" ] || fail "dist/ has no wheel, or several." "run 'make dist' first."
if ! command -v debootstrap >/dev/null && [ "$(apt_candidate debootstrap)" = '(none)' ]; then
    say "The Dockerfile is not tried: debootstrap is neither here nor offered by this distribution."
    exit 0
fi
install_packages debootstrap
say "The Dockerfile in a Debian 13 root ($root)"
rm -rf "$root"
run_step root "Make the root" "30 s" "run the same command again." make_root trixie
connect_root
# Where pip is told to look for packages on this machine, it looks there in the root.
index=$("$project_folder/.venv/bin/python" -m pip config get global.index-url 2>/dev/null) || true
[ -z "$index" ] || printf '[global]\nindex-url = %s\n' "$index" >"$root/etc/pip.conf"
mkdir -p "$root/context"
cp "$wheel" "$root/context/"

# The commands of the Dockerfile, one line each: words of COPY, RUN, ENV, USER and WORKDIR.
instructions() {
    sed -e '/^#/d' -e '/^$/d' -e ':join' -e '/\\$/{N;s/\\\n *//;bjoin}' "$project_folder/distribution/Dockerfile"
}

# as_user COMMAND...: with the variables, the user and the folder that the Dockerfile has set.
user=0 folder=/ variables=()
as_user() {
    enter env -i HOME="$(home_of "$user")" "${variables[@]}" chroot --userspec="$user:$user" / \
        bash -e -o pipefail -c 'cd "$0" && eval "$1"' "$folder" "$1"
}
home_of() { awk -F: -v id="$1" '$3 == id { print $6 }' "$root/etc/passwd"; }

variables=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive)
number=0
while read -r instruction rest <&3; do
    case $instruction in
        FROM | SHELL) ;; # the root, and bash as as_user calls it
        RUN)
            number=$((number + 1))
            [ ! -d "$root/etc/ssl/certs" ] || share_certificates
            run_step "run-$number" "RUN ${rest:0:60}…" "a minute" "read the log." as_user "$rest"
            ;;
        COPY)
            read -r pattern target <<<"$rest"
            mkdir -p "$root$target"
            # shellcheck disable=SC2086
            (cd "$root/context" && cp $pattern "$root$target")
            ;;
        ENV) variables+=("$rest") ;;
        USER) user=$rest ;;
        WORKDIR) folder=$rest ;;
        *) fail "the Dockerfile has the instruction $instruction." "teach it to distribution/test_dockerfile.sh." ;;
    esac
done 3< <(instructions)

"$project_folder/.venv/bin/python" "$project_folder/distribution/readme_example.py" >"$root$folder/bar.py"
expected=$(sed -n 's/^# prints: //p' "$root$folder/bar.py")
printed=$(as_user 'python3 bar.py' 2>&1) || true
[ "$printed" = "$expected" ] || fail "README's example must print '$expected'; it printed '$printed'." \
    "enter the root: chroot $root"
say "README's example printed: $printed"
say "DOLFINx $(as_user 'python3 -c "from mpi4py import MPI; import dolfinx; print(dolfinx.__version__)"'), Python $(as_user 'python3 --version' | cut -d' ' -f2), $(as_user 'ibvonn-fem check trap' | tail -n 1)"
rm -rf "$root"
say "The Dockerfile's commands work in Debian 13 ($SECONDS s)."

# shellcheck shell=bash disable=SC2034,SC2154
# A Debian root of its own in $root, for runs that need another system; as root.

# make_root SUITE
make_root() {
    local mirror
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1)
    rm -rf "$root.partial"
    debootstrap --variant=minbase "$1" "$root.partial" "$mirror"
    mv -T "$root.partial" "$root"
}

# enter COMMAND...: with a view of /proc, /dev and /sys that ends with the command.
enter() {
    unshare --mount bash -c '
        mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --rbind /sys "$0/sys" &&
        exec chroot "$0" "$@"' "$root" "$@"
}

# The network of this machine, and no wait for the disk, which takes most of the time: the root can
# be made again.
connect_root() {
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/ibvonn"
}

# The certificates that this machine trusts, for pip.
share_certificates() {
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
}

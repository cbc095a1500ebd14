# shellcheck shell=bash
# Sourced after common.sh and docker.sh. Makes sure that the images our examples and tests build on exist locally:
#   ensure_base_images            node:22-bookworm-slim (pulled; built here where no registry can be reached) and the next one
#   ensure_tiny_image             havre-test/tiny:1, a static busybox for engine tests (always made here)
# What was built here is kept in <cache>/images, so that an empty Docker store is filled again in seconds.
# It never replaces an image that is present. Used by script/demo and script/test.

HAVRE_SCRIPT_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
HAVRE_NODE_IMAGE=node:22-bookworm-slim
HAVRE_DEBIAN_IMAGE=havre-base/debian:12
HAVRE_TINY_IMAGE=havre-test/tiny:1
HAVRE_PULL_TIMEOUT=${HAVRE_PULL_TIMEOUT:-60} # seconds; a slow registry is not worth more, we can build instead
HAVRE_IMAGE_RECIPE=1                         # raise it when a recipe below changes: older cache files are then ignored

ensure_base_images() {
  ensure_tiny_image
  ensure_image "$HAVRE_NODE_IMAGE" build_node_image pull
}

ensure_tiny_image() { ensure_image "$HAVRE_TINY_IMAGE" build_tiny_image; }

image_present() { docker_cli image inspect "$1" >/dev/null 2>&1; }

# ensure_image NAME BUILD_FUNCTION [pull]: present, else pulled when it is a public name, else from the cache, else built and cached.
ensure_image() {
  local name=$1 build=$2 file
  image_present "$name" && return 0
  file=$(image_cache_file "$name")
  if [ "${3:-}" = pull ] && pull_image "$name"; then return 0; fi
  if [ -s "$file" ]; then
    say "loading $name from $file (delete that file to have it made afresh)"
    need_command zstd "apt-get install zstd"
    if zstd -dcq "$file" | docker_cli load >/dev/null && image_present "$name"; then return 0; fi
    warn "$file could not be loaded; making $name afresh"
    rm -f "$file"
  fi
  "$build"
  image_present "$name" || die "$name was built, but Docker does not list it"
  save_image "$name" "$file"
}

pull_image() {
  say "pulling $1"
  if timeout "$HAVRE_PULL_TIMEOUT" "$(docker_client_path)" pull -q "$1" >/dev/null 2>&1; then return 0; fi
  say "no registry gave $1; using one made on this machine instead"
  return 1
}

image_architecture() { dpkg --print-architecture; }

image_cache_file() {
  printf '%s/images/%s.%s.r%s.tar.zst\n' \
    "$(havre_cache_dir)" "$(printf '%s' "$1" | tr '/:' '--')" "$(image_architecture)" "$HAVRE_IMAGE_RECIPE"
}

# A half-written file must never be taken for a whole one: written beside, then renamed.
save_image() {
  apt_install zstd
  mkdir -p "$(dirname "$2")"
  local part
  part=$(mktemp "$2.XXXXXX")
  if docker_cli save "$1" | zstd -q -3 -T0 -c >"$part"; then
    mv -f "$part" "$2"
    say "kept $1 in $2"
  else
    rm -f "$part"
    warn "could not keep $1 in $2; it will be made again next time"
  fi
}

# in_scratch FUNCTION: runs FUNCTION DIRECTORY with a new directory that is gone afterwards, however FUNCTION ends.
# In a shell of its own, because `set -e` means nothing inside a function whose caller tests its result.
in_scratch() {
  local scratch status=0
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/havre-image.XXXXXX")
  bash -euo pipefail -c '
    . "$0/common.sh"; . "$0/docker.sh"; . "$0/base-images.sh"; . "$0/machine-images.sh"; . "$0/stack-images.sh"; . "$0/database-images.sh"
    "$1" "$2"' "$HAVRE_SCRIPT_LIB" "$1" "$scratch" || status=$?
  rm -rf "$scratch"
  [ "$status" = 0 ] || die "making the image failed ($1); the lines above say why"
}

build_tiny_image() { in_scratch fill_tiny_image; }

fill_tiny_image() {
  local root=$1/root applet
  say "making $HAVRE_TINY_IMAGE from Debian's busybox-static"
  mkdir -p "$root"/{bin,etc,tmp,www,proc,sys,dev}
  chmod 1777 "$root/tmp"
  # Downloaded and unpacked, not installed: the machine may use the other busybox package.
  (cd "$1" && { download_package busybox-static || { apt_run update && download_package busybox-static; }; })
  dpkg-deb -x "$1"/busybox-static_*.deb "$1/package"
  cp "$(find "$1/package" -type f -name busybox -perm /111)" "$root/bin/busybox"
  for applet in $("$root/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"
  done
  printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
  printf 'tiny\n' >"$root/www/index.html"
  tar -C "$root" --numeric-owner --owner=0 --group=0 -c . |
    docker_cli import -c 'ENV PATH=/bin' -c 'CMD ["/bin/sh"]' -c 'LABEL dev.havre.made-here=1' - "$HAVRE_TINY_IMAGE" >/dev/null
}

# apt's own unprivileged user could not write into our scratch directory.
download_package() { apt_run -o APT::Sandbox::User="$(id -un)" download "$1"; }

build_debian_image() { in_scratch fill_debian_image; }

fill_debian_image() {
  say "making $HAVRE_DEBIAN_IMAGE from Debian packages (a minute or two, once per machine)"
  debian_tar bookworm "$1/debian.tar" ca-certificates
  docker_cli import -c 'ENV LANG=C.UTF-8' -c 'CMD ["bash"]' -c 'LABEL dev.havre.made-here=1' \
    "$1/debian.tar" "$HAVRE_DEBIAN_IMAGE" >/dev/null
}

# debian_tar SUITE FILE PACKAGE...: a root file system of the smallest Debian with these packages.
debian_tar() {
  local suite=$1 file=$2 mirror
  shift 2
  apt_install mmdebstrap
  need_root "making a Debian image"
  mirror=$(debian_mirror)
  local options=()
  # A mirror that lags some days behind is fine for an unreleased suite; signatures are checked all the same.
  [ "$suite" != forky ] || options=(--aptopt='Acquire::Check-Valid-Until "false"')
  # dpkg syncs every file otherwise, which costs minutes on a busy disk and buys nothing in an image.
  # shellcheck disable=SC2016 # $1 is mmdebstrap's to expand
  mmdebstrap --quiet "${options[@]}" --variant=minbase --include="$(IFS=,; printf '%s' "$*")" \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='mkdir -p "$1/etc/dpkg/dpkg.cfg.d" && echo force-unsafe-io > "$1/etc/dpkg/dpkg.cfg.d/havre-image"' \
    "$suite" "$file" "$mirror" >&2
}

# The mirror this machine's own apt uses: the first source that carries bookworm itself.
debian_mirror() {
  local uri
  # shellcheck disable=SC2016 # the $(...) are apt's fields
  uri=$(apt-get indextargets --format '$(CREATED_BY)|$(CODENAME)|$(REPO_URI)' 2>/dev/null |
    awk -F'|' '$1 == "Packages" && $2 == "bookworm" { print $3; exit }')
  [ -n "$uri" ] || die "this machine's apt sources name no Debian 12 (bookworm) mirror to take packages from"
  printf '%s\n' "$uri"
}

build_node_image() {
  image_present "$HAVRE_DEBIAN_IMAGE" || build_debian_image
  in_scratch fill_node_image
}

fill_node_image() {
  local cpu version
  have npm || apt_install npm
  case $(image_architecture) in
    amd64) cpu=x64 ;;
    arm64) cpu=arm64 ;;
    *) die "no Node.js build is known for $(image_architecture); pull $HAVRE_NODE_IMAGE by hand" ;;
  esac
  version=$(newest_npm_version "node-linux-$cpu" 22)
  say "making $HAVRE_NODE_IMAGE from $HAVRE_DEBIAN_IMAGE and Node.js $version of the npm registry"
  mkdir -p "$1/usr/local/bin" "$1/usr/local/lib/node_modules"
  (cd "$1" && npm pack --silent "node-linux-$cpu@$version" "npm@$(newest_npm_version npm 10)" >/dev/null)
  mkdir "$1/node" "$1/npm"
  tar -xzf "$1/node-linux-$cpu-$version.tgz" -C "$1/node" --strip-components=1
  tar -xzf "$1"/npm-10.*.tgz -C "$1/npm" --strip-components=1
  install -m 0755 "$1/node/bin/node" "$1/usr/local/bin/node"
  mv "$1/npm" "$1/usr/local/lib/node_modules/npm"
  ln -s node "$1/usr/local/bin/nodejs"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$1/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$1/usr/local/bin/npx"
  chmod 0755 "$1"/usr/local/lib/node_modules/npm/bin/*-cli.js
  cp /etc/ssl/certs/ca-certificates.crt "$1/ca-certificates.crt"
  # This machine's certificate authorities go in, so that npm works in builds behind a company's own authority.
  cat >"$1/Dockerfile" <<DOCKERFILE
FROM $HAVRE_DEBIAN_IMAGE
COPY usr/ /usr/
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV NODE_VERSION=$version NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node && node --version && npm --version
$(node_managers_lines)
CMD ["node"]
DOCKERFILE
  printf '*\n!usr\n!ca-certificates.crt\n' >"$1/.dockerignore"
  docker_cli build -q -t "$HAVRE_NODE_IMAGE" "$1" >/dev/null
}

# Yarn 1 and Corepack, as in the public image; Corepack asks the registry that this machine's npm asks. Its own stand-ins for other
# managers come with `corepack enable` only.
node_managers_lines() {
  printf 'ENV COREPACK_NPM_REGISTRY=%s\n' "$(npm config get registry | sed 's,/$,,')"
  printf 'RUN npm install --global --no-audit --no-fund corepack@0 && cd /usr/local/bin && rm -f yarn yarnpkg pnpm pnpx && \\\n'
  printf '    npm install --global --no-audit --no-fund yarn@1 && npm cache clean --force\n'
}

# newest_npm_version PACKAGE MAJOR: the highest published version of that major.
newest_npm_version() {
  local found
  found=$(npm view "$1@$2" version --json 2>/dev/null | tr -d '[]", ' | grep -E '^[0-9]+\.[0-9]+\.[0-9]+$' | sort -V | tail -n 1) || true
  [ -n "$found" ] || die "the npm registry gave no version $2.x of $1; is it reachable from this machine?"
  printf '%s\n' "$found"
}

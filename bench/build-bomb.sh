#!/usr/bin/env bash
# A build that eats all memory and starts processes without end, beside a service under load: what do its users notice, what is
# killed, and how does the build end? The service's p99 while the build runs may be twice what it is when nothing is built; no task is
# replaced, and nothing but processes of the build is killed.
#
#   bench/build-bomb.sh [MEMORY] [PIDS] [RATE] [SECONDS]     default 1GB, 512 processes, 200 requests a second, 20 s for each part
#
# Builds share one group of processes on a machine: while this runs, its limits hold for every other build there as well. Those that
# were there before are set again at the end.
. "$(dirname "$0")/world.sh"
memory="${1:-1GB}" pids="${2:-512}" rate="${3:-200}" seconds="${4:-20}"
world_start
machine

# Swap first: the limit of memory alone must not be above it. Where there was no group yet, there was no limit.
limits=()
for file in memory/docker/buildkit/memory.memsw.limit_in_bytes memory/docker/buildkit/memory.limit_in_bytes \
  pids/docker/buildkit/pids.max docker/buildkit/memory.swap.max docker/buildkit/memory.max docker/buildkit/pids.max; do
  case $file in memory/*) none=-1 ;; *) none=max ;; esac
  limits+=("$file $(cat "/sys/fs/cgroup/$file" 2> /dev/null || printf '%s' "$none")")
done
finish() {
  local file value
  while read -r file value; do
    [ ! -e "/sys/fs/cgroup/$file" ] || printf '%s' "$value" > "/sys/fs/cgroup/$file" || warn "could not set $file to $value again"
  done < <(printf '%s\n' "${limits[@]}")
  world_stop
}
trap finish EXIT

# The limits of this run: control reads its configuration when it starts.
sed -i "s/^\[build\]$/[build]\nmemory = \"$memory\"\npids = $pids/" "$home/havred.toml"
kill "$havred"
wait "$havred" 2> /dev/null || true
"$bin/havred" supervise --config "$home/havred.toml" >> "$home/havred.log" 2>&1 < /dev/null &
havred=$!
wait_until 30 "$bin/havre" status --node --json > /dev/null || die "Havre did not start again: $(tail -n 3 "$home/havred.log")"

project quiet well-behaved 2
(cd "$home/quiet" && "$bin/havre" deploy > /dev/null)
tasks() { docker_cli ps --no-trunc -q --filter "label=dev.havre.installation=$installation" | sort; }
oom_kills() { awk '$1 == "oom_kill" {print $2}' /proc/vmstat; }
load() {
  "$bin/havre-bench" load --target "$target" --host quiet.localhost --path /health --connections 32 --seconds "$seconds" \
    --rate "$rate" > "$home/$1.json" 2>> "$home/load.log" || true
}
p99() { jq -r .latency_ms.p99 "$home/$1.json"; }
failed() { jq -r .failed "$home/$1.json"; }

mkdir "$home/bomb"
cat > "$home/bomb/havre.toml" <<'TOML'
project = "bomb"
[services.app]
dockerfile = "Dockerfile"
port = 3000
TOML
# Each kind by itself and both at once. What is killed is started again, so that no kill ends it.
bomb() {
  case $1 in
    memory) printf 'const keep = []; while (true) keep.push(Buffer.alloc(1 << 24, 1));' ;;
    forks) printf '%s' "const { spawn } = require('child_process'); const more = () => { const c = spawn('sleep', ['600']);
      c.on('error', () => setTimeout(more, 10)); setImmediate(more); }; more();" ;;
    both) printf '%s' "const { spawn } = require('child_process'); const eat = 'const k=[];while(true)k.push(Buffer.alloc(1<<24,1));';
      const more = () => { const c = spawn(process.execPath, ['-e', eat]); c.on('error', () => setTimeout(more, 10));
      c.on('exit', more); setTimeout(more, 20); }; more();" ;;
  esac
}

say "nothing is built"
load idle
status=0
printf '%-8s %10s %10s %7s %8s %10s %9s  %s\n' bomb 'p99 idle' 'p99' ratio failed 'oom kills' tasks 'how the build ended'
for kind in memory forks both; do
  bomb "$kind" > "$home/bomb/bomb.js"
  printf 'FROM %s\nUSER root\nCOPY bomb.js /\nRUN : %s && node /bomb.js\n' "$image" "$(date +%s%N)" > "$home/bomb/Dockerfile"
  before=$(tasks) killed=$(oom_kills)
  newest=$("$bin/havre" events --limit 1 --json | jq .seq)
  (cd "$home/bomb" && "$bin/havre" deploy > "$home/bomb.log" 2>&1) &
  build=$!
  sleep 2
  load "$kind"
  for _ in $(seq 120); do kill -0 "$build" 2> /dev/null || break; sleep 1; done
  kill -0 "$build" 2> /dev/null && { kill "$build"; status=1; say "the build did not end"; }
  wait "$build" 2> /dev/null || true
  if [ "$before" = "$(tasks)" ]; then kept=kept; else kept=REPLACED; status=1; fi
  ended=$("$bin/havre" events --after "$newest" --json | jq -rs '[.[] | select(.kind.room == "build" and .kind.to.state == "failed")] | last | .kind.to.reason')
  ratio=$(awk -v a="$(p99 "$kind")" -v b="$(p99 idle)" 'BEGIN {printf "%.2f", a / b}')
  awk -v r="$ratio" 'BEGIN {exit !(r < 2)}' || status=1
  case $ended in *"havred.toml [build]"*) ;; *) status=1 ;; esac
  printf '%-8s %10s %10s %7s %8s %10s %9s  %s\n' "$kind" "$(p99 idle) ms" "$(p99 "$kind") ms" "$ratio" "$(failed "$kind")" \
    "$(($(oom_kills) - killed))" "$kept" "$ended"
done
exit "$status"

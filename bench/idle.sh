#!/usr/bin/env bash
# What Havre costs when nothing happens: resident memory and processor time of all its processes with some services running.
#
#   bench/idle.sh [SERVICES] [SECONDS]     default 20 services, 60 s
. "$(dirname "$0")/world.sh"
services="${1:-20}" seconds="${2:-60}"
world_start
mkdir -p "$home/idle"
cd "$home/idle"
{
  printf 'project = "idle"\n'
  for n in $(seq "$services"); do
    printf '\n[services.app%s]\nimage = "%s"\nport = 3000\nhealth = "/health"\nhosts = ["app%s.localhost"]\nenv = { BEHAVIOUR = "well-behaved" }\nmemory = "64MB"\n' "$n" "$image" "$n"
  done
} > havre.toml
"$bin/havre" deploy > /dev/null 2> "$home/deploy.err" || { cat "$home/deploy.err" >&2; die "the services did not start"; }
say "$services services run; letting everything come to rest, then watching for $seconds s."
sleep 15
pids=$(printf '%s\n' "$havred"; pgrep -P "$havred")
ticks() { local p sum=0 t; for p in $pids; do t=$(awk '{print $14 + $15}' "/proc/$p/stat"); sum=$((sum + t)); done; echo "$sum"; }
before=$(ticks)
sleep "$seconds"
used=$(($(ticks) - before))
printf '\n%s\n\n| process | resident MB (Pss MB) |\n|---|---|\n' "$(machine)"
for p in $pids; do
  awk -v name="$(tr '\0' ' ' < "/proc/$p/cmdline" | cut -d' ' -f1,2 | xargs -n1 basename | paste -sd' ')" \
    '/^Rss:/{rss=$2} /^Pss:/{pss=$2} END {printf "| %s | %.1f (%.1f) |\n", name, rss/1024, pss/1024}' "/proc/$p/smaps_rollup"
done
for p in $pids; do cat "/proc/$p/smaps_rollup"; done |
  awk '/^Rss:/{rss+=$2} /^Pss:/{pss+=$2} END {printf "| together | %.1f (%.1f) |\n", rss/1024, pss/1024}'
printf '| processor time over %s s | %s %% of a core |\n' "$seconds" "$(awk -v t="$used" -v s="$seconds" -v hz="$(getconf CLK_TCK)" 'BEGIN {printf "%.2f", 100 * t / hz / s}')"

#!/usr/bin/env bash
# How long users wait: from "image ready" to "all traffic on the new release", over some deployments, and the way back by
# rollback. The application's own start is measured apart (same image, plain `docker run`, until /health answers).
#
#   bench/deploy-time.sh [DEPLOYS]     default 20
. "$(dirname "$0")/world.sh"
deploys="${1:-20}"
world_start
project timing well-behaved 2
cd "$home/timing"

# Milliseconds of the application's own start, alone on the machine.
app_start() {
  local began id address
  began=$(date +%s%3N)
  id=$(docker_cli run -d --rm -e BEHAVIOUR=well-behaved -e PORT=3000 --label "dev.havre.installation=$installation" "$image")
  address=$(docker_cli inspect -f '{{.NetworkSettings.IPAddress}}' "$id")
  until curl -sf -o /dev/null --max-time 1 "http://$address:3000/health"; do sleep 0.01; done
  echo $(($(date +%s%3N) - began))
  docker_cli kill "$id" > /dev/null
}

# Milliseconds between two events of the newest deployment: its request and the moment every route had been seen with the new
# release. A build requests its deployment when it has its artifact, a rollback at once.
span() {
  "$bin/havre" events --json | jq -rs '
    def ms: (.[0:19] + "Z" | fromdate) * 1000 + (.[20:23] | tonumber);
    ([.[] | select(.kind.room == "deployment" and .kind.type == "requested")] | last) as $request
    | ([.[] | select(.kind.room == "deployment" and .kind.type == "state_changed" and .kind.deployment == $request.kind.deployment
        and .kind.to.state == "draining")] | last) as $switched
    | ($switched.at | ms) - ($request.at | ms)'
}

"$bin/havre" deploy > /dev/null
own=() deploy=() back=()
for _ in 1 2 3 4 5; do own+=("$(app_start)"); done
for n in $(seq "$deploys"); do
  sed -i "s/APP_VERSION = \"[0-9]*\"/APP_VERSION = \"$n\"/" havre.toml
  "$bin/havre" deploy > /dev/null 2> "$home/deploy.err" || { cat "$home/deploy.err" >&2; die "deploy $n failed"; }
  deploy+=("$(span)")
done
for _ in 1 2 3 4 5; do
  "$bin/havre" rollback app > /dev/null 2> "$home/deploy.err" || { cat "$home/deploy.err" >&2; die "a rollback failed"; }
  back+=("$(span)")
done

figures() { printf '%s\n' "$@" | sort -n | awk '{v[NR]=$1} END {printf "%d (%d..%d)", v[int((NR+1)/2)], v[1], v[NR]}'; }
median() { printf '%s\n' "$@" | sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
printf '\n%s\n\n' "$(machine)"
printf '| milliseconds, median (min..max) | |\n|---|---|\n'
printf '| image ready to all traffic on the new release, %s deploys of 2 tasks | %s |\n' "$deploys" "$(figures "${deploy[@]}")"
printf '| the same image by plain docker run until /health answers | %s |\n' "$(figures "${own[@]}")"
printf '| difference of the medians | %d |\n' $(($(median "${deploy[@]}") - $(median "${own[@]}")))
printf '| rollback, request to all traffic on the earlier release, 5 times | %s |\n' "$(figures "${back[@]}")"

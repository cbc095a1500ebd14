#!/usr/bin/env bash
# The first promise: deployments under load, and what each request got. Once with an application that stops as it should and
# once with one that dies at once on SIGTERM; beside them streams that began before a deployment and must end after it.
# Exit code 0 only if nothing failed.
#
#   bench/zero-loss.sh [DEPLOYS] [RATE]     default 50 deployments of each, 500 requests a second
. "$(dirname "$0")/world.sh"
deploys="${1:-50}" rate="${2:-500}"
world_start
project streams streams 1
(cd "$home/streams" && "$bin/havre" deploy > /dev/null)
# As JSON, because it is an argument vector: the streams' own deployment, while streams are open.
streams_command() {
  jq -cn --arg havre "$bin/havre" --arg file "$home/streams/havre.toml" '[$havre, "--json", "--file", $file, "deploy", "app"]'
}
machine
status=0
for behaviour in well-behaved dies-at-once; do
  project "$behaviour" "$behaviour" 2
  cd "$home/$behaviour"
  "$bin/havre" deploy > /dev/null
  say "$behaviour: $deploys deployments under at least $rate requests a second."
  "$bin/havre-bench" zero-loss --target "$target" --host "$behaviour.localhost" --deploys "$deploys" --rate "$rate" \
    --streams-host streams.localhost --streams-command "$(streams_command)" -- "$bin/havre" --json deploy app || status=1
done
exit "$status"

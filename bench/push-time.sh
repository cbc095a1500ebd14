#!/usr/bin/env bash
# The sample project from `git push` to serving, and what a one-line change costs then: the build of its API in the pipeline beside
# `docker build` of the same Dockerfile, in turn, each with a change of its own; and both beside a naive Dockerfile of one stage.
#
#   bench/push-time.sh [ROUNDS]     default 7
. "$(dirname "$0")/world.sh"
rounds="${1:-7}"
apt_install git
ensure_base_images
world_start

tree="$home/dropit"
mkdir "$tree"
tar -C examples/dropit --exclude=node_modules --exclude=dist -cf - . | tar -C "$tree" -xf -
# Packages are installed anew in the first build of this run, from a cache of npm that may be warm.
printf '# %s\n' "$(date +%s%N)" | tee -a "$tree/apps/api/.npmrc" >> "$tree/apps/web/.npmrc"
token=$("$bin/havre" token create bench --json | jq -r .token)
git_here() { git -C "$tree" -c user.name=bench -c user.email=bench@example.org "$@"; }
git_here init --quiet --initial-branch=main
git_here remote add havre "http://bench:$token@127.0.0.1:$((port + 1))/git/dropit.git"
source=apps/api/src/main.ts

now() { date +%s%3N; }
commit() { git_here add --all && git_here commit --quiet --message "$1"; }
pushed=0
push() {
  local began
  began=$(now)
  git_here push --quiet havre main > "$home/push.log" 2>&1 || { cat "$home/push.log" >&2; die "the push failed"; }
  pushed=$((pushed + 1))
  grep -q "i$pushed: succeeded" "$home/push.log" || { cat "$home/push.log" >&2; die "pipeline i$pushed did not succeed"; }
  took=$(($(now) - began))
}
# Milliseconds from the start of a service's build in the newest pipeline to its end.
built_in() {
  local id
  id=$("$bin/havre" ci status "i$pushed" --json | jq -r --arg name "$1" '.parts[] | select(.service == $name and (.is_test | not)) | .build')
  "$bin/havre" events --limit 10000 --json | jq -rs --arg id "$id" '
    def ms: (.[0:19] + "Z" | fromdate) * 1000 + (.[20:23] | tonumber);
    [.[] | select(.kind.room == "build" and .kind.build == $id)] as $all
    | ($all | map(select(.kind.to.state == "built")) | last.at | ms) - ($all | map(select(.kind.to.state == "running")) | last.at | ms)'
}
# Milliseconds of `docker build`; its context is what git has, as for the pipeline.
docker_build() {
  local began
  began=$(now)
  DOCKER_BUILDKIT=1 docker_cli build --quiet --label dev.havre.bench=$$ --file "$1" --tag "havre-bench/$2" "$tree" > /dev/null 2> "$home/docker.log" ||
    { cat "$home/docker.log" >&2; die "docker build failed"; }
  took=$(($(now) - began))
}
size() { docker_cli image inspect --format '{{.Size}}' "$1" | awk '{printf "%d MB", $1 / 1000000}'; }
figures() { printf '%s\n' "$@" | sort -n | awk '{v[NR]=$1} END {printf "%d (%d..%d)", v[int((NR+1)/2)], v[1], v[NR]}'; }

cat > "$home/naive.Dockerfile" <<'DOCKERFILE'
FROM node:22-bookworm-slim
WORKDIR /app
COPY . .
WORKDIR /app/apps/api
RUN npm install
RUN npm run build
CMD ["npm", "start"]
DOCKERFILE

say "the first push"
commit "First"
push
first=$took
curl -sf -o /dev/null -H 'Host: api.dropit.localhost' "http://$target/api/health" || die "the API does not answer"
docker_build "$home/naive.Dockerfile" naive
naive_cold=$took

say "$rounds changes of one line"
ours=() theirs=() ratios=() naive=() whole=()
for n in $(seq "$rounds"); do
  printf '// push %s\n' "$n" >> "$tree/$source"
  commit "Change $n"
  push
  whole+=("$took")
  ours+=("$(built_in api)")
  printf '// build %s\n' "$n" >> "$tree/$source"
  docker_build "$tree/apps/api/Dockerfile" api
  theirs+=("$took")
  ratios+=("$(awk -v a="${ours[-1]}" -v b="$took" 'BEGIN {printf "%.3f", a / b}')")
  docker_build "$home/naive.Dockerfile" naive
  naive+=("$took")
  git_here checkout --quiet -- "$source"
done

printf '\n%s\n\n' "$(machine)"
printf '| milliseconds, median (min..max) of %s | |\n|---|---|\n' "$rounds"
printf '| first `git push` of API and page to serving, packages installed anew | %d |\n' "$first"
printf '| a change of one line: `git push` to serving | %s |\n' "$(figures "${whole[@]}")"
printf '| the build of the API within it | %s |\n' "$(figures "${ours[@]}")"
printf '| `docker build` of the same Dockerfile and a change of its own | %s |\n' "$(figures "${theirs[@]}")"
printf '| ratio of the two, median (min..max) | %s |\n' "$(printf '%s\n' "${ratios[@]}" | sort -n | awk '{v[NR]=$1} END {printf "%.2f (%.2f..%.2f)", v[int((NR+1)/2)], v[1], v[NR]}')"
printf '| naive Dockerfile of one stage, first build; after a change of one line | %d; %s |\n' "$naive_cold" "$(figures "${naive[@]}")"
printf '| size of the image: ours; naive | %s; %s |\n' "$(size havre-bench/api)" "$(size havre-bench/naive)"
# A tag that moved on leaves the image it was at.
docker_cli image ls -q --filter "label=dev.havre.bench=$$" | sort -u | while read -r id; do docker_cli image rm -f "$id" > /dev/null || true; done

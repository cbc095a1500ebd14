#!/usr/bin/env bash
# Whether a database comes back to any second: pgbench writes, a row is marked each second, and the database is restored to random seconds of
# that time. The last mark that comes back must be the last one that was there, and never more than a second older. Meanwhile it is measured how
# much would be lost. At last one of the seconds is restored by stock programs alone, as the recovery kit says.
#
#   bench/pitr.sh [SECONDS [RESTORES]]     default 300 20
. "$(dirname "$0")/world.sh"
. script/lib/database-images.sh
seconds="${1:-300}"
restores="${2:-20}"
apt_install restic postgresql-15
world_start
ensure_database_images
havre() { (cd "$home/shop" && "$bin/havre" "$@"); }

mkdir "$home/shop"
cat > "$home/shop/havre.toml" <<TOML
project = "shop"

[services.app]
image  = "$image"
port   = 3000
health = "/health"
hosts  = ["shop.localhost"]
env    = { BEHAVIOUR = "well-behaved", APP_VERSION = "0" }
memory = "128MB"

[databases.db]
engine  = "postgres"
version = "15"
memory  = "256MB"
backup  = { point_in_time = true }
TOML
havre deploy --json > "$home/deploy.json" || die "the deployment failed"
"$bin/havre" backup target set two --folder "$home/two" --medium two > /dev/null
is_ready() { [ "$(havre db info "$1" --json | jq -r .status)" = ready ]; }
wait_until 90 is_ready db || die "the database does not answer"
container_of() { havre db info "$1" --json | jq -r --arg name "$1" '"havre-\(.id)-\(.task)-\($name)-production-shop"'; }
db=$(container_of db)
psql_in() { docker_cli exec -i "$1" psql -X -q -A -t -v ON_ERROR_STOP=1 -U postgres -d "$2"; }

say "filling the database, and a base backup"
psql_in "$db" db <<< 'CREATE TABLE marks (n serial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp())'
docker_cli exec "$db" pgbench -i -q -s 5 -U postgres db > /dev/null 2>&1
wait_until 120 havre backup run db --base > "$home/base.log" 2>&1 || die "no base backup: $(tail -n 3 "$home/base.log")"
line() { havre restore list db --json | jq -c '.line'; }
has_line() { [ "$(line | jq length)" -ge 1 ]; }
wait_until 120 has_line || die "there is no line"

say "$seconds s of pgbench, a mark each second"
docker_cli exec "$db" pgbench -c 4 -j 2 -T "$seconds" -R 200 -U postgres db > "$home/pgbench.log" 2>&1 &
bench=$!
for _ in $(seq "$seconds"); do echo 'INSERT INTO marks DEFAULT VALUES; SELECT pg_sleep(1);'; done |
  docker_cli exec -i "$db" psql -X -q -o /dev/null -U postgres -d db &
marks=$!
began=$(date +%s%3N)
ms() { jq -r --arg at "$1" -n '($at[0:19] + "Z" | fromdate) * 1000 + ($at[20:23] | tonumber)'; }
worst=0
while kill -0 "$bench" 2> /dev/null; do
  until=$(line | jq -r '.[-1].until')
  lost=$(($(date +%s%3N) - $(ms "$until")))
  [ "$lost" -le "$worst" ] || worst=$lost
  sleep 1
done
ended=$(date +%s%3N)
wait "$bench" || die "pgbench failed: $(tail -n 3 "$home/pgbench.log")"
wait "$marks" || true
reaches() { [ "$(ms "$(line | jq -r '.[-1].until')")" -gt "$ended" ]; }
wait_until 120 reaches || die "the line does not reach the end"
[ "$(line | jq length)" = 1 ] || die "the line has a gap: $(line)"

say "$restores restores to random seconds"
instant() { date -u -d "@$((${1} / 1000)).$(printf '%03d' $((${1} % 1000)))" +%Y-%m-%dT%H:%M:%S.%3NZ; }
failed=0 furthest=0 took=()
for n in $(seq "$restores"); do
  at=$((began + 2000 + (RANDOM * 32768 + RANDOM) % (ended - began - 2000)))
  when=$(instant "$at")
  start=$(date +%s%3N)
  havre restore db --at "$when" --as "r$n" > "$home/restore.log" 2>&1 || { tail -n 3 "$home/restore.log" >&2; die "restore $n to $when failed"; }
  took+=("$(($(date +%s%3N) - start))")
  new=$(container_of "r$n")
  expected=$(psql_in "$db" db <<< "SELECT max(n) FROM marks WHERE at <= '$when'")
  found=$(psql_in "$new" "r$n" <<< 'SELECT max(n) FROM marks')
  off=$(psql_in "$new" "r$n" <<< "SELECT ceil(extract(epoch FROM '$when'::timestamptz - max(at)) * 1000)::int FROM marks")
  [ "$off" -le "$furthest" ] || furthest=$off
  # The pause between two marks is a second and what the insert takes.
  if [ "$expected" != "$found" ] || [ "$off" -gt 1100 ]; then
    failed=$((failed + 1))
    say "restore to $when: mark $found came back, $expected was there, $off ms before"
  fi
  docker_cli exec "$new" pg_amcheck --install-missing --heapallindexed -U postgres "r$n" > "$home/amcheck.log" 2>&1 ||
    { failed=$((failed + 1)); tail -n 3 "$home/amcheck.log" >&2; }
  havre db destroy "r$n" --yes > /dev/null
done

say "one of them by stock programs, as the recovery kit says"
RESTIC_PASSWORD=$("$bin/havre" backup kit two 2> /dev/null | awk '/Password, with its dashes/{found=1; next} found && NF {print $1; exit}')
export RESTIC_PASSWORD RESTIC_REPOSITORY="$home/two"
stock="$home/stock"
mkdir -m 0711 "$stock" && chmod 0711 "$home" && mkdir -m 0700 "$stock/data" "$stock/wal"
snapshots() { restic --no-cache --no-lock snapshots --json | jq -r --arg end "$1" '.[] | select(.paths[0] | endswith($end)) | "\(.short_id) \(.paths[0])"'; }
read -r id path < <(snapshots -base.tar | head -n 1)
restic --no-cache --no-lock dump "$id" "$path" | tar -x -f - -C "$stock/data"
while read -r id path; do restic --no-cache --no-lock dump "$id" "$path" | tar -x -f - -C "$stock/wal"; done < <(snapshots -wal.tar)
chown -R postgres "$stock"
tools=/usr/lib/postgresql/15/bin
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
as_postgres "$tools/pg_verifybackup" -n "$stock/data" > /dev/null || die "pg_verifybackup finds the base backup damaged"
as_postgres touch "$stock/data/recovery.signal"
as_postgres "$tools/postgres" -D "$stock/data" -c listen_addresses= -c "unix_socket_directories=$stock" -c hot_standby=off -c archive_mode=off \
  -c "restore_command=cp $stock/wal/%f %p" -c recovery_target_timeline=current -c recovery_target_action=promote \
  -c "recovery_target_time=$(sed "s/T/ /; s/Z/+00/" <<< "$when")" > "$home/stock.log" 2>&1 &
server=$!
ask_stock() { as_postgres psql -X -A -t -h "$stock" -U postgres -d db -c "$1"; }
wait_until 120 ask_stock 'SELECT 1' > /dev/null 2>&1 || { tail -n 5 "$home/stock.log" >&2; die "stock PostgreSQL did not come up"; }
[ "$(ask_stock 'SELECT max(n) FROM marks')" = "$expected" ] || { failed=$((failed + 1)); say "stock programs brought another mark back"; }
kill -INT "$server" && wait "$server" || true

printf '\n%s\n\n' "$(machine)"
printf '| %s s of pgbench, %s restores | |\n|---|---|\n' "$seconds" "$restores"
printf '| restores whose last mark is another one than was there, or whose indexes are not sound | %d |\n' "$failed"
printf '| last mark before the wanted second, furthest, in ms | %d |\n' "$furthest"
printf '| what would have been lost, at most, in ms | %d |\n' "$worst"
printf '| a restore, median (min..max), in ms | %s |\n' \
  "$(printf '%s\n' "${took[@]}" | sort -n | awk '{v[NR]=$1} END {printf "%d (%d..%d)", v[int((NR+1)/2)], v[1], v[NR]}')"
[ "$failed" = 0 ] && [ "$worst" -le 60000 ] || exit 1

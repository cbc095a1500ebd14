#!/usr/bin/env bash
# What a backup of a PostgreSQL database costs, beside others that do the same, in turn: `pg_dump | zstd`, stock restic on the same stream, and pgBackRest.
# Then what a second one adds after 1 % of the rows changed, how long a restore takes, how much memory control needs, and what users of
# a service on the same machine notice.
#
#   bench/backup.sh [SIZE_GB] [ROUNDS]      default 2 GB, 3 rounds; 10 by hand on a machine with 60 GB free
#
# A good backup of Havre was read back as a whole; the same of restic is `backup` and `check --read-data`.
. "$(dirname "$0")/world.sh"
. script/lib/database-images.sh
gb="${1:-2}" rounds="${2:-3}" rate=200
apt_install restic zstd
world_start
"$bin/havred" key create --config "$home/havred.toml" > /dev/null
kill "$havred"
wait "$havred" 2> /dev/null || true
"$bin/havred" supervise --config "$home/havred.toml" >> "$home/havred.log" 2>&1 < /dev/null &
havred=$!
wait_until 30 "$bin/havre" status --node --json > /dev/null || die "Havre did not start again: $(tail -n 3 "$home/havred.log")"
ensure_database_images
# The same server with pgBackRest in it, which has to run where the files of the server are.
bench_image=havre-bench/postgres:15
docker_cli image inspect "$bench_image" > /dev/null 2>&1 || {
  say "adding pgBackRest to the image of the database"
  printf 'FROM %s\nUSER root\nRUN apt-get update -q && apt-get install -y -q --no-install-recommends pgbackrest && rm -rf /var/lib/apt/lists/*\n' \
    "$HAVRE_POSTGRES_IMAGE" | docker_cli build -q -t "$bench_image" - > /dev/null
}
machine

project quiet well-behaved 1
cat >> "$home/quiet/havre.toml" <<TOML
uses = ["db"]

[databases.db]
engine = "postgres"
version = "15"
image = "$bench_image"
memory = "1GB"
cpus = "2"
settings = { max_wal_size = "4GB" }
# Nothing happens by itself: what is measured is asked for.
backup = { every = "366d", keep = { last = 9 }, targets = ["nowhere"] }
TOML
cd "$home/quiet"
"$bin/havre" deploy > "$home/deploy.log" 2>&1 || die "the service was not deployed: $(tail -n 3 "$home/deploy.log")"
db=$(docker_cli ps --format '{{.Names}}' --filter "label=dev.havre.installation=$installation" | grep -- '-db-')
inside() { docker_cli exec -u postgres "$db" "$@"; }
sql() { inside psql -X -q -A -t -v ON_ERROR_STOP=1 -U postgres -d db -c "$1"; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN {printf "%.2f", b - a}'; }
median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

say "filling the database: $gb GB of pgbench and as much of rows that do not repeat as one tenth of it"
# pgbench's rows are mostly blanks, which any compression makes nothing of; a table of digests beside them does not shrink.
inside pgbench -q -i -s "$((gb * 66))" -U postgres db > "$home/pgbench.log" 2>&1 || die "pgbench: $(tail -n 3 "$home/pgbench.log")"
sql "CREATE TABLE digests AS SELECT g AS id, decode(md5(g::text) || md5((-g)::text), 'hex') AS a, md5((g * 7)::text) AS b FROM generate_series(1, $((gb * 5000000))) g"
sql "CHECKPOINT"
dump=(pg_dump --format=custom --compress=0 -U postgres db)
bytes=$(inside "${dump[@]}" | wc -c)
mb=$(awk -v b="$bytes" 'BEGIN {printf "%.1f", b / 1e6}')
say "the dump has $mb MB, the files of the database $(sql "SELECT pg_size_pretty(pg_database_size('db'))")"

control=$(pgrep -P "$havred" -f 'havred control' | head -n 1)
peak() { awk '/VmHWM/ {printf "%.0f", $2 / 1024}' "/proc/$control/status"; }
forget_peak() { echo 5 > "/proc/$control/clear_refs"; }
restic_of() { RESTIC_PASSWORD=bench RESTIC_REPOSITORY="$home/$1" restic --no-cache -q "${@:2}" > /dev/null; }
# ours TARGET FILE: one run; its answer in FILE.
ours() { "$bin/havre" backup run db --target "$1" --json > "$home/$2" 2> "$home/$2.err" || die "the backup failed: $(tail -n 3 "$home/$2" "$home/$2.err")"; }
last_run() { "$bin/havre" backup list --json | jq -c --arg t "$1" '[.runs[] | select(.target == $t and .what.kind == "database")][0]'; }
run_seconds() { last_run "$1" | jq -r '[.ended_at, .begun_at] | map(sub("\\.[0-9]+Z$"; "Z") as $s | ($s | fromdateiso8601) + ((capture("\\.(?<f>[0-9]+)Z$").f // "0") | "0." + . | tonumber)) | .[0] - .[1]'; }
pgbackrest() { inside pgbackrest --stanza=db --pg1-path="$1" --pg1-user=postgres --repo1-path=/tmp/pgbackrest --log-path=/tmp --lock-path=/tmp \
  --compress-type=zst --process-max=1 --log-level-console=error "${@:2}"; }
pgdata=$(sql "SHOW data_directory")

for round in $(seq "$rounds"); do
  say "round $round of $rounds: pg_dump | zstd, restic, Havre, pgBackRest"
  start=$(now); inside "${dump[@]}" | zstd -q -3 -T1 > "$home/dump.zst"; since "$start" >> "$home/t.zstd"; echo >> "$home/t.zstd"
  rm "$home/dump.zst"
  rm -rf "$home/restic"; restic_of restic init
  start=$(now); inside "${dump[@]}" | restic_of restic backup --stdin; since "$start" >> "$home/t.restic"; echo >> "$home/t.restic"
  restic_of restic check --read-data; since "$start" >> "$home/t.restic-read"; echo >> "$home/t.restic-read"
  "$bin/havre" backup target set "r$round" --folder "$home/r$round" --medium two > /dev/null
  forget_peak
  start=$(now); ours "r$round" first.json; since "$start" >> "$home/t.havre"; echo >> "$home/t.havre"
  peak >> "$home/t.peak"; echo >> "$home/t.peak"
  run_seconds "r$round" >> "$home/t.havre-run"
  inside rm -rf /tmp/pgbackrest
  pgbackrest "$pgdata" --no-online stanza-create 2> /dev/null || pgbackrest "$pgdata" stanza-create
  start=$(now); pgbackrest "$pgdata" --no-archive-check --type=full backup; since "$start" >> "$home/t.pgbackrest"; echo >> "$home/t.pgbackrest"
done
inside rm -rf /tmp/pgbackrest

row() {
  local t; t=$(median < "$home/t.$2")
  printf '%-44s %8.1f s  %7.1f MB/s  ' "$1" "$t" "$(awk -v m="$mb" -v t="$t" 'BEGIN {print m / t}')"
  paste "$home/t.$3" "$home/t.$2" | awk '{print $1 / $2}' | median | awk -v n="$4" '{printf "%s %.2f\n", n, $1}'
}
printf '\nfirst backup of %s MB, medians of %s rounds; ratio of throughput to the named one, in the same round\n' "$mb" "$rounds"
row 'pg_dump | zstd -3' zstd restic 'to restic backup:'
row 'restic backup --stdin' restic restic 'to itself:'
row 'restic backup, then check --read-data' restic-read restic-read 'to itself:'
row 'havre backup run, read back' havre restic-read 'to restic with check:'
row 'the same' havre restic 'to restic backup alone:'
row 'pgBackRest, full, zst, one process' pgbackrest restic 'to restic backup:'
printf '%-44s %8.0f MB (aim 256)\n' 'most memory of control, all that it does' "$(median < "$home/t.peak")"

say "1 % of the rows changed: the newest ones, then ones everywhere"
percent() { awk -v a="$1" -v b="$bytes" 'BEGIN {printf "%.2f %% of the size", 100 * a / b}'; }
added() { ours "$1" next.json; last_run "$1" | jq -r .added_bytes; }
printf '%-44s %s\n' 'the first added' "$(percent "$(last_run r1 | jq -r .added_bytes)")"
rows=$(sql "SELECT count(*) FROM pgbench_accounts")
sql "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid > $((rows - rows / 100))" && sql "UPDATE digests SET b = md5(b) WHERE id > $((gb * 4950000))"
printf '%-44s %s (aim 3)\n' 'second backup, the newest 1 % changed' "$(percent "$(added r1)")"
printf '%-44s %8.1f s\n' 'it took' "$(run_seconds r1)"
sql "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 100 = 0" && sql "UPDATE digests SET b = md5(b) WHERE id % 100 = 0"
printf '%-44s %s\n' 'third backup, 1 % everywhere changed' "$(percent "$(added r1)")"

say "what users of a service notice during a backup"
load() { "$bin/havre-bench" load --target "$target" --host quiet.localhost --path /health --connections 32 --seconds "$1" --rate "$rate" > "$home/$2.json" 2>> "$home/load.log" || true; }
"$bin/havre" backup target set users --folder "$home/users" --medium two > /dev/null
load 20 idle
ours users users.json &
asked=$!
sleep 2
load 20 busy
wait "$asked"
jq -rn --slurpfile a "$home/idle.json" --slurpfile b "$home/busy.json" \
  '"p99 of a service: \($a[0].latency_ms.p99) ms idle, \($b[0].latency_ms.p99) ms during a backup, \($b[0].latency_ms.p99 / $a[0].latency_ms.p99 * 100 | round / 100) times (aim below 2); failed: \($b[0].failed)"'

say "restore"
start=$(now)
"$bin/havre" restore db --as back --json > "$home/restore.json" 2> "$home/restore.err" || die "the restore failed: $(tail -n 3 "$home/restore.err")"
printf '%-44s %8.1f s\n' 'havre restore: new server, rows compared' "$(since "$start")"
inside "${dump[@]}" > "$home/plain.dump"
inside createdb -U postgres peer
start=$(now); docker_cli exec -i -u postgres "$db" pg_restore -U postgres -d peer --single-transaction < "$home/plain.dump"
printf '%-44s %8.1f s\n' 'pg_restore of a file into a running server' "$(since "$start")"
[ "$(sql "SELECT count(*) FROM pgbench_accounts")" = "$rows" ] || die "rows are missing"

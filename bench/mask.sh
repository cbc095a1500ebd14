#!/usr/bin/env bash
# What a masked copy of a database costs beside a plain one, and whether anything of production is in it. People, orders and logins with
# names, addresses of e-mail, telephones, JSON, dates and foreign keys are copied from production to staging by `havre db copy --mask`, in
# turn with `pg_dump | pg_restore` between the same two servers. Afterwards values of production are looked for in the copy, by other means
# than the leak test of Havre: there must be none.
#
#   bench/mask.sh [ROWS [ROUNDS]]      default 1000000 rows, 3 rounds
. "$(dirname "$0")/world.sh"
. script/lib/database-images.sh
rows="${1:-1000000}" rounds="${2:-3}"
world_start sealed
ensure_image "$HAVRE_POSTGRES_IMAGE" build_postgres_image
machine
project shop well-behaved 1
cd "$home/shop"
sed -i 's/^hosts .*/hosts    = ["shop.localhost"]\nuses     = ["db"]/' havre.toml
cat >> havre.toml <<TOML

[databases.db]
engine   = "postgres"
version  = "15"
memory   = "1GB"
cpus     = "2"
settings = { max_wal_size = "4GB" }
backup   = false

[environments.staging]
hosts = { app = ["staging.shop.localhost"] }
TOML
cat > privacy.toml <<'TOML'
[tables."public.people".columns]
email = "email"
name = "name"
phone = "phone"
born = { dates_shifted = { within = "30d", by = "id" } }
profile = { json = { "/email" = "email", "/name" = "name", "/address/street" = "hash", "/address/city" = "hash", "/contacts/*/phone" = "phone" } }

[tables."public.orders".columns]
email = "email"
delivery = { json = { "/name" = "name", "/street" = "hash" } }

[tables."public.logins".columns]
email = "email"
TOML
havre() { "$bin/havre" "$@"; }
for environment in production staging; do havre deploy -e "$environment" > "$home/deploy.log" 2>&1 || die "not deployed: $(tail -n 3 "$home/deploy.log")"; done
server() { havre db info db -e "$1" --json | jq -r --arg e "$1" '"havre-\(.id)-\(.task)-db-\($e)-shop"'; }
production=$(server production) staging=$(server staging)
# psql_in SERVER DATABASE: statements on standard input.
psql_in() { docker_cli exec -i -u postgres "$1" psql -X -q -A -t -v ON_ERROR_STOP=1 -U postgres -d "$2"; }

people=$((rows / 5)) orders=$((rows * 3 / 5)) logins=$((rows - rows / 5 - rows * 3 / 5))
say "filling production: $people people, $orders orders, $logins logins"
# Each text of a person has `zq7` in it, which no mask makes. Numbers have 13 digits behind the code of the country, so that a made one is that
# of somebody else by chance once in many runs only.
psql_in "$production" db <<SQL
CREATE TABLE people (id int PRIMARY KEY, email text UNIQUE NOT NULL, name text NOT NULL, phone text NOT NULL, born date NOT NULL, profile jsonb NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, person int NOT NULL REFERENCES people (id), email text NOT NULL, placed timestamptz NOT NULL,
  cents int NOT NULL, delivery jsonb NOT NULL);
CREATE TABLE logins (id int PRIMARY KEY, person int NOT NULL REFERENCES people (id), email text NOT NULL, device text NOT NULL);
INSERT INTO people SELECT n, e, f, p, date '1950-01-01' + (n * 7919) % 18000,
  jsonb_build_object('email', e, 'name', f, 'plan', 'free', 'address', jsonb_build_object('street', 'Zq7street ' || n, 'city', 'Zq7town' || n % 5000),
    'contacts', jsonb_build_array(jsonb_build_object('phone', p)))
  FROM (SELECT n, 'zq7person' || n || '@production.example' AS e, 'Zq7zoltan' || n % 900 || ' Zq7xanthos' || n AS f,
    '+49' || (1000000000000 + (n::bigint * 7907000117) % 9000000000000)::text AS p FROM generate_series(1, $people) n) made;
INSERT INTO orders SELECT n, 1 + n % $people, p.email, timestamptz '2026-01-01' + n * interval '1 second', n % 9999,
  jsonb_build_object('name', p.name, 'street', 'Zq7street ' || p.id, 'method', 'post')
  FROM generate_series(1, $orders) n JOIN people p ON p.id = 1 + n % $people;
INSERT INTO logins SELECT n, 1 + n % $people, p.email, 'browser ' || n % 40 FROM generate_series(1, $logins) n JOIN people p ON p.id = 1 + n % $people;
CREATE INDEX ON orders (person); CREATE INDEX ON logins (person); CREATE INDEX ON orders (email);
CHECKPOINT;
SQL
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN {printf "%.2f\n", b - a}'; }
median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
for round in $(seq "$rounds"); do
  say "round $round of $rounds: pg_dump | pg_restore, a masked copy, an unmasked one"
  docker_cli exec -u postgres "$staging" createdb -U postgres plain
  start=$(now)
  docker_cli exec -u postgres "$production" pg_dump --format=custom --compress=0 -U postgres db |
    docker_cli exec -i -u postgres "$staging" pg_restore -U postgres -d plain --no-owner --single-transaction --exit-on-error
  since "$start" >> "$home/t.plain"
  docker_cli exec -u postgres "$staging" dropdb -U postgres plain
  start=$(now)
  havre db copy production staging db --mask privacy.toml --drop-old --json > "$home/copy.json" 2> "$home/copy.err" ||
    die "the copy failed: $(jq -r .failure "$home/copy.json" 2> /dev/null || tail -n 3 "$home/copy.err")"
  since "$start" >> "$home/t.masked"
  [ "$round" != 1 ] || cp "$home/copy.json" "$home/first.json"
  if [ "$round" != "$rounds" ]; then
    start=$(now)
    havre db copy production staging db --unmasked --drop-old --json > "$home/unmasked.json" 2> "$home/copy.err" ||
      die "the unmasked copy failed: $(tail -n 3 "$home/copy.err")"
    since "$start" >> "$home/t.unmasked"
  fi
done

say "looking for values of production in the masked copy"
# What masked columns hold, one value on each line.
values() {
  psql_in "$1" db <<< "COPY (SELECT email FROM people UNION SELECT name FROM people UNION SELECT phone FROM people UNION SELECT email FROM orders
    UNION SELECT email FROM logins UNION SELECT profile->>'email' FROM people UNION SELECT profile->>'name' FROM people
    UNION SELECT profile#>>'{address,street}' FROM people UNION SELECT profile#>>'{address,city}' FROM people
    UNION SELECT profile#>>'{contacts,0,phone}' FROM people UNION SELECT delivery->>'name' FROM orders
    UNION SELECT delivery->>'street' FROM orders) TO STDOUT" | LC_ALL=C sort -u
}
born() { psql_in "$1" db <<< "COPY (SELECT id, born FROM people) TO STDOUT" | LC_ALL=C sort; }
values "$production" > "$home/original"; values "$staging" > "$home/masked"
same=$(LC_ALL=C comm -12 "$home/original" "$home/masked" | wc -l)
docker_cli exec -u postgres "$staging" pg_dump -U postgres db > "$home/staging.sql"
marked=$(grep -c -i zq7 "$home/staging.sql" || true)
domain=$(grep -c -F production.example "$home/staging.sql" || true)
kept=$(LC_ALL=C comm -12 <(born "$production") <(born "$staging") | wc -l)
counts="SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM orders o JOIN people p ON p.id = o.person AND p.email = o.email),
  (SELECT count(*) FROM logins l JOIN people p ON p.id = l.person AND p.email = l.email),
  (SELECT count(*) FROM people WHERE profile->>'email' = email AND profile#>>'{contacts,0,phone}' = phone AND profile->>'plan' = 'free'),
  (SELECT count(DISTINCT email) FROM people)"
whole=$(psql_in "$staging" db <<< "$counts")
# Somebody who looks must be able to find: production itself is looked at in the same way.
[ "$(docker_cli exec -u postgres "$production" pg_dump -U postgres db | grep -c -i zq7)" -ge "$rows" ] || die "the search finds nothing in production either"

ratio() { paste "$home/t.$1" "$home/t.plain" | awk 'NF == 2 {print $1 / $2}' | median | awk '{printf "%.2f", $1}'; }
row() {
  local t; t=$(median < "$home/t.$2")
  printf '| %s | %.1f | %.0f | %s |\n' "$1" "$t" "$(awk -v r="$rows" -v t="$t" 'BEGIN {print r / t}')" "$(ratio "$2")"
}
printf '\n| %s rows, medians of %s rounds | s | rows/s | time, to the plain copy of the same round |\n|---|---|---|---|\n' "$rows" "$rounds"
row 'pg_dump, pg_restore' plain
row 'havre db copy --mask, with its own leak test' masked
[ ! -e "$home/t.unmasked" ] || row 'havre db copy --unmasked' unmasked
printf '\n| in the masked copy | |\n|---|---|\n'
printf '| values of production (of %s), column by column | %s |\n' "$(wc -l < "$home/original")" "$same"
printf '| lines of its dump with a mark of production | %s |\n' "$((marked + domain))"
printf '| dates of birth that did not move | %s |\n' "$kept"
printf '| values that Havre remembered and looked for itself | %s |\n' "$(jq -r .state.report.remembered "$home/copy.json")"
printf '| people, orders and logins with the address of their person, people whose JSON says the same, different addresses | %s |\n' "$whole"
[ "$same" = 0 ] && [ "$marked" = 0 ] && [ "$domain" = 0 ] && [ "$kept" = 0 ] && [ "$whole" = "$people|$orders|$logins|$people|$people" ] ||
  die "the copy is not what it should be"

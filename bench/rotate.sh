#!/usr/bin/env bash
# New passwords for a database under load: examples/dropit, whose every answer is a query, gets a steady rate of requests while
# `havre db rotate` is called again and again and followed to its end, when the old role is locked. Not one request may fail.
#
#   bench/rotate.sh [ROTATIONS [RATE]]     default 10 rotations, 200 requests a second
. "$(dirname "$0")/world.sh"
. script/lib/database-images.sh
rotations="${1:-10}" rate="${2:-200}"
world_start sealed
ensure_image "$HAVRE_POSTGRES_IMAGE" build_postgres_image
machine
cp -r examples/dropit "$home/dropit"
cd "$home/dropit"
# The API alone, with a database of its own.
awk '/^\[/ {is_site = ($0 == "[sites.web]")} !is_site' "$OLDPWD/examples/dropit/havre.toml" |
  sed 's/^hosts .*/hosts    = ["api.dropit.localhost"]\nuses     = ["db"]/' > havre.toml
cat >> havre.toml <<TOML

[databases.db]
engine  = "postgres"
version = "15"
memory  = "256MB"
backup  = false
TOML
"$bin/havre" deploy > "$home/deploy.log" 2>&1 || die "dropit was not deployed: $(tail -n 5 "$home/deploy.log")"
db=$("$bin/havre" db info db --json | jq -r '"havre-\(.id)-\(.task)-db-production-dropit"')
docker_cli exec -i -u postgres "$db" psql -X -q -v ON_ERROR_STOP=1 -U postgres -d db \
  <<< "INSERT INTO drops SELECT 'drop' || n, 'Drop ' || n, md5(n::text), now() FROM generate_series(1, 20) n"
curl -sS --fail --max-time 5 -H 'Host: api.dropit.localhost' "http://$target/api/drops" | jq -e 'length == 20' > /dev/null ||
  die "dropit does not answer with what is in the database"

# One rotation, followed until the service has the one other role and the one before is locked.
cat > "$home/rotate" <<ROTATE
#!/usr/bin/env bash
set -euo pipefail
cd "$home/dropit"
made() { "$bin/havre" db info db --json | jq -r '[.roles[] | "\(.name) \(.state.state)"] | join(" ")'; }
before=\$(made)
"$bin/havre" db rotate db --json > /dev/null
for _ in \$(seq 600); do
  after=\$(made)
  case \$after in *' '*' '*) ;; "\$before") ;; *' made') exit 0 ;; esac
  sleep 0.2
done
echo "the rotation did not end: \$after" >&2
exit 1
ROTATE
chmod +x "$home/rotate"
say "$rotations rotations under $rate requests a second"
status=0
"$bin/havre-bench" zero-loss --target "$target" --host api.dropit.localhost --path /api/drops --deploys "$rotations" --rate "$rate" \
  --same-release -- "$home/rotate" > "$home/report.json" || status=1
logins() { docker_cli exec -u postgres "$db" psql -X -A -t -U postgres -d db -c "SELECT string_agg(rolname || CASE WHEN rolcanlogin THEN '' ELSE ' (locked)' END, ', ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'api\\_%'"; }
printf '\nroles at the end: %s\n' "$(logins)"
cat "$home/report.json"
exit "$status"

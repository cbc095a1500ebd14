# shellcheck shell=bash
# Sourced after common.sh. Gives scripts a running Docker Engine with live-restore on: `ensure_docker`, then `docker_cli ARG...`.
# It never removes an option from an existing daemon.json, never restarts a daemon that runs, and leaves the daemon running.
# Used by script/demo and script/test.

HAVRE_DAEMON_JSON=${HAVRE_DAEMON_JSON:-/etc/docker/daemon.json}
HAVRE_DOCKER_WAIT=${HAVRE_DOCKER_WAIT:-60} # seconds a starting daemon may take to answer

# Debian's client knows BuildKit without the buildx plugin; another client earlier on the PATH may not.
docker_client_path() {
  if [ -x /usr/bin/docker ]; then printf '/usr/bin/docker\n'; else command -v docker || printf 'docker\n'; fi
}

docker_cli() { DOCKER_BUILDKIT=1 "$(docker_client_path)" "$@"; }

docker_answers() { timeout 10 "$(docker_client_path)" info >/dev/null 2>&1; }

docker_live_restore_on() { [ "$(docker_cli info --format '{{.LiveRestoreEnabled}}' 2>/dev/null)" = true ]; }

docker_log_file() { printf '%s/dockerd.log\n' "$(havre_state_dir)"; }

runs_systemd() { [ -d /run/systemd/system ] && have systemctl; }

# ensure_docker: installs, configures and starts Docker Engine where needed. Safe to call at any time, also from several
# scripts at once. Stops the script with the daemon's last log lines when it cannot be done.
ensure_docker() {
  if docker_answers; then
    docker_live_restore_on || docker_turn_on_live_restore
    return 0
  fi
  case ${DOCKER_HOST:-} in
    '' | unix:///var/run/docker.sock | unix:///run/docker.sock) ;;
    *) die "DOCKER_HOST is ${DOCKER_HOST}, and no Docker daemon answers there; unset it to use this machine's own" ;;
  esac
  need_root "installing or starting Docker Engine"
  local lock
  lock=$(havre_state_dir)/docker-start.lock
  mkdir -p "$(havre_state_dir)"
  # The lock lives in the subshell: whoever comes second finds the daemon up. The daemon itself must not inherit it.
  ( flock -w 600 9 || die "another script has been starting Docker for ten minutes; see $(docker_log_file)"
    docker_answers || docker_install_and_start ) 9>"$lock" || exit 1
}

docker_install_and_start() {
  docker_refuse_swarm_state
  docker_write_live_restore
  have dockerd || apt_install docker.io iptables apparmor ca-certificates
  docker_answers || docker_start
  docker_live_restore_on ||
    warn "Docker runs without live-restore; a restart of the daemon will stop the containers (see $HAVRE_DAEMON_JSON)"
  say "Docker Engine $(docker_cli version --format '{{.Server.Version}}') is up"
}

docker_start() {
  if runs_systemd; then
    say "starting Docker through systemd"
    systemctl start docker.service ||
      docker_start_failed "$(journalctl -u docker.service -n 20 --no-pager 2>/dev/null || true)"
    wait_until "$HAVRE_DOCKER_WAIT" docker_answers ||
      docker_start_failed "$(journalctl -u docker.service -n 20 --no-pager 2>/dev/null || true)"
    return 0
  fi
  local log pid
  log=$(docker_log_file)
  say "no service manager runs here: starting dockerd in the background (log: $log)"
  # Own session: a script that ends, or a Ctrl-C, does not take the daemon along.
  setsid dockerd >>"$log" 2>&1 </dev/null 9>&- &
  pid=$!
  local deadline=$((SECONDS + HAVRE_DOCKER_WAIT))
  until docker_answers; do
    kill -0 "$pid" 2>/dev/null || docker_answers || docker_start_failed "$(tail -n 20 "$log")"
    [ "$SECONDS" -lt "$deadline" ] || docker_start_failed "$(tail -n 20 "$log")"
    sleep 0.2
  done
}

docker_start_failed() {
  printf '%s\n' "$1" >&2
  die "the Docker daemon ended, or did not answer within ${HAVRE_DOCKER_WAIT} s; its last log lines are above"
}

# Docker refuses to start with live-restore while it is a member of a swarm, so the option must not be written then.
docker_refuse_swarm_state() {
  [ ! -s /var/lib/docker/swarm/docker-state.json ] ||
    die "this Docker Engine belongs to a swarm, which excludes live-restore; run 'docker swarm leave --force' first, if that is what you want"
}

# Turns the option on in a daemon that runs already. A reload is enough: no container and no daemon restarts.
docker_turn_on_live_restore() {
  [ "$(docker_cli info --format '{{.Swarm.LocalNodeState}}')" = inactive ] ||
    die "this Docker Engine belongs to a swarm, which excludes live-restore; Havre cannot use it"
  [ -z "${DOCKER_HOST:-}" ] || { warn "live-restore is off at ${DOCKER_HOST}"; return 0; }
  need_root "turning on live-restore"
  docker_write_live_restore
  say "reloading the Docker daemon, so that live-restore takes effect"
  if runs_systemd; then
    systemctl reload docker.service || die "systemd could not reload docker.service"
  else
    kill -HUP "$(cat /run/docker.pid)" || die "could not signal the Docker daemon (/run/docker.pid)"
  fi
  wait_until 10 docker_live_restore_on || die "the Docker daemon did not take live-restore from $HAVRE_DAEMON_JSON"
}

# Adds "live-restore": true to daemon.json and keeps every other option. The former file stays beside it as a backup.
docker_write_live_restore() {
  local file=$HAVRE_DAEMON_JSON next backup
  mkdir -p "$(dirname "$file")"
  next=$(mktemp "$file.XXXXXX")
  if [ -s "$file" ]; then
    have jq || apt_install jq
    jq -e 'type == "object"' "$file" >/dev/null 2>&1 ||
      { rm -f "$next"; die "$file is not a JSON object; correct it first, it was left as it is"; }
    if jq -e '."live-restore" == true' "$file" >/dev/null; then rm -f "$next"; return 0; fi
    jq '. + {"live-restore": true}' "$file" >"$next" || { rm -f "$next"; die "could not extend $file; it was left as it is"; }
    backup=$file.before-havre-$(date +%Y%m%d-%H%M%S)
    cp -p "$file" "$backup"
    chmod --reference="$file" "$next"
    say "adding live-restore to $file (the former file is kept as $backup)"
  else
    printf '{\n  "live-restore": true\n}\n' >"$next"
    chmod 0644 "$next"
    say "writing $file with live-restore on: containers outlive a restart of the Docker daemon"
  fi
  # Newer daemons can check the file themselves; older ones lack the option.
  if have dockerd && dockerd --help 2>/dev/null | grep -q -- '--validate' &&
    ! dockerd --validate --config-file "$next" >&2; then
    rm -f "$next"
    die "the Docker daemon would not accept the extended $file; it was left as it is"
  fi
  mv -f "$next" "$file"
}

# shellcheck shell=bash
# Sourced by Havre's scripts: plain-word output, checks, and installing the Debian packages that are missing.
# It changes nothing by being sourced. Works under `set -euo pipefail`.

# Where the scripts keep what they can make again (caches), and what they need between runs (logs, pid files).
havre_cache_dir() { printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/havre"; }
havre_state_dir() { printf '%s\n' "${XDG_STATE_HOME:-$HOME/.local/state}/havre"; }

say()  { printf '==> %s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die()  { printf 'error: %s\n' "$*" >&2; exit 1; }

have() { command -v "$1" >/dev/null 2>&1; }

# need_root WHAT: stops unless we are root. WHAT completes the sentence "... needs root".
need_root() {
  [ "$(id -u)" -eq 0 ] || die "$1 needs root; run this script again with sudo"
}

# need_command NAME HINT: stops with HINT when NAME is not on the PATH.
need_command() {
  have "$1" || die "$1 is not installed: $2"
}

package_installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

# apt_run ARG...: one apt-get call that waits up to five minutes for another apt to finish. dpkg's own lock has an option
# for it; the lock of the package lists has none, so `update` is tried again.
apt_run() {
  local try
  for try in 1 2 3 4 5; do
    if DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" >&2; then return 0; fi
    [ "$1" = update ] || return 1
    [ "$try" = 5 ] || sleep 5
  done
  return 1
}

# apt_install PACKAGE...: installs those that are missing, and nothing besides what they depend on.
apt_install() {
  local missing=() package
  have apt-get || die "this machine has no apt-get; install by hand what provides: $*"
  for package in "$@"; do package_installed "$package" || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  need_root "installing Debian packages (${missing[*]})"
  say "installing Debian packages: ${missing[*]}"
  # Lists may be absent or stale on a fresh machine: refresh them only when the first attempt fails.
  apt_run install -y --no-install-recommends "${missing[@]}" && return 0
  say "that failed; refreshing the package lists and trying once more"
  apt_run update || warn "refreshing the package lists reported an error; trying with what is there"
  apt_run install -y --no-install-recommends "${missing[@]}" ||
    die "could not install ${missing[*]}; the lines above say why"
}

# wait_until SECONDS COMMAND...: runs COMMAND every 0.2 s until it succeeds; fails when SECONDS have passed.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}

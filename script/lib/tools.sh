# shellcheck shell=bash
# Sourced after common.sh, docker.sh and base-images.sh. Gives script/test the programs it needs, and says what it installs:
#   ensure_rust          the toolchain of rust-toolchain.toml, with a C compiler for the crates that bring C code
#   ensure_cargo_tool    cargo-nextest, cargo-deny: of the machine when new enough, else built into <cache>/tools
#   ensure_restic        Debian's restic, which must be able to read what our backups write
#   ensure_node          Node.js 22 or newer: of the machine, else from npm into <cache>/tools
# It removes nothing and changes nothing outside Debian's packages, rustup's toolchains and <cache>/tools.

HAVRE_TOOLS_DIR=${HAVRE_TOOLS_DIR:-$(havre_cache_dir)/tools}
HAVRE_NODE_MAJOR=22 # what the sample project asks for

# Behind the machine's own programs, so that those win where they are new enough.
PATH=$PATH:$HAVRE_TOOLS_DIR/bin

ensure_rust() {
  local wanted
  wanted=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
  have cargo || die "there is no Rust toolchain on this machine: install rustup (https://rustup.rs), then run this again"
  if have rustup && ! rustup run "$wanted" rustc --version >/dev/null 2>&1; then
    say "installing Rust $wanted, which rust-toolchain.toml asks for"
    rustup toolchain install "$wanted" --profile minimal --component rustfmt --component clippy >&2 ||
      die "rustup could not install Rust $wanted; the lines above say why"
  fi
  local found
  found=$(rustc --version | cut -d' ' -f2)
  [ "$found" = "$wanted" ] || die "this is Rust $found, but rust-toolchain.toml asks for $wanted"
  cargo fmt --version >/dev/null 2>&1 || die "rustfmt is missing: rustup component add rustfmt"
  cargo clippy --version >/dev/null 2>&1 || die "clippy is missing: rustup component add clippy"
  have cc || apt_install gcc libc6-dev
  have make || apt_install make
}

# at_least FOUND WANTED: compares versions.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# ensure_cargo_tool NAME LEAST PINNED: cargo-NAME in version LEAST or newer, else PINNED is built (minutes, once).
ensure_cargo_tool() {
  local name=$1 least=$2 pinned=$3 found=none
  if have "cargo-$name"; then
    found=$("cargo-$name" "$name" --version 2>/dev/null | awk 'NR == 1 { print $2 }') || found=unknown
    case $found in
      [0-9]*) if at_least "$found" "$least"; then return 0; fi ;;
    esac
  fi
  say "building cargo-$name $pinned into $HAVRE_TOOLS_DIR (found: $found; some minutes, once per machine)"
  # Its own target directory: ours would grow by what nobody needs again.
  env -u CARGO_TARGET_DIR cargo install --quiet --locked --root "$HAVRE_TOOLS_DIR" "cargo-$name@$pinned" >&2 ||
    die "cargo-$name could not be built; the lines above say why"
  # The machine's older one comes first on the PATH; ours has to win now.
  PATH=$HAVRE_TOOLS_DIR/bin:$PATH
}

ensure_restic() { have restic || apt_install restic; }

node_is_new_enough() {
  have node && have npm && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$HAVRE_NODE_MAJOR" ]
}

ensure_node() {
  node_is_new_enough && return 0
  local cpu version home
  home=$HAVRE_TOOLS_DIR/node-$HAVRE_NODE_MAJOR
  if [ ! -x "$home/bin/node" ]; then
    have npm || apt_install npm
    case $(image_architecture) in
      amd64) cpu=x64 ;;
      arm64) cpu=arm64 ;;
      *) die "no Node.js build is known for $(image_architecture); install Node.js $HAVRE_NODE_MAJOR by hand" ;;
    esac
    version=$(newest_npm_version "node-linux-$cpu" "$HAVRE_NODE_MAJOR")
    say "putting Node.js $version into $home"
    mkdir -p "$HAVRE_TOOLS_DIR"
    local part
    part=$(mktemp -d "$home.XXXXXX")
    (cd "$part" && npm pack --silent "node-linux-$cpu@$version" >/dev/null && tar -xzf ./*.tgz --strip-components=1 && rm -f ./*.tgz)
    # Whole or not at all: a half-unpacked one must never be taken for a good one.
    mv -T "$part" "$home"
  fi
  PATH=$home/bin:$PATH
  node_is_new_enough || die "$home/bin/node does not run here; remove $home and try again"
}

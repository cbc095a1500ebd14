# shellcheck shell=bash
# Sourced after common.sh, docker.sh and base-images.sh. Builds the images of our examples under the names that tests and
# benchmarks use, without Havre: ensure_faults_image. Docker's build cache makes the second call a matter of a second.

HAVRE_FAULTS_IMAGE=havre-test/faults:1

ensure_faults_image() {
  ensure_base_images
  build_example "$HAVRE_FAULTS_IMAGE" "$HAVRE_SCRIPT_LIB/../../examples/faults"
}

# build_example NAME DIRECTORY [DOCKERFILE]: always builds, so that an edited example is never tested in an old form.
build_example() {
  say "building $1"
  docker_cli build -q -t "$1" -f "$2/${3:-Dockerfile}" "$2" >/dev/null ||
    die "building $1 failed; for the whole output: DOCKER_BUILDKIT=1 docker build -f $2/${3:-Dockerfile} $2"
}

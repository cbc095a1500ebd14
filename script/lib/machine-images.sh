# shellcheck shell=bash
# Sourced after common.sh, docker.sh and base-images.sh. Machines in containers, for what a container of an ordinary program
# cannot show: a server with systemd (script/install-test), a Docker Engine of another version (script/newer-docker).
#   ensure_machine_image          havre-test/machine:12, a fresh Debian 12 server; systemd is its first process
#   ensure_engine_image SUITE     havre-test/docker:SUITE, Docker Engine of that Debian suite, without systemd
#   machine_start NAME IMAGE COMMAND [OPTION...], machine_remove NAME
# What was built here is kept in <cache>/images, as in base-images.sh.

HAVRE_MACHINE_IMAGE=havre-test/machine:12

ensure_machine_image() { ensure_image "$HAVRE_MACHINE_IMAGE" build_machine_image; }

build_machine_image() { in_scratch fill_machine_image; }

# What Debian's own images for servers have, and nothing that script/install should bring.
fill_machine_image() {
  say "making $HAVRE_MACHINE_IMAGE, a Debian 12 server with systemd (a minute or two, once per machine)"
  debian_tar bookworm "$1/machine.tar" systemd systemd-sysv dbus iproute2 procps ca-certificates
  # Devices, network and logins belong to the machine around the container.
  cat >"$1/Dockerfile" <<'DOCKERFILE'
FROM scratch
ADD machine.tar /
ENV LANG=C.UTF-8 container=docker
RUN systemctl mask systemd-udevd.service systemd-udev-trigger.service systemd-logind.service systemd-networkd.service \
      systemd-resolved.service getty.target console-getty.service sys-kernel-debug.mount sys-kernel-tracing.mount
STOPSIGNAL SIGRTMIN+3
LABEL dev.havre.made-here=1
CMD ["/sbin/init"]
DOCKERFILE
  docker_cli build -q -t "$HAVRE_MACHINE_IMAGE" "$1" >/dev/null
}

ensure_engine_image() { HAVRE_ENGINE_SUITE=$1 ensure_image "havre-test/docker:$1" build_engine_image; }

build_engine_image() { in_scratch fill_engine_image; }

fill_engine_image() {
  local suite=$HAVRE_ENGINE_SUITE
  say "making havre-test/docker:$suite, Docker Engine of Debian's $suite (a minute or two, once per machine)"
  debian_tar "$suite" "$1/docker.tar" docker.io iptables iproute2 ca-certificates
  docker_cli import -c 'CMD ["dockerd"]' -c 'LABEL dev.havre.made-here=1' "$1/docker.tar" "havre-test/docker:$suite" >/dev/null
}

# machine_start NAME IMAGE COMMAND [OPTION...]: a container that may do what a machine does: mount, start containers of its
# own, filter packets. COMMAND is a line of shell that runs once its cgroups are writable. Not --privileged: that asks for
# CAP_SYS_RESOURCE, which a virtual machine's root may lack, and gives every device.
machine_start() {
  local name=$1 image=$2 command=$3
  shift 3
  mount_missing_cgroups
  docker_cli run -d --name "$name" --hostname "$name" --label dev.havre.test-machine=1 --cap-add ALL --cap-drop SYS_RESOURCE \
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined \
    --device-cgroup-rule 'a *:* rwm' --tmpfs /run --tmpfs /run/lock --tmpfs /tmp:exec -v /var/lib/docker -v /var/lib/containerd \
    "$@" "$image" /bin/sh -c "mount -o remount,rw /sys
      for m in /sys/fs/cgroup /sys/fs/cgroup/*; do mountpoint -q \$m && mount -o remount,bind,rw \$m; done
      $command" >/dev/null
}

# With its volumes: the Docker inside keeps its images there.
machine_remove() { docker_cli rm -f -v "$1" >/dev/null 2>&1 || true; }

# Where cgroups are version 1, the systemd inside mounts every hierarchy the kernel has. One that the machine outside has not
# mounted makes `docker stats` there show nothing for new containers, for good. So they are mounted first, and stay mounted:
# containers others start meanwhile are in them, too.
mount_missing_cgroups() {
  [ "$(stat -f -c %T /sys/fs/cgroup)" = tmpfs ] || return 0
  local hierarchy
  need_root "mounting the cgroup hierarchies that are missing"
  for hierarchy in hugetlb perf_event net_cls,net_prio; do
    mountpoint -q "/sys/fs/cgroup/$hierarchy" && continue
    mkdir -p "/sys/fs/cgroup/$hierarchy"
    mount -t cgroup -o "$hierarchy" cgroup "/sys/fs/cgroup/$hierarchy" || {
      rmdir "/sys/fs/cgroup/$hierarchy"
      warn "this kernel has no cgroup hierarchy $hierarchy, or it is mounted elsewhere"
    }
  done
}

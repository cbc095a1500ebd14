# shellcheck shell=bash
# Sourced after base-images.sh. Makes sure that images of databases exist locally, made from Debian's packages with the contract of the
# official images, for machines that no registry reaches:
#   ensure_database_images        postgres:15, postgres:17 (for upgrades), mariadb:10.11 and redis:7
# They never replace an image that is present. What they start with is in database-images/.

HAVRE_POSTGRES_IMAGE=postgres:15
HAVRE_NEWER_POSTGRES_IMAGE=postgres:17
HAVRE_MARIADB_IMAGE=mariadb:10.11
HAVRE_REDIS_IMAGE=redis:7

ensure_database_images() {
  ensure_image "$HAVRE_POSTGRES_IMAGE" build_postgres_image
  ensure_image "$HAVRE_MARIADB_IMAGE" build_mariadb_image
  ensure_image "$HAVRE_NEWER_POSTGRES_IMAGE" build_newer_postgres_image
  ensure_image "$HAVRE_REDIS_IMAGE" build_redis_image
}

build_postgres_image() {
  image_present "$HAVRE_DEBIAN_IMAGE" || build_debian_image
  in_scratch fill_postgres_image
}

build_newer_postgres_image() {
  image_present "$HAVRE_TRIXIE_IMAGE" || build_trixie_image
  in_scratch fill_newer_postgres_image
}

fill_postgres_image() { postgres_image "$1" "$HAVRE_POSTGRES_IMAGE" "$HAVRE_DEBIAN_IMAGE" 15; }
fill_newer_postgres_image() { postgres_image "$1" "$HAVRE_NEWER_POSTGRES_IMAGE" "$HAVRE_TRIXIE_IMAGE" 17; }

# postgres_image DIRECTORY IMAGE BASE VERSION
# The compiler of queries (LLVM) is two thirds of Debian's package and nothing a test needs: without it the server compiles none.
postgres_image() {
  local image=$2 base=$3 version=$4
  say "making $image from $base and Debian's postgresql-$version"
  install -m 0755 "$HAVRE_SCRIPT_LIB/database-images/postgres-entrypoint" "$1/docker-entrypoint.sh"
  cat >"$1/Dockerfile" <<DOCKERFILE
FROM $base
RUN groupadd --system --gid 999 postgres \
 && useradd --system --uid 999 --gid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres \
 && mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
 && apt-get update -q && apt-get install -y -q --no-install-recommends postgresql-$version \
 && rm -rf /usr/lib/*/libLLVM* /usr/lib/llvm-* /usr/lib/postgresql/$version/lib/bitcode /usr/lib/postgresql/$version/lib/llvmjit* \
      /var/lib/apt/lists/* /var/cache/apt/*.bin /usr/share/locale /var/lib/postgresql/* \
 && install -d -o postgres -g postgres -m 1777 /var/lib/postgresql /var/lib/postgresql/data /var/run/postgresql
COPY docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/lib/postgresql/$version/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PGDATA=/var/lib/postgresql/data
LABEL dev.havre.made-here=1
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
DOCKERFILE
  docker_cli build -q -t "$image" "$1" >/dev/null
}

build_mariadb_image() {
  image_present "$HAVRE_DEBIAN_IMAGE" || build_debian_image
  in_scratch fill_mariadb_image
}

# Debian's settings let in nobody but this machine, and its package makes data of its own; neither is wanted here.
fill_mariadb_image() {
  say "making $HAVRE_MARIADB_IMAGE from $HAVRE_DEBIAN_IMAGE and Debian's mariadb-server"
  install -m 0755 "$HAVRE_SCRIPT_LIB/database-images/mariadb-entrypoint" "$1/docker-entrypoint.sh"
  cat >"$1/Dockerfile" <<DOCKERFILE
FROM $HAVRE_DEBIAN_IMAGE
RUN groupadd --system --gid 999 mysql && useradd --system --uid 999 --gid 999 --home-dir /var/lib/mysql --shell /usr/sbin/nologin mysql \\
 && printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 0755 /usr/sbin/policy-rc.d \\
 && apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends mariadb-server \\
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /usr/share/locale /usr/sbin/policy-rc.d /var/lib/mysql /etc/mysql/mariadb.conf.d/* \\
 && install -d -o mysql -g mysql -m 0750 /var/lib/mysql && install -d -o mysql -g mysql -m 0755 /run/mysqld
COPY docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
LABEL dev.havre.made-here=1
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mariadbd"]
DOCKERFILE
  docker_cli build -q -t "$HAVRE_MARIADB_IMAGE" "$1" >/dev/null
}

build_redis_image() {
  image_present "$HAVRE_DEBIAN_IMAGE" || build_debian_image
  in_scratch fill_redis_image
}

fill_redis_image() {
  say "making $HAVRE_REDIS_IMAGE from $HAVRE_DEBIAN_IMAGE and Debian's redis-server"
  install -m 0755 "$HAVRE_SCRIPT_LIB/database-images/redis-entrypoint" "$1/docker-entrypoint.sh"
  cat >"$1/Dockerfile" <<DOCKERFILE
FROM $HAVRE_DEBIAN_IMAGE
RUN groupadd --system --gid 999 redis && useradd --system --uid 999 --gid 999 --home-dir /data --shell /usr/sbin/nologin redis \
 && apt-get update -q && apt-get install -y -q --no-install-recommends redis-server \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /usr/share/locale && install -d -o redis -g redis /data
COPY docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
LABEL dev.havre.made-here=1
WORKDIR /data
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
DOCKERFILE
  docker_cli build -q -t "$HAVRE_REDIS_IMAGE" "$1" >/dev/null
}

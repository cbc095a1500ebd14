# shellcheck shell=bash
# Sourced after common.sh, docker.sh and base-images.sh. The images that Dockerfiles written by Havre build on, under exactly the
# names they use: ensure_stack_images NAME..., pulled; made here from Debian packages where no registry can be reached. Those
# made here have what such a Dockerfile uses of the public one, and this machine's certificate authorities.
# Used by script/samples. What was built is kept in <cache>/images, as in base-images.sh.

HAVRE_TRIXIE_IMAGE=havre-base/debian:13

# Debian 13 has Python 3.13, Go 1.24, Ruby 3.3, PHP 8.4, Java 21, Maven 3.9 and Gradle 4.4, so that an image named after another
# one may hold these.
# ensure_stack_images NAME...: each present, or made; a name without a recipe that cannot be pulled ends the script.
ensure_stack_images() {
  local name
  for name in "$@"; do
    case $name in
      node:22-bookworm-slim) ensure_node_with_managers ;;
      debian:bookworm-slim) ensure_image "$name" build_slim_image pull ;;
      python:3.11-slim-bookworm | python:3.13-slim-bookworm) ensure_image "$name" build_python_image pull ;;
      golang:1.24-bookworm) ensure_image "$name" build_go_image pull ;;
      rust:1-slim-bookworm) ensure_image "$name" build_rust_image pull ;;
      ruby:3.3-slim-bookworm) ensure_image "$name" build_ruby_image pull ;;
      php:8.3-apache-bookworm | php:8.4-apache-bookworm) ensure_image "$name" build_php_image pull ;;
      composer:2) ensure_image "$name" build_composer_image pull ;;
      eclipse-temurin:21-jre-jammy) ensure_image "$name" build_java_image pull ;;
      maven:3-eclipse-temurin-21) ensure_image "$name" build_maven_image pull ;;
      gradle:8-jdk21) ensure_image "$name" build_gradle_image pull ;;
      *) image_present "$name" || pull_image "$name" || die "no recipe is known for $name" ;;
    esac
  done
}

# from_debian IMAGE BASE: builds IMAGE on BASE by the instructions on standard input. Packages come from BASE's own sources.
from_debian() {
  local image=$1 base=$2 context
  case $base in
    "$HAVRE_DEBIAN_IMAGE") image_present "$base" || build_debian_image ;;
    *) ensure_image "$base" build_trixie_image ;;
  esac
  say "making $image from $base and Debian packages"
  context=$(mktemp -d "${TMPDIR:-/tmp}/havre-image.XXXXXX")
  cp /etc/ssl/certs/ca-certificates.crt "$context/ca-certificates.crt"
  { printf 'FROM %s\nCOPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt\n' "$base"
    printf 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt\nLABEL dev.havre.made-here=1\n'
    # As in Debian's own images: apt keeps no caches of what it has read and fetched.
    printf 'RUN printf "Dir::Cache::pkgcache \\"\\";\\nDir::Cache::srcpkgcache \\"\\";\\n" > /etc/apt/apt.conf.d/docker-clean && rm -f /var/cache/apt/*.bin\n'
    cat; } >"$context/Dockerfile"
  docker_cli build -q -t "$image" "$context" >/dev/null || { rm -rf "$context"; die "making $image failed"; }
  rm -rf "$context"
}

# apt_line PACKAGE...: the instruction that installs them.
apt_line() {
  printf 'RUN apt-get update -q && apt-get install -y -q --no-install-recommends %s && rm -rf /var/lib/apt/lists/*\n' "$*"
}

build_trixie_image() { in_scratch fill_trixie_image; }

fill_trixie_image() {
  say "making $HAVRE_TRIXIE_IMAGE from Debian packages (a minute or two, once per machine)"
  debian_tar trixie "$1/debian.tar" ca-certificates
  docker_cli import -c 'ENV LANG=C.UTF-8' -c 'CMD ["bash"]' -c 'LABEL dev.havre.made-here=1' \
    "$1/debian.tar" "$HAVRE_TRIXIE_IMAGE" >/dev/null
}

# The public image brings Yarn 1 and Corepack, which brings other package managers. One made here before it had them is
# extended in its place.
ensure_node_with_managers() {
  ensure_image "$HAVRE_NODE_IMAGE" build_node_image pull
  node_image_has_managers && return 0
  [ "$(docker_cli image inspect --format '{{index .Config.Labels "dev.havre.made-here"}}' "$HAVRE_NODE_IMAGE")" = 1 ] ||
    die "$HAVRE_NODE_IMAGE has neither Corepack nor Yarn, and was not made here"
  have npm || apt_install npm
  say "adding Corepack and Yarn to $HAVRE_NODE_IMAGE"
  printf 'FROM %s\n%s\n' "$HAVRE_NODE_IMAGE" "$(node_managers_lines)" |
    docker_cli build -q -t "$HAVRE_NODE_IMAGE" - >/dev/null || die "adding Corepack and Yarn failed"
  save_image "$HAVRE_NODE_IMAGE" "$(image_cache_file "$HAVRE_NODE_IMAGE")"
}

node_image_has_managers() {
  docker_cli run --rm --network none "$HAVRE_NODE_IMAGE" sh -c 'corepack --version && yarn --version | grep ^1' >/dev/null 2>&1
}

build_slim_image() { from_debian debian:bookworm-slim "$HAVRE_DEBIAN_IMAGE" </dev/null; }

# Python itself lies in /usr/local of the public image, and so does what pip installs; here that is a virtual environment, which
# knows nothing of Debian's own Python packages.
build_python_image() {
  local base=$HAVRE_TRIXIE_IMAGE
  [[ $name != *3.11* ]] || base=$HAVRE_DEBIAN_IMAGE
  { apt_line python3 python3-venv
    printf 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt\n'
    printf 'RUN python3 -m venv /usr/local && python --version && pip --version\nCMD ["python3"]\n'
  } | from_debian "$name" "$base"
}

build_go_image() {
  { apt_line golang-go git
    printf 'ENV GOPATH=/go GOTOOLCHAIN=local PATH=/go/bin:$PATH\nRUN mkdir -p /go/src /go/bin && go version\n'
  } | from_debian "$name" "$HAVRE_TRIXIE_IMAGE"
}

build_rust_image() { in_scratch fill_rust_image; }

# Debian 12's own compiler is older than the sample's edition; the one that compiles Havre is here in any case.
fill_rust_image() {
  local root host
  root=$(rustc --print sysroot)
  host=$(rustc -vV | awk '/^host:/ { print $2 }')
  say "making rust:1-slim-bookworm from $HAVRE_DEBIAN_IMAGE and this machine's $(rustc --version)"
  mkdir -p "$1/rust/bin" "$1/rust/lib/rustlib"
  cp "$root/bin/rustc" "$root/bin/cargo" "$1/rust/bin/"
  cp -P "$root"/lib/*.so* "$1/rust/lib/"
  cp -r "$root/lib/rustlib/$host" "$1/rust/lib/rustlib/"
  cp /etc/ssl/certs/ca-certificates.crt "$1/"
  image_present "$HAVRE_DEBIAN_IMAGE" || build_debian_image
  { printf 'FROM %s\nCOPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt\n' "$HAVRE_DEBIAN_IMAGE"
    printf 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt CARGO_HOME=/usr/local/cargo\nLABEL dev.havre.made-here=1\n'
    apt_line gcc libc6-dev
    printf 'COPY rust/ /usr/local/\nRUN mkdir -p /usr/local/cargo && rustc --version && cargo --version\n'
  } >"$1/Dockerfile"
  docker_cli build -q -t rust:1-slim-bookworm "$1" >/dev/null
}

# The sample's gems come from Debian packages, too: Bundler finds them installed and asks no registry. One of them, logger, is a
# part of Ruby, which Bundler would fetch anew: it is made a gem like the others.
build_ruby_image() {
  { apt_line ruby ruby-dev bundler puma ruby-sinatra ruby-rackup
    cat <<'DOCKERFILE'
ENV GEM_HOME=/usr/local/bundle BUNDLE_APP_CONFIG=/usr/local/bundle BUNDLE_SILENCE_ROOT_WARNING=1 PATH=/usr/local/bundle/bin:$PATH
RUN mkdir -p /usr/local/bundle && cd /usr/lib/ruby/gems/3.3.0 && version=$(ruby -r logger -e 'puts Logger::VERSION') && \
    mkdir -p gems/logger-$version/lib && cp -r /usr/lib/ruby/3.3.0/logger* gems/logger-$version/lib/ && \
    cp specifications/default/logger-$version.gemspec specifications/
CMD ["irb"]
DOCKERFILE
  } | from_debian "$name" "$HAVRE_TRIXIE_IMAGE"
}

# Debian's Apache and PHP behind the names and folders of the public image: its own programs for extensions and for the
# foreground, its folder of settings, and rights for any user to run it.
build_php_image() {
  { apt_line apache2 libapache2-mod-php8.4 php8.4-cli php8.4-opcache php8.4-mbstring composer
    cat <<'DOCKERFILE'
ENV PHP_INI_DIR=/usr/local/etc/php PHPRC=/usr/local/etc/php PHP_INI_SCAN_DIR=:/usr/local/etc/php/conf.d
RUN mkdir -p "$PHP_INI_DIR/conf.d" /usr/local/lib/php/extensions /var/run/apache2 /var/lock/apache2 && \
    cp /usr/lib/php/8.4/php.ini-production /usr/lib/php/8.4/php.ini-development "$PHP_INI_DIR/" && \
    printf '#!/bin/sh\nfor name; do\n  case $name in -*|[0-9]*) continue ;; esac\n' > /usr/local/bin/docker-php-ext-install && \
    printf '  php -m | grep -i -q "^\\(zend \\)\\?$name$" || { echo "no extension $name here" >&2; exit 1; }\ndone\n' >> /usr/local/bin/docker-php-ext-install && \
    printf '#!/bin/sh\nset -a\n. /etc/apache2/envvars\nrm -f "$APACHE_PID_FILE"\nexec apache2 -DFOREGROUND\n' > /usr/local/bin/apache2-foreground && \
    printf '<Directory /var/www/>\n  Options -Indexes\n  AllowOverride All\n</Directory>\n' > /etc/apache2/conf-available/docker-php.conf && \
    printf 'DirectoryIndex index.php index.html\nServerName localhost\n' >> /etc/apache2/conf-available/docker-php.conf && \
    chmod 0755 /usr/local/bin/docker-php-ext-install /usr/local/bin/apache2-foreground && a2enconf docker-php && \
    rm -f /var/www/html/index.html && chmod 1777 /var/run/apache2 /var/lock/apache2 /var/log/apache2 && \
    ln -sfT /dev/stderr /var/log/apache2/error.log && ln -sfT /dev/stdout /var/log/apache2/access.log && \
    ln -sfT /dev/stdout /var/log/apache2/other_vhosts_access.log
WORKDIR /var/www/html
CMD ["apache2-foreground"]
DOCKERFILE
  } | from_debian "$name" "$HAVRE_TRIXIE_IMAGE"
}

# One file, as in the public image; here it leads to Debian's Composer in the image of PHP.
build_composer_image() { in_scratch fill_composer_image; }

fill_composer_image() {
  mkdir -p "$1/root/usr/bin"
  printf '#!/bin/sh\nexec /usr/bin/composer "$@"\n' >"$1/root/usr/bin/composer"
  chmod 0755 "$1/root/usr/bin/composer"
  tar -C "$1/root" --numeric-owner --owner=0 --group=0 -c . | docker_cli import -c 'LABEL dev.havre.made-here=1' - composer:2 >/dev/null
}

# java_line PACKAGE...: as apt_line. Java's packages make links to pages of the manual, for which the folder has to be there.
java_line() {
  printf 'RUN mkdir -p /usr/share/man/man1\nENV LANG=C.UTF-8\n'
  apt_line "$@"
}

build_java_image() {
  { java_line openjdk-21-jre-headless
    printf 'RUN java -version\nCMD ["jshell"]\n'
  } | from_debian "$name" "$HAVRE_TRIXIE_IMAGE"
}

# Plugins and libraries come from Debian packages, too: their repository is the mirror of every other one, so that Maven fetches from
# it into its own cache as it would from a registry. Maven's defaults name other versions of three plugins; those lead to Debian's.
# Jetty's parent imports three lists of versions that nothing in it needs, and that Debian does not have.
build_maven_image() {
  { java_line openjdk-21-jdk-headless maven libmaven-clean-plugin-java libmaven-compiler-plugin-java libmaven-dependency-plugin-java \
    libmaven-deploy-plugin-java libmaven-install-plugin-java libmaven-jar-plugin-java libmaven-resources-plugin-java \
    libmaven-shade-plugin-java libmaven-site-plugin-java libsurefire-java libjetty12-java libjakarta-servlet-api-java libslf4j2-java
    cat <<'DOCKERFILE'
ENV MAVEN_CONFIG=/root/.m2
RUN cd /usr/share/maven-repo && \
    pom() { mkdir -p "$1/$2/$3" && printf '<project><modelVersion>4.0.0</modelVersion><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version><packaging>pom</packaging>%s</project>\n' \
        "$(echo "$1" | tr / .)" "$2" "$3" "$4" > "$1/$2/$3/$2-$3.pom"; } && \
    moved() { pom org/apache/maven/plugins "$1" "$2" "<distributionManagement><relocation><version>$3</version></relocation></distributionManagement>"; } && \
    moved maven-dependency-plugin 3.7.0 3.8.1 && moved maven-deploy-plugin 3.1.2 3.1.4 && moved maven-site-plugin 3.12.1 3.21.0 && \
    pom com/fasterxml/jackson jackson-bom debian && pom io/netty netty-bom debian && pom org/junit junit-bom debian && \
    find . -follow -type f -name '*.[jp][ao][rm]' | while read -r file; do sha1sum < "$file" | cut -c 1-40 > "$file.sha1"; done && \
    printf '<settings><mirrors><mirror><id>debian</id><mirrorOf>*</mirrorOf><url>file:///usr/share/maven-repo</url></mirror></mirrors></settings>\n' > /etc/maven/settings.xml && \
    mvn --version
CMD ["mvn"]
DOCKERFILE
  } | from_debian "$name" "$HAVRE_TRIXIE_IMAGE"
}

# Much older than the one it is named after, and all there is: its plugin `application` makes the same folders.
build_gradle_image() {
  { java_line openjdk-21-jdk-headless gradle
    printf 'RUN gradle --version\nCMD ["gradle"]\n'
  } | from_debian "$name" "$HAVRE_TRIXIE_IMAGE"
}

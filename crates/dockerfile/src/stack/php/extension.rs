//! Extensions of PHP: which ones a program requires, and how each gets into an image. Tests: `php/tests.rs`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::stack::folder::Folder;
use crate::stack::{StackError, shown};

/// How an extension gets into the official image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It comes with the sources of PHP.
    Bundled,
    /// It comes from PECL.
    Pecl,
}

/// An extension and the libraries it links, as packages of Debian.
#[derive(Debug)]
pub(super) struct Extension {
    name: &'static str,
    source: Source,
    build: &'static [&'static str],
    run: &'static [&'static str],
}

const fn bundled(
    name: &'static str,
    build: &'static [&'static str],
    run: &'static [&'static str],
) -> Extension {
    Extension { name, source: Source::Bundled, build, run }
}

const fn pecl(name: &'static str, build: &'static [&'static str], run: &'static [&'static str]) -> Extension {
    Extension { name, source: Source::Pecl, build, run }
}

static EXTENSIONS: &[Extension] = &[
    pecl("apcu", &[], &[]),
    bundled("bcmath", &[], &[]),
    bundled("bz2", &["libbz2-dev"], &[]),
    bundled("calendar", &[], &[]),
    bundled("exif", &[], &[]),
    bundled(
        "gd",
        &["libfreetype6-dev", "libjpeg62-turbo-dev", "libpng-dev"],
        &["libfreetype6", "libjpeg62-turbo", "libpng16-16"],
    ),
    bundled("gettext", &[], &[]),
    bundled("gmp", &["libgmp-dev"], &["libgmp10"]),
    pecl("imagick", &["libmagickwand-dev"], &["libmagickwand-6.q16-6"]),
    bundled("intl", &["libicu-dev"], &["libicu72"]),
    bundled("mysqli", &[], &[]),
    bundled("opcache", &[], &[]),
    bundled("pcntl", &[], &[]),
    bundled("pdo_mysql", &[], &[]),
    bundled("pdo_pgsql", &["libpq-dev"], &["libpq5"]),
    bundled("pgsql", &["libpq-dev"], &["libpq5"]),
    pecl("redis", &[], &[]),
    bundled("shmop", &[], &[]),
    bundled("soap", &["libxml2-dev"], &[]),
    bundled("sockets", &[], &[]),
    bundled("xsl", &["libxslt1-dev"], &["libxslt1.1"]),
    bundled("zip", &["libzip-dev"], &["libzip4"]),
];

/// Extensions every image of PHP has.
const PRESENT: &[&str] = &[
    "ctype",
    "curl",
    "date",
    "dom",
    "fileinfo",
    "filter",
    "ftp",
    "hash",
    "iconv",
    "json",
    "libxml",
    "mbstring",
    "openssl",
    "pcre",
    "pdo",
    "pdo_sqlite",
    "phar",
    "posix",
    "reflection",
    "session",
    "simplexml",
    "sodium",
    "spl",
    "sqlite3",
    "tokenizer",
    "xml",
    "xmlreader",
    "xmlwriter",
    "zlib",
];

/// The extensions of one program, each once, by name.
#[derive(Debug, Default)]
pub(super) struct Extensions(Vec<&'static Extension>);

impl Extensions {
    /// Those that `composer.json` and the packages of `composer.lock` require, and `more`.
    pub(super) fn read(
        folder: &Folder<'_>,
        composer: &Value,
        lock: &Value,
        more: &[&'static str],
    ) -> Result<Self, StackError> {
        let mut names: BTreeSet<String> = more.iter().map(|name| (*name).to_owned()).collect();
        add(composer, &mut names);
        for package in lock.get("packages").and_then(Value::as_array).into_iter().flatten() {
            add(package, &mut names);
        }
        let mut found = Vec::new();
        for name in &names {
            match EXTENSIONS.iter().find(|extension| extension.name == name.as_str()) {
                Some(extension) => found.push(extension),
                None if PRESENT.contains(&name.as_str()) => {}
                None => {
                    return Err(folder.unclear(
                        format!("how to install the extension `{}` of PHP is not known", shown(name)),
                        "write a Dockerfile and name it as `dockerfile` in havre.toml",
                    ));
                }
            }
        }
        Ok(Self(found))
    }

    /// Whether there is nothing to install.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Packages of Debian to compile them with.
    pub(super) fn build_packages(&self) -> Vec<&'static str> {
        packages(self.0.iter().flat_map(|extension| extension.build.iter().copied()))
    }

    /// Packages of Debian to run with.
    pub(super) fn run_packages(&self) -> Vec<&'static str> {
        packages(self.0.iter().flat_map(|extension| extension.run.iter().copied()))
    }

    /// Commands that compile and enable them.
    pub(super) fn commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        let bundled = self.names(Source::Bundled);
        if bundled.contains(&"gd") {
            commands.push("docker-php-ext-configure gd --with-freetype --with-jpeg".to_owned());
        }
        if !bundled.is_empty() {
            commands.push(format!("docker-php-ext-install -j \"$(nproc)\" {}", bundled.join(" ")));
        }
        let pecl = self.names(Source::Pecl);
        if !pecl.is_empty() {
            let pecl = pecl.join(" ");
            commands.push(format!("pecl install {pecl}"));
            commands.push(format!("docker-php-ext-enable {pecl}"));
        }
        commands
    }

    fn names(&self, source: Source) -> Vec<&'static str> {
        self.0.iter().filter(|extension| extension.source == source).map(|extension| extension.name).collect()
    }
}

fn packages(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let names: BTreeSet<&'static str> = names.collect();
    names.into_iter().collect()
}

/// Adds what stands as `ext-<name>` under `require`.
fn add(package: &Value, names: &mut BTreeSet<String>) {
    let required = package.get("require").and_then(Value::as_object);
    for name in required.into_iter().flat_map(|required| required.keys()) {
        if let Some(extension) = name.strip_prefix("ext-") {
            // Zend OPcache has a space, and its package a hyphen.
            let extension = extension.to_ascii_lowercase();
            let extension = if extension == "zend-opcache" { "opcache".to_owned() } else { extension };
            names.insert(extension);
        }
    }
}

//! Tables for PHP: repositories as small texts, and the lines of the Dockerfile that matter.

use super::*;
use crate::stack::folder::snapshot_of;
use crate::stack::step::{assert_sound, command_of};

fn found(files: &[(&str, &str)], root: &str) -> Result<Written, StackError> {
    find(&snapshot_of(files), &root.parse().expect("a path")).expect("is PHP")
}

#[test]
fn plain() {
    let files = [("apps/shop/index.php", "if ($path === '/health') {}")];
    let written = found(&files, "apps/shop").expect("is clear");
    assert_eq!(written.stack, "PHP 8.3");
    assert_eq!((written.port, written.health.as_deref()), (8080, Some("/health")));
    assert_sound(
        &written.dockerfile,
        &[
            "FROM php:8.3-apache-bookworm AS extensions",
            "docker-php-ext-install -j \"$(nproc)\" opcache",
            "FROM php:8.3-apache-bookworm AS run",
            "COPY --from=extensions /usr/local/lib/php/extensions",
            "Listen ${PORT}",
            "*:${PORT}>",
            "COPY apps/shop ./",
            "EXPOSE 8080",
        ],
    );
    assert_eq!(command_of(&written.dockerfile), ["apache2-foreground"]);
    assert!(!written.dockerfile.contains("composer"), "{}", written.dockerfile);
}

const LARAVEL: &str =
    r#"{"require": {"php": "^8.2", "laravel/framework": "^12.0", "ext-intl": "*", "ext-json": "*"}}"#;

#[test]
fn laravel() {
    let lock = r#"{"packages": [{"name": "a/b", "require": {"ext-zip": "*", "ext-redis": "*"}}], "packages-dev": []}"#;
    let written = found(
        &[
            ("composer.json", LARAVEL),
            ("composer.lock", lock),
            ("public/index.php", ""),
            ("bootstrap/app.php", "health: '/up',"),
            ("package.json", r#"{"scripts": {"build": "vite build"}}"#),
            ("package-lock.json", ""),
        ],
        ".",
    )
    .expect("is clear");
    assert_eq!(written.stack, "PHP 8.3, Laravel");
    assert_eq!(written.health.as_deref(), Some("/up"));
    assert_sound(
        &written.dockerfile,
        &[
            "libicu-dev libpq-dev libzip-dev",
            "docker-php-ext-install -j \"$(nproc)\" intl opcache pdo_mysql pdo_pgsql zip",
            "pecl install redis",
            "docker-php-ext-enable redis",
            "FROM composer:2 AS composer",
            "FROM extensions AS build",
            "COPY composer.json composer.lock ./",
            "--mount=type=cache,target=/var/cache/composer",
            "composer install --no-dev",
            "COPY . ./",
            "composer dump-autoload --no-dev --no-scripts --optimize",
            "FROM node:22-bookworm-slim AS assets",
            "COPY package.json package-lock.json ./",
            "--mount=type=cache,target=/root/.npm npm ci",
            "npm run build",
            "FROM php:8.3-apache-bookworm AS run",
            "LOG_CHANNEL=stderr",
            "libicu72 libpq5 libzip4",
            "s|/var/www/html|/var/www/html/public|",
            "COPY --from=build /var/www/html ./",
            "COPY --from=assets /app/public/build ./public/build",
            "chown --recursive 1001:1001 storage bootstrap/cache",
        ],
    );
}

#[test]
fn symfony_keeps_its_environment_file() {
    let composer = r#"{"require": {"php": ">=8.4", "symfony/framework-bundle": "7.2.*"},
        "repositories": [{"type": "path", "url": "./lib"}]}"#;
    let files = [("composer.json", composer), ("public/index.php", "")];
    let written = found(&files, ".").expect("is clear");
    assert_eq!(written.stack, "PHP 8.4, Symfony");
    assert!(!written.ignore.contains("**/.env\n"), "{}", written.ignore);
    assert_sound(&written.dockerfile, &["COPY . ./", "--optimize-autoloader", "APP_ENV=prod"]);
    assert!(written.notes.iter().any(|note| note.contains("composer.lock")), "{:?}", written.notes);
}

#[test]
fn versions() {
    let table = [
        ("^8.4", Ok("8.4")),
        ("~8.1.0", Ok("8.1")),
        ("^7.4|^8.0", Ok("8.3")),
        (">=8.5", Ok("8.5")),
        ("^7.4", Err("`^7.4` in composer.json")),
        ("8.3\\nRUN x", Err("no image of PHP answers")),
    ];
    for (required, expected) in table {
        let composer = format!("{{\"require\": {{\"php\": \"{required}\"}}}}");
        let files = [("composer.json", composer.as_str()), ("index.php", "")];
        match (found(&files, "."), expected) {
            (Ok(written), Ok(version)) => assert_eq!(written.stack, format!("PHP {version}")),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, _) => panic!("{required} gave {found:?}"),
        }
    }
    let without = [("composer.json", r#"{"require": {"php": "^8.5"}}"#), ("index.php", "")];
    let written = found(&without, ".").expect("is clear");
    assert_sound(
        &written.dockerfile,
        &["FROM composer:2 AS composer", "FROM php:8.5-apache-bookworm AS build"],
    );
    assert!(!written.dockerfile.contains("extensions"), "{}", written.dockerfile);
}

#[test]
fn what_is_unclear() {
    let index = ("public/index.php", "");
    let table: [(&[(&str, &str)], &str); 4] = [
        (&[("composer.json", "{")], "cannot be read"),
        (&[("composer.json", "{}")], "neither public/index.php nor index.php"),
        (
            &[("composer.json", r#"{"require": {"ext-x; RUN y": "*"}}"#), index],
            "`x; run y` of PHP is not known",
        ),
        (
            &[("composer.json", LARAVEL), index, ("package.json", r#"{"scripts": {"build": "x"}}"#)],
            "package-lock",
        ),
    ];
    for (files, part) in table {
        let error = found(files, ".").expect_err("is unclear").to_string();
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert!(find(&snapshot_of(&[("a/index.php", "")]), &RelativePath::here()).is_none());
}

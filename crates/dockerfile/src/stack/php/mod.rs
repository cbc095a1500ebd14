//! PHP: the Dockerfile of a program behind Apache, with Composer where there is a `composer.json`. Extensions are in
//! `extension.rs`. Tests: `php/tests.rs`.

mod extension;
#[cfg(test)]
mod tests;

use havre_core::name::RelativePath;
use serde_json::Value;

use crate::stack::folder::Folder;
use crate::stack::step::{self, Cache, argv};
use crate::stack::text::Document;
use crate::stack::version::{Requirement, Version};
use crate::stack::{Found, Snapshot, StackError, Written, shown};

use extension::Extensions;

/// Port of Apache, which reads `PORT` from its environment.
const PORT: u16 = 8080;
/// Version where nobody says.
const DEFAULT: Version = Version::new(8, 3);
/// Versions there are images of, in the order in which they are preferred.
const KNOWN: [Version; 6] = [
    DEFAULT,
    Version::new(8, 4),
    Version::new(8, 5),
    Version::new(8, 2),
    Version::new(8, 1),
    Version::new(8, 0),
];
/// From here on PHP cannot be without OPcache, and there is no extension of that name.
const HAS_OPCACHE: Version = Version::new(8, 5);
/// Symfony reads the settings that are no secrets from `.env`, and does not start without it.
const SYMFONY_SECRETS: [&str; 2] = ["**/.env.local", "**/.env.*.local"];
/// Image that compiles a page's files.
const NODE: &str = "node:22-bookworm-slim";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framework {
    Laravel,
    Symfony,
    Slim,
    Plain,
}

impl Framework {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Laravel => Some("Laravel"),
            Self::Symfony => Some("Symfony"),
            Self::Slim => Some("Slim"),
            Self::Plain => None,
        }
    }

    /// Folders it writes to.
    fn written(self) -> Option<&'static str> {
        match self {
            Self::Laravel => Some("storage bootstrap/cache"),
            Self::Symfony => Some("var"),
            Self::Slim | Self::Plain => None,
        }
    }
}

/// What is known of the program.
#[derive(Debug)]
struct Project {
    framework: Framework,
    version: Version,
    extensions: Extensions,
    /// There is a `composer.json`.
    has_composer: bool,
    /// Composer takes packages from folders of the repository.
    needs_sources: bool,
    /// `package.json` has something to compile.
    has_assets: bool,
    /// Folder Apache serves, `.` for the whole.
    document_root: &'static str,
    command: Vec<String>,
    notes: Vec<String>,
}

/// Writes the Dockerfile of a PHP program.
pub(crate) fn find(snapshot: &Snapshot, root: &RelativePath) -> Found {
    let folder = Folder::new(snapshot, root);
    let is_php = ["composer.json", "index.php", "public/index.php"].iter().any(|name| folder.has(name));
    is_php.then(|| write(&folder))
}

fn write(folder: &Folder<'_>) -> Result<Written, StackError> {
    let project = read(folder)?;
    let image = format!("php:{}-apache-bookworm", project.version);
    let named = project.framework.name().map_or(String::new(), |name| format!(", {name}"));
    let stack = format!("PHP {}{named}", project.version);
    let mut document = step::begin(&stack, &project.notes);
    let mut base = image.as_str();
    if !project.extensions.is_empty() {
        document.stage(base, "extensions");
        step::apt(&mut document, &project.extensions.build_packages());
        let commands = project.extensions.commands();
        step::run(&mut document, &[], &commands.iter().map(String::as_str).collect::<Vec<_>>());
        base = "extensions";
    }
    if project.has_composer {
        composer(&mut document, folder, &project, base);
    }
    if project.has_assets {
        assets(&mut document, folder, &project);
    }
    last_stage(&mut document, folder, &project, &image);

    let vendor = folder.path("vendor");
    let is_symfony = project.framework == Framework::Symfony;
    let secrets: &[&str] = if is_symfony { &SYMFONY_SECRETS } else { &step::SECRETS };
    Ok(Written {
        stack,
        dockerfile: document.finish(),
        ignore: step::ignore(secrets, &["**/node_modules", vendor.as_str()]),
        port: PORT,
        health: folder.health_or(health(folder, project.framework)),
        output: None,
        notes: project.notes,
    })
}

/// Packages first, then the program, then the list of classes.
fn composer(document: &mut Document, folder: &Folder<'_>, project: &Project, base: &str) {
    document.stage("composer:2", "composer");
    document.stage(base, "build");
    step::apt(document, &["git", "unzip"]);
    document.line("COPY --from=composer /usr/bin/composer /usr/local/bin/composer");
    document.line("ENV COMPOSER_ALLOW_SUPERUSER=1 COMPOSER_CACHE_DIR=/var/cache/composer");
    document.line("WORKDIR /var/www/html");
    let cache = Cache::at("/var/cache/composer");
    let install = "composer install --no-dev --no-interaction --no-progress --prefer-dist --no-scripts";
    if project.needs_sources {
        document.line(folder.copy_all());
        let install = format!("{install} --optimize-autoloader");
        step::run(document, &[cache], &[install.as_str()]);
        return;
    }
    if let Some(copy) = folder.copy(&["composer.json", "composer.lock", "symfony.lock"]) {
        document.line(copy);
    }
    let install = format!("{install} --no-autoloader");
    step::run(document, &[cache], &[install.as_str()]);
    document.line(folder.copy_all());
    step::run(document, &[], &["composer dump-autoload --no-dev --no-scripts --optimize"]);
}

/// Pages' files: they may take styles from the packages of Composer.
fn assets(document: &mut Document, folder: &Folder<'_>, project: &Project) {
    document.stage(NODE, "assets");
    document.line("WORKDIR /app");
    if let Some(copy) = folder.copy(&["package.json", "package-lock.json"]) {
        document.line(copy);
    }
    step::run(document, &[Cache::at("/root/.npm")], &["npm ci"]);
    if project.has_composer {
        document.line("COPY --from=build /var/www/html ./");
    } else {
        document.line(folder.copy_all());
    }
    step::run(document, &[], &["npm run build"]);
}

fn last_stage(document: &mut Document, folder: &Folder<'_>, project: &Project, image: &str) {
    document.stage(image, "run");
    document.line(format!("ENV PORT={PORT}"));
    match project.framework {
        Framework::Laravel => document.line("ENV APP_ENV=production LOG_CHANNEL=stderr"),
        Framework::Symfony => document.line("ENV APP_ENV=prod APP_DEBUG=0"),
        Framework::Slim | Framework::Plain => {}
    }
    step::apt(document, &project.extensions.run_packages());
    if !project.extensions.is_empty() {
        let folders = ["/usr/local/lib/php/extensions", "/usr/local/etc/php/conf.d"];
        for path in folders {
            document.line(format!("COPY --from=extensions {path} {path}"));
        }
    }
    apache(document, project.document_root);
    step::user(document);
    document.line("WORKDIR /var/www/html");
    if project.has_composer {
        document.line("COPY --from=build /var/www/html ./");
    } else {
        document.line(folder.copy_all());
    }
    if project.has_assets {
        document.line("COPY --from=assets /app/public/build ./public/build");
    }
    if let Some(written) = project.framework.written() {
        // The rest of the program stays root's.
        let make = format!("mkdir --parents {written}");
        let own = format!("chown --recursive 1001:1001 {written}");
        step::run(document, &[], &[make.as_str(), own.as_str()]);
    }
    step::start(document, PORT, &project.command);
}

/// Apache listens on PORT and serves the folder; programs see their environment, and PHP its settings for production.
fn apache(document: &mut Document, document_root: &str) {
    let site = "/etc/apache2/sites-available/000-default.conf";
    let mut commands = vec![
        "a2enmod rewrite".to_owned(),
        "sed -i 's|^Listen 80$|Listen ${PORT}|' /etc/apache2/ports.conf".to_owned(),
        format!("sed -i 's|\\*:80>|*:${{PORT}}>|' {site}"),
    ];
    if document_root != "." {
        commands.push(format!("sed -i 's|/var/www/html|/var/www/html/{document_root}|' {site}"));
    }
    commands.push("cp \"$PHP_INI_DIR/php.ini-production\" \"$PHP_INI_DIR/php.ini\"".to_owned());
    commands.push("echo 'variables_order = EGPCS' > \"$PHP_INI_DIR/conf.d/zz-environment.ini\"".to_owned());
    step::run(document, &[], &commands.iter().map(String::as_str).collect::<Vec<_>>());
}

fn read(folder: &Folder<'_>) -> Result<Project, StackError> {
    let composer = folder.json("composer.json")?;
    let has_composer = composer.is_some();
    let composer = composer.unwrap_or_default();
    // Composer itself says what is wrong with it.
    let lock = folder.text("composer.lock").and_then(|text| serde_json::from_str::<Value>(text).ok());
    let lock = lock.unwrap_or_default();
    let framework = framework(&composer);
    let version = version(folder, &composer)?;
    let mut more = if version < HAS_OPCACHE { vec!["opcache"] } else { Vec::new() };
    if matches!(framework, Framework::Laravel | Framework::Symfony) {
        more.extend(["pdo_mysql", "pdo_pgsql"]);
    }
    let extensions = Extensions::read(folder, &composer, &lock, &more)?;
    let document_root = document_root(folder)?;
    let mut notes = notes(folder, framework, has_composer);
    let command = command(folder, &mut notes);
    let has_assets = has_assets(folder, framework)?;
    Ok(Project {
        framework,
        version,
        extensions,
        has_composer,
        needs_sources: has_path_repository(&composer),
        has_assets,
        document_root,
        command,
        notes,
    })
}

fn notes(folder: &Folder<'_>, framework: Framework, has_composer: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if has_composer && !folder.has("composer.lock") {
        notes.push("Without composer.lock two builds may install different versions: commit it.".to_owned());
    }
    match framework {
        Framework::Laravel => {
            notes.push("APP_KEY must be set: `php artisan key:generate --show` makes one.".to_owned());
            notes.push(
                "Migrations are for the release command: [\"php\", \"artisan\", \"migrate\", \"--force\"]."
                    .to_owned(),
            );
        }
        Framework::Symfony => notes.push("APP_SECRET must be set.".to_owned()),
        Framework::Slim | Framework::Plain => {}
    }
    if matches!(framework, Framework::Laravel | Framework::Symfony) {
        notes.push("The extensions of PHP for MySQL and PostgreSQL are installed.".to_owned());
    }
    notes
}

/// Apache in the foreground, or what a Procfile says. A buildpack's own command is not in the image.
fn command(folder: &Folder<'_>, notes: &mut Vec<String>) -> Vec<String> {
    let apache = argv(&["apache2-foreground"]);
    let Some(command) = folder.web_command() else {
        notes.extend(folder.notes());
        return apache;
    };
    if command.iter().any(|word| word.contains("heroku-php")) {
        notes.push("The Procfile's command exists only at Heroku: Apache is started instead.".to_owned());
        return apache;
    }
    notes.extend(folder.notes());
    command
}

fn requires(composer: &Value, name: &str) -> bool {
    composer.get("require").and_then(|required| required.get(name)).is_some()
}

fn framework(composer: &Value) -> Framework {
    if requires(composer, "laravel/framework") {
        Framework::Laravel
    } else if requires(composer, "symfony/framework-bundle") {
        Framework::Symfony
    } else if requires(composer, "slim/slim") {
        Framework::Slim
    } else {
        Framework::Plain
    }
}

fn has_path_repository(composer: &Value) -> bool {
    let is_path = |repository: &Value| repository.get("type").and_then(Value::as_str) == Some("path");
    match composer.get("repositories") {
        Some(Value::Array(repositories)) => repositories.iter().any(is_path),
        Some(Value::Object(repositories)) => repositories.values().any(is_path),
        _ => false,
    }
}

fn has_assets(folder: &Folder<'_>, framework: Framework) -> Result<bool, StackError> {
    if !matches!(framework, Framework::Laravel | Framework::Symfony) {
        return Ok(false);
    }
    let package = folder.json("package.json")?.unwrap_or_default();
    if package.get("scripts").and_then(|scripts| scripts.get("build")).is_none() {
        return Ok(false);
    }
    if !folder.has("package-lock.json") {
        return Err(folder.unclear(
            "package.json has a script `build`, and there is no package-lock.json",
            "run `npm install` and commit the file, or write a Dockerfile",
        ));
    }
    Ok(true)
}

fn document_root(folder: &Folder<'_>) -> Result<&'static str, StackError> {
    let table = [("public/index.php", "public"), ("web/index.php", "web"), ("index.php", ".")];
    let found = table.into_iter().find(|(name, _)| folder.has(name));
    found.map(|(_, root)| root).ok_or_else(|| {
        folder.unclear("there is neither public/index.php nor index.php", "add the file requests begin with")
    })
}

/// What Composer pretends to run on, else what the program requires.
fn version(folder: &Folder<'_>, composer: &Value) -> Result<Version, StackError> {
    let platform = composer.pointer("/config/platform/php").and_then(Value::as_str);
    let required = composer.pointer("/require/php").and_then(Value::as_str);
    let Some(text) = platform.or(required) else { return Ok(DEFAULT) };
    Requirement::parse(text).and_then(|requirement| requirement.choose(&KNOWN)).ok_or_else(|| {
        let reason = format!("no image of PHP answers `{}` in composer.json", shown(text));
        folder.unclear(reason, "require a version from 8.0 to 8.5, such as `^8.3`")
    })
}

fn health(folder: &Folder<'_>, framework: Framework) -> Option<String> {
    let file = match framework {
        Framework::Laravel => "bootstrap/app.php",
        Framework::Symfony => return None,
        Framework::Slim | Framework::Plain => document_root(folder).ok().map(|root| match root {
            "public" => "public/index.php",
            "web" => "web/index.php",
            _ => "index.php",
        })?,
    };
    folder.text(file).and_then(step::health_in)
}

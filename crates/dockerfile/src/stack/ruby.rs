//! Ruby: the Dockerfile of a Rails, Rack or Sinatra program. Installs what `Gemfile.lock` says and nothing else. Tests at
//! the end of the file.

use std::collections::BTreeSet;

use havre_core::name::RelativePath;

use crate::stack::folder::Folder;
use crate::stack::grammar::{first_line, quoted_after};
use crate::stack::step::{self, Cache, argv};
use crate::stack::text::Document;
use crate::stack::version::{Numbers, Requirement, Version};
use crate::stack::{Found, Snapshot, StackError, Written, shown};

/// Version where nobody says.
const DEFAULT: Version = Version::new(3, 4);
/// Versions there are images of, in the order in which they are preferred.
const KNOWN: [Version; 5] =
    [DEFAULT, Version::new(4, 0), Version::new(3, 3), Version::new(3, 2), Version::new(3, 1)];
/// A Sinatra program without `config.ru` is one of these.
const PROGRAMS: [&str; 4] = ["app.rb", "main.rb", "server.rb", "web.rb"];
/// Gems that compile a page's files with Node.js.
const NEED_NODE: [&str; 6] =
    ["jsbundling-rails", "cssbundling-rails", "vite_rails", "vite_ruby", "webpacker", "shakapacker"];
/// Folders Rails writes to.
const WRITTEN: &str = "db log storage tmp";

/// A library of the system that a gem needs, as packages of Debian.
struct Native {
    gem: &'static str,
    build: &'static str,
    run: &'static str,
}

static NATIVES: [Native; 4] = [
    Native { gem: "pg", build: "libpq-dev", run: "libpq5" },
    Native { gem: "mysql2", build: "default-libmysqlclient-dev", run: "libmariadb3" },
    Native { gem: "sqlite3", build: "libsqlite3-dev", run: "libsqlite3-0" },
    Native { gem: "ruby-vips", build: "libvips-dev", run: "libvips42" },
];

/// How the program starts.
#[derive(Debug)]
struct Start {
    framework: &'static str,
    argv: Vec<String>,
    port: u16,
    env: &'static str,
    health: Option<String>,
    notes: Vec<String>,
}

/// Writes the Dockerfile of a Ruby program.
pub(crate) fn find(snapshot: &Snapshot, root: &RelativePath) -> Found {
    let folder = Folder::new(snapshot, root);
    folder.has("Gemfile").then(|| write(&folder))
}

fn write(folder: &Folder<'_>) -> Result<Written, StackError> {
    let Some(lock) = folder.text("Gemfile.lock") else {
        return Err(folder.unclear(
            "there is no Gemfile.lock, or none that could be read",
            "run `bundle lock --add-platform x86_64-linux` and commit the file",
        ));
    };
    let gems = gems(lock);
    let version = version(folder, lock)?;
    let start = start(folder, &gems)?;
    let is_rails = start.framework == "Rails";
    let mut notes = start.notes;
    let assets = if is_rails { assets(folder, &gems)? } else { None };
    if assets.is_some() {
        notes.push("Assets are compiled with a key that exists for that step only.".to_owned());
    }
    notes.extend(folder.notes());
    let stack = format!("Ruby {version}, {}", start.framework);
    let mut document = step::begin(&stack, &notes);
    let image = format!("ruby:{version}-slim-bookworm");
    document.stage(&image, "build");
    document.line(start.env);
    install(&mut document, folder, &gems);
    if let Some(assets) = assets {
        step::run(&mut document, &[], &[assets]);
    }

    document.stage(&image, "run");
    document.line(start.env);
    document.line(format!("ENV BUNDLE_FROZEN=1 BUNDLE_WITHOUT=development:test PORT={}", start.port));
    let natives = NATIVES.iter().filter(|native| gems.contains(native.gem));
    step::apt(&mut document, &natives.map(|native| native.run).collect::<Vec<_>>());
    step::user(&mut document);
    document.line("WORKDIR /app");
    document.line("COPY --from=build /usr/local/bundle /usr/local/bundle");
    document.line("COPY --from=build /app ./");
    if is_rails {
        // The rest of the program stays root's.
        let make = format!("mkdir --parents {WRITTEN}");
        let own = format!("chown --recursive 1001:1001 {WRITTEN}");
        step::run(&mut document, &[], &[make.as_str(), own.as_str()]);
    }
    step::start(&mut document, start.port, &start.argv);
    Ok(Written {
        stack,
        dockerfile: document.finish(),
        ignore: step::ignore(&step::SECRETS, &["**/.bundle", "**/node_modules", "**/tmp/cache"]),
        port: start.port,
        health: folder.health_or(start.health),
        output: None,
        notes,
    })
}

fn install(document: &mut Document, folder: &Folder<'_>, gems: &BTreeSet<&str>) {
    document.line("ENV BUNDLE_FROZEN=1 BUNDLE_WITHOUT=development:test BUNDLE_JOBS=4");
    let mut packages = vec!["build-essential", "git", "libyaml-dev", "pkg-config"];
    packages.extend(NATIVES.iter().filter(|native| gems.contains(native.gem)).map(|native| native.build));
    step::apt(document, &packages);
    document.line("WORKDIR /app");
    if let Some(copy) = folder.copy(&["Gemfile", "Gemfile.lock", ".ruby-version"]) {
        document.line(copy);
    }
    step::run(document, &[Cache::locked("/usr/local/bundle/cache")], &["bundle install"]);
    document.line(folder.copy_all());
}

/// Names of all gems in a lock file: four spaces, name, version in brackets.
fn gems(lock: &str) -> BTreeSet<&str> {
    lock.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_once(" (").map(|(name, _)| name))
        .collect()
}

/// The step that compiles assets, where Rails has something to compile.
fn assets(folder: &Folder<'_>, gems: &BTreeSet<&str>) -> Result<Option<&'static str>, StackError> {
    if let Some(gem) = NEED_NODE.iter().find(|gem| gems.contains(**gem)) {
        return Err(folder.unclear(
            format!("{gem} needs Node.js beside Ruby"),
            "write a Dockerfile and name it as `dockerfile` in havre.toml",
        ));
    }
    let has_assets = gems.contains("sprockets-rails") || gems.contains("propshaft");
    // Rails before 7.1 knows no dummy and takes any key.
    Ok(has_assets
        .then_some("SECRET_KEY_BASE_DUMMY=1 SECRET_KEY_BASE=build-only bundle exec rails assets:precompile"))
}

fn start(folder: &Folder<'_>, gems: &BTreeSet<&str>) -> Result<Start, StackError> {
    let framework = framework(gems);
    let is_rails = framework == "Rails";
    let mut start = Start {
        framework,
        argv: Vec::new(),
        port: if is_rails { 3000 } else { 9292 },
        env: if is_rails {
            "ENV RAILS_ENV=production RAILS_LOG_TO_STDOUT=1 RAILS_SERVE_STATIC_FILES=1"
        } else {
            "ENV RACK_ENV=production APP_ENV=production"
        },
        health: health(folder, is_rails),
        notes: Vec::new(),
    };
    if is_rails {
        start.notes.push(
            "Migrations are for the release command: [\"bundle\", \"exec\", \"rails\", \"db:migrate\"]."
                .to_owned(),
        );
    }
    if let Some(command) = folder.web_command() {
        start.argv = command;
        return Ok(start);
    }
    let program = PROGRAMS.into_iter().find(|name| folder.has(name));
    let has_server = gems.contains("puma");
    match program {
        _ if is_rails && has_server => {
            start.argv = argv(&["bundle", "exec", "rails", "server", "--binding", "0.0.0.0"]);
        }
        _ if has_server && folder.has("config.ru") && folder.has("config/puma.rb") => {
            start.argv = argv(&["bundle", "exec", "puma", "--config", "config/puma.rb"]);
            start.notes.push("config/puma.rb says where Puma listens: it must be PORT.".to_owned());
        }
        _ if has_server && folder.has("config.ru") => {
            start.argv = argv(&["bundle", "exec", "puma", "--bind", "tcp://0.0.0.0:9292"]);
            start.notes.push(
                "Puma listens on 9292, which `port` must say; a config/puma.rb may make it read PORT."
                    .to_owned(),
            );
        }
        // Sinatra reads PORT itself, and starts whichever server is there.
        Some(program) if framework == "Sinatra" => {
            start.argv = argv(&["bundle", "exec", "ruby", program]);
            start.port = 4567;
        }
        _ => {
            return Err(folder.unclear(
                "which server starts the Ruby program cannot be told",
                "add the gem puma and a config.ru, or write a Procfile with a line that begins with `web:`",
            ));
        }
    }
    Ok(start)
}

fn framework(gems: &BTreeSet<&str>) -> &'static str {
    let table = [("rails", "Rails"), ("hanami", "Hanami"), ("sinatra", "Sinatra")];
    table.into_iter().find(|(gem, _)| gems.contains(*gem)).map_or("Rack", |(_, framework)| framework)
}

fn health(folder: &Folder<'_>, is_rails: bool) -> Option<String> {
    if is_rails {
        let routes = folder.text("config/routes.rb")?;
        return routes.contains("rails/health#show").then(|| "/up".to_owned());
    }
    PROGRAMS.iter().chain(&["config.ru"]).filter_map(|name| folder.text(name)).find_map(step::health_in)
}

/// A version as images are tagged with it: with its patch level where Bundler insists on that.
fn version(folder: &Folder<'_>, lock: &str) -> Result<String, StackError> {
    let gemfile = folder.text("Gemfile").unwrap_or_default();
    let line = gemfile.lines().map(str::trim_start).find(|line| line.starts_with("ruby "));
    let file = folder.text(".ruby-version").map(first_line);
    match line {
        None => match file {
            Some(text) => exact(folder, ".ruby-version", text, false),
            None => Ok(locked(lock).unwrap_or(DEFAULT).to_string()),
        },
        Some(line) if line.contains("file:") => {
            exact(folder, ".ruby-version", file.unwrap_or_default(), true)
        }
        Some(line) => {
            let text = quoted_after(line, "ruby ").unwrap_or_default();
            if text.starts_with(|c: char| c.is_ascii_digit()) {
                return exact(folder, "Gemfile", text, true);
            }
            let chosen = Requirement::parse(text).and_then(|requirement| requirement.choose(&KNOWN));
            chosen.map(|version| version.to_string()).ok_or_else(|| no_image(folder, "Gemfile", text))
        }
    }
}

fn exact(folder: &Folder<'_>, file: &str, text: &str, has_patch: bool) -> Result<String, StackError> {
    let numbers = Numbers::parse(text.strip_prefix("ruby-").unwrap_or(text));
    match numbers {
        Some(Numbers { major, minor: Some(minor), patch })
            if Version::new(major, minor) >= Version::new(3, 1) =>
        {
            let version = Version::new(major, minor);
            Ok(match patch.filter(|_| has_patch) {
                Some(patch) => format!("{version}.{patch}"),
                None => version.to_string(),
            })
        }
        _ => Err(no_image(folder, file, text)),
    }
}

fn no_image(folder: &Folder<'_>, file: &str, text: &str) -> StackError {
    folder.unclear(
        format!("no image of Ruby answers `{}` in {file}", shown(text)),
        "name a version from 3.1 on, such as `3.4`",
    )
}

/// What Bundler noted below `RUBY VERSION`.
fn locked(lock: &str) -> Option<Version> {
    let (_, rest) = lock.split_once("RUBY VERSION")?;
    let line = rest.lines().map(str::trim).find(|line| !line.is_empty())?;
    let version = Numbers::parse(line.strip_prefix("ruby ")?)?.version()?;
    KNOWN.contains(&version).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::folder::snapshot_of;
    use crate::stack::step::{assert_sound, command_of};

    fn found(files: &[(&str, &str)]) -> Result<Written, StackError> {
        find(&snapshot_of(files), &RelativePath::here()).expect("is Ruby")
    }

    fn written(files: &[(&str, &str)]) -> Written {
        found(files).expect("is clear")
    }

    const RAILS: &str = "\
GEM
  specs:
    pg (1.5.9)
    propshaft (1.1.0)
      rack (>= 2.2)
    puma (6.5.0)
    rails (8.0.1)

RUBY VERSION
   ruby 3.3.6p108
";

    #[test]
    fn rails() {
        let written = written(&[
            ("Gemfile", "source \"https://rubygems.org\"\ngem \"rails\"\n"),
            ("Gemfile.lock", RAILS),
            ("config/routes.rb", "get \"up\" => \"rails/health#show\""),
        ]);
        assert_eq!(written.stack, "Ruby 3.3, Rails");
        assert_eq!((written.port, written.health.as_deref()), (3000, Some("/up")));
        assert_sound(
            &written.dockerfile,
            &[
                "FROM ruby:3.3-slim-bookworm AS build",
                "RAILS_ENV=production",
                "BUNDLE_FROZEN=1 BUNDLE_WITHOUT=development:test",
                "libpq-dev",
                "COPY Gemfile Gemfile.lock ./",
                "--mount=type=cache,target=/usr/local/bundle/cache,sharing=locked bundle install",
                "COPY . ./",
                "SECRET_KEY_BASE_DUMMY=1",
                "assets:precompile",
                "FROM ruby:3.3-slim-bookworm AS run",
                "libpq5",
                "COPY --from=build /usr/local/bundle /usr/local/bundle",
                "chown --recursive 1001:1001 db log storage tmp",
            ],
        );
        let command = ["bundle", "exec", "rails", "server", "--binding", "0.0.0.0"];
        assert_eq!(command_of(&written.dockerfile), command);
    }

    const SINATRA: &str = "GEM\n  specs:\n    puma (6.5.0)\n    sinatra (4.1.1)\n";

    #[test]
    fn sinatra() {
        let app = ("app.rb", "get '/health' do\nend\n");
        let gemfile = ("Gemfile", "ruby \"3.3.6\"\ngem 'sinatra'\n");
        let alone = written(&[gemfile, ("Gemfile.lock", SINATRA), app]);
        assert_eq!(alone.stack, "Ruby 3.3.6, Sinatra");
        assert_eq!((alone.port, alone.health.as_deref()), (4567, Some("/health")));
        assert_eq!(command_of(&alone.dockerfile), ["bundle", "exec", "ruby", "app.rb"]);
        let rack = written(&[gemfile, ("Gemfile.lock", SINATRA), app, ("config.ru", "run App")]);
        assert_eq!(command_of(&rack.dockerfile), ["bundle", "exec", "puma", "--bind", "tcp://0.0.0.0:9292"]);
        let puma = [gemfile, ("Gemfile.lock", SINATRA), app, ("config.ru", ""), ("config/puma.rb", "")];
        let puma = written(&puma);
        assert_eq!(command_of(&puma.dockerfile), ["bundle", "exec", "puma", "--config", "config/puma.rb"]);
        assert_sound(&puma.dockerfile, &["APP_ENV=production", "bundle install", "COPY . ./"]);
        assert!(!puma.dockerfile.contains("assets:precompile"), "{}", puma.dockerfile);
    }

    #[test]
    fn versions() {
        let table = [
            ("", "", Ok("3.4")),
            ("", "3.2.5\n", Ok("3.2")),
            ("", "ruby-3.3.1\n", Ok("3.3")),
            ("ruby \"~> 3.2\"", "", Ok("3.2")),
            ("ruby '~> 3.2.0'", "", Ok("3.2")),
            ("ruby '>= 3.1', '< 4'", "", Ok("3.4")),
            ("ruby file: \".ruby-version\"", "3.3.1\n", Ok("3.3.1")),
            ("ruby \"2.7.8\"", "", Err("`2.7.8` in Gemfile")),
            ("ruby \"3.3; RUN x\"", "", Err("`3.3; RUN x` in Gemfile")),
            ("", "jruby-9.4", Err("`jruby-9.4` in .ruby-version")),
        ];
        for (gemfile, file, expected) in table {
            let mut files = vec![("Gemfile", gemfile), ("Gemfile.lock", SINATRA), ("app.rb", "")];
            if !file.is_empty() {
                files.push((".ruby-version", file));
            }
            match (found(&files), expected) {
                (Ok(written), Ok(version)) => assert_eq!(written.stack, format!("Ruby {version}, Sinatra")),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, _) => panic!("{gemfile:?} and {file:?} gave {found:?}"),
            }
        }
    }

    #[test]
    fn what_is_unclear() {
        let gemfile = ("Gemfile", "");
        let node = "GEM\n  specs:\n    jsbundling-rails (1.3.1)\n    puma (6.5.0)\n    rails (8.0.1)\n";
        let table: [(&[(&str, &str)], &str); 3] = [
            (&[gemfile], "bundle lock"),
            (&[gemfile, ("Gemfile.lock", node)], "jsbundling-rails needs Node.js"),
            (&[gemfile, ("Gemfile.lock", "GEM\n")], "add the gem puma"),
        ];
        for (files, part) in table {
            let error = found(files).expect_err("is unclear").to_string();
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }
}

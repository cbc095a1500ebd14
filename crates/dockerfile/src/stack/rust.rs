//! Rust: the Dockerfile of one binary of a package, alone or in a workspace. Leaves the compiler to the image and the
//! dependencies to `Cargo.lock`. Tests at the end of the file.

use std::collections::BTreeSet;

use havre_core::name::RelativePath;
use toml::{Table, Value};

use crate::stack::folder::{Folder, value_at};
use crate::stack::grammar::{first_line, is_word};
use crate::stack::step::{self, Cache, DEBIAN};
use crate::stack::text::Document;
use crate::stack::version::{Numbers, Version};
use crate::stack::{Found, Snapshot, StackError, Written, shown};

/// Port of a program that reads `PORT`.
const PORT: u16 = 8080;
/// Rocket listens here, and does not read `PORT`.
const ROCKET_PORT: u16 = 8000;

/// A library of the system that a crate links, as packages of Debian.
struct Native {
    /// Its line in `Cargo.lock`.
    name: &'static str,
    build: &'static [&'static str],
    run: &'static [&'static str],
}

static NATIVES: [Native; 7] = [
    Native { name: "openssl-sys", build: &["libssl-dev", "pkg-config"], run: &["libssl3"] },
    Native { name: "openssl-src", build: &["make", "perl"], run: &[] },
    Native { name: "pq-sys", build: &["libpq-dev"], run: &["libpq5"] },
    Native { name: "libsqlite3-sys", build: &["libsqlite3-dev", "pkg-config"], run: &["libsqlite3-0"] },
    Native {
        name: "mysqlclient-sys",
        build: &["default-libmysqlclient-dev", "pkg-config"],
        run: &["libmariadb3"],
    },
    Native { name: "prost-build", build: &["protobuf-compiler"], run: &[] },
    Native { name: "cmake", build: &["cmake", "g++", "make"], run: &[] },
];

/// Frameworks by the crate they are.
static FRAMEWORKS: [(&str, &str); 7] = [
    ("axum", "axum"),
    ("actix-web", "Actix Web"),
    ("rocket", "Rocket"),
    ("warp", "warp"),
    ("poem", "Poem"),
    ("salvo", "Salvo"),
    ("hyper", "hyper"),
];

/// One package with binaries.
#[derive(Debug)]
struct Package<'a> {
    folder: Folder<'a>,
    name: String,
    table: Table,
    binaries: BTreeSet<String>,
}

/// What is built.
#[derive(Debug)]
struct Target<'a> {
    /// Where `Cargo.lock` is, and where Cargo runs.
    workspace: Folder<'a>,
    package: Package<'a>,
    binary: String,
}

/// Writes the Dockerfile of a Rust program.
pub(crate) fn find(snapshot: &Snapshot, root: &RelativePath) -> Found {
    let folder = Folder::new(snapshot, root);
    folder.has("Cargo.toml").then(|| write(&folder))
}

fn write(folder: &Folder<'_>) -> Result<Written, StackError> {
    let command = folder.web_command();
    let target = choose(folder, command.as_deref())?;
    let toolchain = toolchain(&target.workspace)?;
    let framework = FRAMEWORKS.iter().find(|(name, _)| depends_on(&target.package.table, name));
    let is_rocket = framework.is_some_and(|(name, _)| *name == "rocket");
    let port = if is_rocket { ROCKET_PORT } else { PORT };
    let mut notes = notes(&target, is_rocket);
    notes.extend(folder.notes());
    let version = toolchain.map_or("1".to_owned(), |version| version.to_string());
    let named = framework.map_or(String::new(), |(_, framework)| format!(", {framework}"));
    let stack = format!("Rust {version}{named}");
    let mut document = step::begin(&stack, &notes);
    document.stage(&format!("rust:{version}-slim-bookworm"), "build");
    let natives = natives(&target.workspace);
    step::apt(&mut document, &packages(&natives, |native| native.build));
    build(&mut document, &target);

    document.stage(DEBIAN, "run");
    document.line(format!("ENV PORT={port}"));
    if is_rocket {
        document.line(format!("ENV ROCKET_ADDRESS=0.0.0.0 ROCKET_PORT={ROCKET_PORT}"));
    }
    let mut runtime = vec!["ca-certificates"];
    runtime.extend(packages(&natives, |native| native.run));
    step::apt(&mut document, &runtime);
    step::user(&mut document);
    document.line("WORKDIR /app");
    for name in step::resources(&target.package.folder) {
        document.line(format!("COPY {} ./{name}", target.package.folder.path(name)));
    }
    let binary = &target.binary;
    document.line(format!("COPY --from=build /out/{binary} /usr/local/bin/{binary}"));
    if command.is_some() {
        // Where a Procfile expects what Cargo built.
        document.line(format!("COPY --from=build /out/{binary} ./target/release/{binary}"));
    }
    let argv = command.unwrap_or_else(|| vec![format!("/usr/local/bin/{binary}")]);
    step::start(&mut document, port, &argv);

    let built = target.workspace.path("target");
    Ok(Written {
        stack,
        dockerfile: document.finish(),
        ignore: step::ignore(&step::SECRETS, &[built.as_str()]),
        port,
        health: folder.health_or(target.package.folder.text("src/main.rs").and_then(step::health_in)),
        output: None,
        notes,
    })
}

fn notes(target: &Target<'_>, is_rocket: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if !target.workspace.has("Cargo.lock") {
        notes.push("Without Cargo.lock two builds may use different versions: commit it.".to_owned());
    }
    if is_rocket {
        notes.push(format!(
            "Rocket does not read PORT: it listens on {ROCKET_PORT}, which `port` must say, or set ROCKET_PORT."
        ));
    }
    let resources = step::resources(&target.package.folder);
    if !resources.is_empty() {
        notes.push(format!("Beside the program the image has the folders {}.", resources.join(", ")));
    }
    notes
}

/// Compiles in one step, because what Cargo keeps is outside of the image: dependencies are compiled once and stay.
fn build(document: &mut Document, target: &Target<'_>) {
    let Target { workspace, package, binary } = target;
    document.line("WORKDIR /src");
    document.line("ENV CARGO_TARGET_DIR=/target");
    document.line(workspace.copy_all());
    let is_locked = workspace.has("Cargo.lock");
    let locked = if is_locked { " --locked" } else { "" };
    let compile = format!("cargo build --release{locked} --package {} --bin {binary}", package.name);
    let keep = format!("mkdir /out && cp /target/release/{binary} /out/{binary}");
    let caches = [
        Cache::at("/usr/local/cargo/registry"),
        Cache::at("/usr/local/cargo/git"),
        Cache::named(&format!("cargo-target-{}", package.name), "/target"),
    ];
    document.comment(
        "Cargo tells changes by time, and files may bring old times with them: the program is always compiled.",
    );
    document.comment("The compiler is the image's, so the file that asks for one is not needed.");
    step::run(
        document,
        &caches,
        &[
            "find . -type f -exec touch {} +",
            "rm -f rust-toolchain rust-toolchain.toml",
            compile.as_str(),
            keep.as_str(),
        ],
    );
}

fn natives(workspace: &Folder<'_>) -> Vec<&'static Native> {
    let lock = workspace.text("Cargo.lock").unwrap_or_default();
    NATIVES.iter().filter(|native| lock.contains(&format!("name = \"{}\"\n", native.name))).collect()
}

fn packages(
    natives: &[&'static Native],
    of: impl Fn(&Native) -> &'static [&'static str],
) -> Vec<&'static str> {
    let packages: BTreeSet<&'static str> =
        natives.iter().flat_map(|&native| of(native).iter().copied()).collect();
    packages.into_iter().collect()
}

fn depends_on(table: &Table, name: &str) -> bool {
    value_at(table, &["dependencies", name]).is_some()
}

/// Finds the workspace, the package and the binary.
fn choose<'a>(folder: &Folder<'a>, command: Option<&[String]>) -> Result<Target<'a>, StackError> {
    let table = folder.table("Cargo.toml")?.unwrap_or_default();
    let is_workspace = table.contains_key("workspace");
    if table.contains_key("package") {
        let above = if is_workspace {
            None
        } else {
            folder.above(|up| up.text("Cargo.toml").is_some_and(|text| text.contains("[workspace]")))
        };
        let package = read_package(folder, table)?;
        let binary = choose_binary(folder, &package, command)?;
        return Ok(Target { workspace: above.unwrap_or_else(|| folder.clone()), package, binary });
    }
    if !is_workspace {
        return Err(folder.unclear(
            "Cargo.toml has neither [package] nor [workspace]",
            "name the folder of the package as the service's folder",
        ));
    }
    let mut programs = members(folder)?;
    let Some(package) = programs.pop() else {
        return Err(folder.unclear(
            "no package of the workspace has a binary",
            "name the folder of the package as the service's folder",
        ));
    };
    if let Some(other) = programs.last() {
        return Err(folder.unclear(
            format!(
                "the workspace has several packages with binaries, such as {} and {}",
                other.name, package.name
            ),
            "name the folder of the package as the service's folder",
        ));
    }
    let binary = choose_binary(folder, &package, command)?;
    Ok(Target { workspace: folder.clone(), package, binary })
}

/// Packages below the folder that have binaries.
fn members<'a>(folder: &Folder<'a>) -> Result<Vec<Package<'a>>, StackError> {
    let mut programs = Vec::new();
    for path in folder.paths().filter_map(|path| path.strip_suffix("/Cargo.toml")) {
        let Some(member) = folder.below(path) else { continue };
        // What others wrote, such as below `vendor`, was not read.
        if member.text("Cargo.toml").is_none() {
            continue;
        }
        let Some(table) = member.table("Cargo.toml")? else { continue };
        // A workspace of its own, such as for fuzzing, is no member.
        if !table.contains_key("package") || table.contains_key("workspace") {
            continue;
        }
        let package = read_package(&member, table)?;
        if !package.binaries.is_empty() {
            programs.push(package);
        }
    }
    Ok(programs)
}

fn read_package<'a>(folder: &Folder<'a>, table: Table) -> Result<Package<'a>, StackError> {
    let name = value_at(&table, &["package", "name"]).and_then(Value::as_str).unwrap_or_default().to_owned();
    check_name(folder, &name)?;
    let mut binaries = BTreeSet::new();
    let mut is_main_named = false;
    for binary in table.get("bin").and_then(Value::as_array).into_iter().flatten() {
        let binary_name = binary.get("name").and_then(Value::as_str).unwrap_or_default();
        check_name(folder, binary_name)?;
        is_main_named |= binary.get("path").and_then(Value::as_str) == Some("src/main.rs");
        binaries.insert(binary_name.to_owned());
    }
    let is_automatic = value_at(&table, &["package", "autobins"]).and_then(Value::as_bool).unwrap_or(true);
    if is_automatic {
        if folder.has("src/main.rs") && !is_main_named {
            binaries.insert(name.clone());
        }
        for path in folder.paths().filter_map(|path| path.strip_prefix("src/bin/")) {
            let name = path.strip_suffix("/main.rs").or_else(|| path.strip_suffix(".rs"));
            if let Some(name) = name.filter(|name| is_word(name)) {
                binaries.insert(name.to_owned());
            }
        }
    }
    Ok(Package { folder: folder.clone(), name, table, binaries })
}

fn check_name(folder: &Folder<'_>, name: &str) -> Result<(), StackError> {
    if is_word(name) {
        return Ok(());
    }
    let reason =
        format!("`{}` in {} is no name of a package or binary", shown(name), folder.path("Cargo.toml"));
    Err(folder.unclear(reason, "use letters, digits, `-` and `_`"))
}

/// The only binary, the default one, or the one the Procfile starts.
fn choose_binary(
    folder: &Folder<'_>,
    package: &Package<'_>,
    command: Option<&[String]>,
) -> Result<String, StackError> {
    if let Some(command) = command {
        let text = command.join(" ");
        let is_started = |binary: &&String| {
            text.split([' ', ';', '&']).any(|word| word.rsplit('/').next() == Some(binary.as_str()))
        };
        if let Some(binary) = package.binaries.iter().find(is_started) {
            return Ok(binary.clone());
        }
    }
    let default = value_at(&package.table, &["package", "default-run"]).and_then(Value::as_str);
    if let Some(default) = default.filter(|name| package.binaries.contains(*name)) {
        return Ok(default.to_owned());
    }
    let mut binaries = package.binaries.iter();
    match (binaries.next(), binaries.next()) {
        (Some(binary), None) => Ok(binary.clone()),
        (None, _) => Err(folder.unclear(
            format!("the package {} has no binary", package.name),
            "add src/main.rs, or name the folder of another package as the service's folder",
        )),
        (Some(one), Some(other)) => Err(folder.unclear(
            format!("the package {} has several binaries, such as {one} and {other}", package.name),
            "say which one as `default-run` in [package] of Cargo.toml, or in a Procfile",
        )),
    }
}

/// Version of the compiler: the one a toolchain file names, else the newest.
fn toolchain(workspace: &Folder<'_>) -> Result<Option<Version>, StackError> {
    let table = match workspace.table("rust-toolchain.toml")? {
        Some(table) => Some(table),
        // The old name holds either form.
        None => workspace.text("rust-toolchain").and_then(|text| text.parse::<Table>().ok()),
    };
    let channel = match &table {
        Some(table) => value_at(table, &["toolchain", "channel"]).and_then(Value::as_str),
        None => workspace.text("rust-toolchain").map(first_line),
    };
    let Some(channel) = channel.filter(|channel| *channel != "stable") else { return Ok(None) };
    match Numbers::parse(channel).and_then(Numbers::version) {
        // Older images are not of bookworm.
        Some(version) if (Version::new(1, 70)..Version::new(2, 0)).contains(&version) => Ok(Some(version)),
        _ => {
            let reason = format!("the toolchain `{}` has no image", shown(channel));
            Err(workspace.unclear(reason, "name `stable` or a version from 1.70 on, such as `1.90`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::folder::snapshot_of;
    use crate::stack::step::{assert_sound, command_of};

    fn found(files: &[(&str, &str)], root: &str) -> Result<Written, StackError> {
        find(&snapshot_of(files), &root.parse().expect("a path")).expect("is Rust")
    }

    const PACKAGE: &str = "[package]\nname = \"shop\"\n[dependencies]\naxum = \"0.8\"\n";

    #[test]
    fn one_package() {
        let lock = "[[package]]\nname = \"openssl-sys\"\nversion = \"0.9\"\n";
        let files = [
            ("Cargo.toml", PACKAGE),
            ("Cargo.lock", lock),
            ("src/main.rs", "route(\"/healthz\", x)"),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.88.0\"\n"),
            ("templates/a.html", ""),
        ];
        let written = found(&files, ".").expect("is clear");
        assert_eq!(written.stack, "Rust 1.88, axum");
        assert_eq!((written.port, written.health.as_deref()), (8080, Some("/healthz")));
        assert_sound(
            &written.dockerfile,
            &[
                "FROM rust:1.88-slim-bookworm AS build",
                "libssl-dev pkg-config",
                "COPY . ./",
                "--mount=type=cache,target=/usr/local/cargo/registry",
                "--mount=type=cache,id=cargo-target-shop,target=/target,sharing=locked",
                "-exec touch {} +",
                "cargo build --release --locked --package shop --bin shop",
                "cp /target/release/shop /out/shop",
                "FROM debian:bookworm-slim AS run",
                "ca-certificates libssl3",
                "COPY templates ./templates",
                "COPY --from=build /out/shop /usr/local/bin/shop",
            ],
        );
        assert_eq!(command_of(&written.dockerfile), ["/usr/local/bin/shop"]);
        assert!(written.ignore.ends_with("\ntarget\n"), "{}", written.ignore);
    }

    #[test]
    fn a_member_is_built_in_its_workspace() {
        let files = [
            ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\n"),
            ("Cargo.lock", ""),
            ("crates/shop/Cargo.toml", PACKAGE),
            ("crates/shop/src/main.rs", ""),
            ("crates/shop/static/a.css", ""),
            ("crates/core/Cargo.toml", "[package]\nname = \"core\"\n"),
            ("crates/core/src/lib.rs", ""),
        ];
        for root in [".", "crates/shop"] {
            let written = found(&files, root).expect("is clear");
            assert_sound(
                &written.dockerfile,
                &["COPY . ./", "--locked --package shop --bin shop", "COPY crates/shop/static ./static"],
            );
        }
        let error = found(&files, "crates/core").expect_err("is a library").to_string();
        assert!(error.contains("the package core has no binary"), "{error}");
    }

    #[test]
    fn one_of_several_binaries() {
        let several = [("Cargo.toml", PACKAGE), ("src/main.rs", ""), ("src/bin/seed.rs", "")];
        let error = found(&several, ".").expect_err("is unclear").to_string();
        assert!(error.contains("such as seed and shop"), "{error}");
        let default = "[package]\nname = \"shop\"\ndefault-run = \"web\"\n[[bin]]\nname = \"web\"\npath = \"src/main.rs\"\n";
        let files = [("Cargo.toml", default), ("src/main.rs", ""), ("src/bin/seed.rs", "")];
        let written = found(&files, ".").expect("is clear");
        assert_eq!(command_of(&written.dockerfile), ["/usr/local/bin/web"]);
        assert_sound(&written.dockerfile, &["cargo build --release --package shop --bin web"]);
        assert!(written.notes.iter().any(|note| note.contains("Cargo.lock")), "{:?}", written.notes);
    }

    #[test]
    fn what_is_unclear() {
        let main = ("src/main.rs", "");
        let table: [(&[(&str, &str)], &str); 5] = [
            (&[("Cargo.toml", "[package\n")], "cannot be read"),
            (&[("Cargo.toml", "")], "neither [package] nor [workspace]"),
            (&[("Cargo.toml", "[workspace]\n")], "no package of the workspace has a binary"),
            (&[("Cargo.toml", "[package]\nname = \"a; RUN x\"\n"), main], "`a; RUN x` in Cargo.toml"),
            (&[("Cargo.toml", PACKAGE), main, ("rust-toolchain", "nightly-2025-01-01\n")], "has no image"),
        ];
        for (files, part) in table {
            let error = found(files, ".").expect_err("is unclear").to_string();
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
        assert!(find(&snapshot_of(&[("main.rs", "")]), &RelativePath::here()).is_none());
    }
}

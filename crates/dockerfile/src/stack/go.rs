//! Go: the Dockerfile of one main package of a module. Leaves the compiler to the image. Tests at the end of the file.

use havre_core::name::RelativePath;

use crate::stack::folder::Folder;
use crate::stack::grammar::is_word;
use crate::stack::step::{self, Cache, DEBIAN};
use crate::stack::text::Document;
use crate::stack::version::{Numbers, Version};
use crate::stack::{Found, Snapshot, StackError, Written, shown};

/// Port of a program that reads `PORT`.
const PORT: u16 = 8080;
/// Oldest version that is used: newer compilers keep what older ones promised.
const OLDEST: Version = Version::new(1, 21);
/// Version where nobody says.
const DEFAULT: Version = Version::new(1, 24);

/// Frameworks by the module they are.
static FRAMEWORKS: [(&str, &str); 4] = [
    ("github.com/gin-gonic/gin", "Gin"),
    ("github.com/labstack/echo", "Echo"),
    ("github.com/gofiber/fiber", "Fiber"),
    ("github.com/go-chi/chi", "chi"),
];
/// A module that is partly C.
const SQLITE: &str = "github.com/mattn/go-sqlite3";

/// What is built.
#[derive(Debug)]
struct Target<'a> {
    /// Where `go.mod` is, and where the compiler runs.
    module: Folder<'a>,
    /// Folder of the main package below it, `.` for itself.
    package: String,
    /// Name of the binary.
    binary: String,
    /// Text of `go.mod`.
    text: &'a str,
}

/// Writes the Dockerfile of a Go program.
pub(crate) fn find(snapshot: &Snapshot, root: &RelativePath) -> Found {
    let folder = Folder::new(snapshot, root);
    let is_inside = || folder.has("main.go") && folder.above(|up| up.has("go.mod")).is_some();
    (folder.has("go.mod") || is_inside()).then(|| write(&folder))
}

fn write(folder: &Folder<'_>) -> Result<Written, StackError> {
    let target = choose(folder)?;
    let command = folder.web_command();
    let version = version(folder, target.text)?;
    let framework = FRAMEWORKS.iter().find(|(module, _)| target.text.contains(*module));
    let is_cgo = target.text.contains(SQLITE);
    let resources = step::resources(folder);
    let mut notes = Vec::new();
    if is_cgo {
        notes.push("go-sqlite3 is partly C, so the program is linked with the C library.".to_owned());
    }
    if !resources.is_empty() {
        notes.push(format!("Beside the program the image has the folders {}.", resources.join(", ")));
    }
    notes.extend(folder.notes());
    let named = framework.map_or(String::new(), |(_, framework)| format!(", {framework}"));
    let stack = format!("Go {version}{named}");
    let mut document = step::begin(&stack, &notes);
    document.stage(&format!("golang:{version}-bookworm"), "build");
    build(&mut document, &target, is_cgo);

    document.stage(DEBIAN, "run");
    document.line(format!("ENV PORT={PORT}"));
    if framework.is_some_and(|(_, name)| *name == "Gin") {
        document.line("ENV GIN_MODE=release");
    }
    step::apt(&mut document, &["ca-certificates", "tzdata"]);
    step::user(&mut document);
    document.line("WORKDIR /app");
    for name in &resources {
        document.line(format!("COPY {} ./{name}", folder.path(name)));
    }
    let binary = &target.binary;
    document.line(format!("COPY --from=build /out/{binary} /usr/local/bin/{binary}"));
    if command.is_some() {
        // Where Procfiles for Go expect it.
        document.line(format!("COPY --from=build /out/{binary} ./bin/{binary}"));
    }
    let argv = command.unwrap_or_else(|| vec![format!("/usr/local/bin/{binary}")]);
    step::start(&mut document, PORT, &argv);

    let main =
        if target.package == "." { "main.go".to_owned() } else { format!("{}/main.go", target.package) };
    Ok(Written {
        stack,
        dockerfile: document.finish(),
        ignore: step::ignore(&step::SECRETS, &["**/*.test", "**/*.out"]),
        port: PORT,
        health: folder.health_or(target.module.text(&main).and_then(step::health_in)),
        output: None,
        notes,
    })
}

/// Modules first, where `go.mod` names nothing else of the repository: a change of the program fetches none again.
fn build(document: &mut Document, target: &Target<'_>, is_cgo: bool) {
    let Target { module, package, binary, text } = target;
    let modules = Cache::at("/go/pkg/mod");
    let compiled = Cache::at("/root/.cache/go-build");
    document.line("WORKDIR /src");
    document.line(format!("ENV CGO_ENABLED={}", u8::from(is_cgo)));
    let is_alone = !has_local_module(text) && !module.has("vendor/modules.txt");
    if let Some(copy) = module.copy(&["go.mod", "go.sum"]).filter(|_| is_alone) {
        document.line(copy);
        step::run(document, std::slice::from_ref(&modules), &["go mod download"]);
    }
    document.line(module.copy_all());
    let path = if package == "." { ".".to_owned() } else { format!("./{package}") };
    let compile = format!("go build -trimpath -ldflags=\"-s -w\" -o /out/{binary} {path}");
    step::run(document, &[modules, compiled], &[compile.as_str()]);
}

/// Whether `go.mod` takes a module from a folder.
fn has_local_module(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.split_once("=>"))
        .any(|(_, target)| target.trim_start().starts_with('.'))
}

/// Finds the module and its main package.
fn choose<'a>(folder: &Folder<'a>) -> Result<Target<'a>, StackError> {
    let is_module = folder.has("go.mod");
    let module = if is_module { Some(folder.clone()) } else { folder.above(|up| up.has("go.mod")) };
    let module = module.ok_or_else(|| folder.unclear("there is no go.mod", "run `go mod init`"))?;
    let text = module.text("go.mod").unwrap_or_default();
    if has_local_module(text) && text.contains("=> ../") {
        return Err(folder.unclear(
            "go.mod takes a module from outside of its folder",
            "write a Dockerfile and name it as `dockerfile` in havre.toml",
        ));
    }
    let package = if is_module { main_package(folder)? } else { folder.path_in(&module).to_owned() };
    if package.parse::<RelativePath>().is_err() {
        return Err(folder.unclear(
            format!(
                "the folder `{}` has other characters than letters, digits and . _ - @ +",
                shown(&package)
            ),
            "rename it",
        ));
    }
    let named = text.lines().find_map(|line| line.trim().strip_prefix("module "));
    let last = if package == "." { named.unwrap_or_default() } else { package.as_str() };
    let binary = last.trim().rsplit('/').next().filter(|name| is_word(name)).unwrap_or("app").to_owned();
    Ok(Target { module, package, binary, text })
}

/// The folder's own main package, else the only one below `cmd`.
fn main_package(folder: &Folder<'_>) -> Result<String, StackError> {
    let is_main = |name: &str| {
        let text = folder.text(name).unwrap_or_default();
        name.ends_with(".go")
            && !name.ends_with("_test.go")
            && text.lines().any(|line| line.trim_end() == "package main")
    };
    let has_main = folder.has("main.go") || folder.paths().any(|path| !path.contains('/') && is_main(path));
    if has_main {
        return Ok(".".to_owned());
    }
    if folder.has("cmd/main.go") {
        return Ok("cmd".to_owned());
    }
    let mut found: Vec<&str> = folder
        .paths()
        .filter_map(|path| path.strip_prefix("cmd/")?.strip_suffix("/main.go"))
        .filter(|name| !name.contains('/'))
        .collect();
    match (found.pop(), found.last()) {
        (Some(name), None) => Ok(format!("cmd/{name}")),
        (Some(name), Some(other)) => Err(folder.unclear(
            format!("cmd holds several programs, such as `{}` and `{}`", shown(other), shown(name)),
            "name the folder of one of them as the service's folder",
        )),
        (None, _) => Err(folder.unclear(
            "there is neither main.go nor cmd/<name>/main.go",
            "name the folder of the main package as the service's folder",
        )),
    }
}

/// What the `go` line of `go.mod` says.
fn version(folder: &Folder<'_>, text: &str) -> Result<Version, StackError> {
    let Some(line) = text.lines().find_map(|line| line.trim().strip_prefix("go ")) else {
        return Ok(DEFAULT);
    };
    let line = line.split("//").next().unwrap_or(line);
    match Numbers::parse(line).and_then(Numbers::version) {
        Some(version) if version.major == 1 => Ok(version.max(OLDEST)),
        _ => Err(folder.unclear(
            format!("`go {}` in go.mod is no version of Go", shown(line)),
            "write one such as `go 1.24`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::folder::snapshot_of;
    use crate::stack::step::{assert_sound, command_of};

    fn found(files: &[(&str, &str)], root: &str) -> Result<Written, StackError> {
        find(&snapshot_of(files), &root.parse().expect("a path")).expect("is Go")
    }

    const MODULE: &str = "module example.org/shop\n\ngo 1.23.2\n\nrequire github.com/gin-gonic/gin v1.10.0\n";

    #[test]
    fn main_in_the_root() {
        let files =
            [("go.mod", MODULE), ("go.sum", ""), ("main.go", "r.GET(\"/health\", f)"), ("static/a", "")];
        let written = found(&files, ".").expect("is clear");
        assert_eq!(written.stack, "Go 1.23, Gin");
        assert_eq!((written.port, written.health.as_deref()), (8080, Some("/health")));
        assert_sound(
            &written.dockerfile,
            &[
                "FROM golang:1.23-bookworm AS build",
                "ENV CGO_ENABLED=0",
                "COPY go.mod go.sum ./",
                "--mount=type=cache,target=/go/pkg/mod go mod download",
                "COPY . ./",
                "--mount=type=cache,target=/go/pkg/mod",
                "--mount=type=cache,target=/root/.cache/go-build",
                "go build -trimpath -ldflags=\"-s -w\" -o /out/shop .",
                "FROM debian:bookworm-slim AS run",
                "GIN_MODE=release",
                "ca-certificates tzdata",
                "COPY static ./static",
                "COPY --from=build /out/shop /usr/local/bin/shop",
            ],
        );
        assert_eq!(command_of(&written.dockerfile), ["/usr/local/bin/shop"]);
    }

    #[test]
    fn main_below_cmd_and_a_folder_inside_the_module() {
        let files = [
            ("go.mod", "module shop\n"),
            ("cmd/web/main.go", ""),
            ("cmd/web/sub/main.go", ""),
            ("x.go", "package shop"),
        ];
        let written = found(&files, ".").expect("is clear");
        assert_sound(&written.dockerfile, &["golang:1.24-bookworm", "-o /out/web ./cmd/web"]);
        let several = [("go.mod", "module shop\n"), ("cmd/web/main.go", ""), ("cmd/job/main.go", "")];
        let error = found(&several, ".").expect_err("is unclear").to_string();
        assert!(error.contains("`job` and `web`"), "{error}");
        let written = found(&several, "cmd/job").expect("is clear");
        assert_sound(&written.dockerfile, &["COPY go.mod ./", "COPY . ./", "-o /out/job ./cmd/job"]);
    }

    #[test]
    fn what_changes_the_build() {
        let local =
            "module shop\ngo 1.18\nreplace example.org/x => ./x\nrequire github.com/mattn/go-sqlite3 v1\n";
        let written = found(&[("a/go.mod", local), ("a/main.go", "")], "a").expect("is clear");
        assert_sound(&written.dockerfile, &["golang:1.21-bookworm", "CGO_ENABLED=1", "COPY a ./"]);
        assert!(!written.dockerfile.contains("go mod download"), "{}", written.dockerfile);
    }

    #[test]
    fn what_is_unclear() {
        let main = ("main.go", "");
        let table: [(&[(&str, &str)], &str); 4] = [
            (&[("go.mod", "module x\n")], "neither main.go nor"),
            (&[("go.mod", "module x\ngo 1.22 && RUN\n"), main], "is no version of Go"),
            (&[("go.mod", "module x\nreplace y => ../y\n"), main], "outside of its folder"),
            (&[("go.mod", "module x\n"), ("cmd/a b/main.go", "")], "has other characters"),
        ];
        for (files, part) in table {
            let error = found(files, ".").expect_err("is unclear").to_string();
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
        assert!(find(&snapshot_of(&[main]), &RelativePath::here()).is_none());
    }
}

//! Contexts where nobody named a Dockerfile: reads of the repository what `havre_dockerfile` wants to know, and sends what
//! it decides. Decides nothing itself. Tests at the end of the file, and in `tests/it/stack.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use havre_core::build::ignore::Ignore;
use havre_core::name::RelativePath;
use havre_core::service::spec::{DockerfileSource, OUTSIDE_DOCKERFILE};
use havre_dockerfile::stack::{
    self, Choice, NEVER_COPIED, PATHS_MAX, Snapshot, StackError, TEXT_MAX, wanted,
};

use crate::build::walk::{self, Context};
use crate::exit::CliError;
use crate::output;

/// Folders that builds and package managers fill; nothing in them says what a program is.
const FILLED: [&str; 15] = [
    ".git",
    ".hg",
    ".svn",
    "node_modules",
    "target",
    "dist",
    ".next",
    ".nuxt",
    ".output",
    ".svelte-kit",
    ".turbo",
    ".venv",
    "venv",
    "__pycache__",
    ".pnpm-store",
];

/// The context of a Dockerfile, whoever wrote it.
pub(crate) fn context(
    folder: &Path,
    source: &DockerfileSource,
    wants_site: bool,
) -> Result<Context, CliError> {
    if source.written_for.is_none() {
        return walk::of_dockerfile(folder, source);
    }
    let base = folder.join(source.context.as_str());
    match choose(folder, source, Some(wants_site))? {
        Choice::Own { path } => walk::of_file(&base, base.join(path), OUTSIDE_DOCKERFILE),
        Choice::Written(written) => {
            let ignore = match walk::read_ignore(&[base.join(".dockerignore")], NEVER_COPIED)? {
                Some(ignore) => ignore,
                None => Ignore::parse(&written.ignore)
                    .map_err(|why| CliError::usage(format!("could not leave files out: {why}")))?,
            };
            let mut context = walk::of_text(&base, ignore, OUTSIDE_DOCKERFILE, written.dockerfile)?;
            context.notes.push(format!("{}; Havre writes the Dockerfile", written.stack));
            context.notes.extend(written.notes.iter().map(|note| format!("  {note}")));
            Ok(context)
        }
    }
}

/// The Dockerfile of a source that names none, with its build arguments declared. `wants_site` is `None` where nobody
/// said whether a program or a site is meant.
pub(crate) fn choose(
    folder: &Path,
    source: &DockerfileSource,
    wants_site: Option<bool>,
) -> Result<Choice, CliError> {
    let root = source.root_in_context().ok_or_else(|| {
        CliError::usage("the folder of the program lies outside of its context")
            .hint("havre.toml names them as `root` and `context`")
    })?;
    let base = folder.join(source.context.as_str());
    let program = base.join(root.as_str());
    if !program.is_dir() {
        return Err(CliError::usage(format!("there is no folder {}", program.display()))
            .hint("havre.toml names it as `root`"));
    }
    let snapshot = snapshot(&base, &root)?;
    let mut choice = stack::choose(&snapshot, &root).map_err(refused)?;
    if let Choice::Written(written) = &mut choice {
        if let Some(wants_site) = wants_site {
            written.check(&root, wants_site).map_err(refused)?;
        }
        written.declare(source.args.keys());
    }
    Ok(choice)
}

/// The message and the way out, each in its place.
fn refused(error: StackError) -> CliError {
    match error {
        StackError::Unclear { folder, reason, hint } => {
            let message = format!("could not write a Dockerfile for {folder}: {reason}");
            CliError::usage(output::printable(&message)).hint(output::printable(&hint))
        }
        StackError::Unknown { folder, looked_for } => {
            CliError::usage(format!("could not tell what {folder} is made of: there is none of {looked_for}"))
                .hint("write a Dockerfile and name it as `dockerfile` in havre.toml")
        }
    }
}

/// A repository as `havre_dockerfile` sees it; what its `.dockerignore` leaves out is not there.
pub(crate) fn snapshot(base: &Path, root: &RelativePath) -> Result<Snapshot, CliError> {
    let mut paths = list(base, root)?;
    // Many a .dockerignore names it, because a build does not need it.
    let own = if root.as_str() == "." { "Dockerfile".to_owned() } else { format!("{root}/Dockerfile") };
    if base.join(&own).is_file() {
        paths.insert(own);
    }
    let texts = read_texts(base, &paths, root)?;
    Ok(Snapshot { paths, texts })
}

/// The texts that matter for the program in `root`.
pub(crate) fn read_texts(
    base: &Path,
    paths: &BTreeSet<String>,
    root: &RelativePath,
) -> Result<BTreeMap<String, String>, CliError> {
    let mut texts = BTreeMap::new();
    for name in wanted(paths, root) {
        if let Some(text) = read_text(&base.join(&name))? {
            texts.insert(name, text);
        }
    }
    Ok(texts)
}

/// Every file of a repository, but for folders that are filled by others and do not hold `root`.
fn list(base: &Path, root: &RelativePath) -> Result<BTreeSet<String>, CliError> {
    let ignore = walk::read_ignore(&[base.join(".dockerignore")], "")?.unwrap_or_default();
    let mut paths = BTreeSet::new();
    let mut folders: Vec<(PathBuf, String)> = vec![(base.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let failed = |error: std::io::Error| CliError::io(format!("read {}", folder.display()), &error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            // The walk that uploads says what is wrong with other names.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            let is_ignored = ignore.is_ignored(&path);
            if kind.is_dir() {
                let holds_root = root.as_str() == path || root.as_str().starts_with(&format!("{path}/"));
                let is_closed = is_ignored && !ignore.may_keep_below(&path);
                if holds_root || !(is_closed || FILLED.contains(&name.as_str())) {
                    folders.push((entry.path(), path));
                }
            } else if kind.is_file() && !is_ignored {
                paths.insert(path);
            }
        }
        if paths.len() > PATHS_MAX {
            return Err(CliError::usage(format!("{} holds more than {PATHS_MAX} files", base.display()))
                .hint("leave some out with a .dockerignore, or name a smaller folder as `context`"));
        }
    }
    Ok(paths)
}

/// `None` for what is too large, not text, or gone meanwhile.
fn read_text(path: &Path) -> Result<Option<String>, CliError> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(TEXT_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > TEXT_MAX => Ok(None),
        Ok(_) => Ok(String::from_utf8(bytes).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::io(format!("read {}", path.display()), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::walk::EntryKind;

    const EXPRESS: &str = r#"{"scripts": {"start": "node server.js"}, "dependencies": {"express": "5"}}"#;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("is made");
            fs::write(&path, text).expect("is written");
        }
        folder
    }

    fn source(context: &str, root: &str) -> DockerfileSource {
        let path = |text: &str| -> RelativePath { text.parse().expect("a path") };
        let args = BTreeMap::from([("VERSION".parse().expect("a key"), "1".to_owned())]);
        DockerfileSource::written(path(context), path(root), args)
    }

    fn names(context: &Context) -> Vec<&str> {
        context.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn a_dockerfile_is_written_and_sent() {
        let folder = tree(&[
            ("package.json", EXPRESS),
            ("server.js", ""),
            (".env", "secret"),
            ("node_modules/x/package.json", ""),
            (".havre.Dockerfile", "FROM mine"),
        ]);
        let sent = context(folder.path(), &source(".", "."), false).expect("is known");
        assert_eq!(names(&sent), ["package.json", "server.js", ".havre.Dockerfile"]);
        let EntryKind::Text { text } = &sent.entries[2].kind else { panic!("is on no disk") };
        assert!(
            text.contains("\nARG VERSION\n") && text.contains("\nCMD [\"node\", \"server.js\"]\n"),
            "{text}"
        );
        assert!(sent.notes[0].ends_with("npm, Express; Havre writes the Dockerfile"), "{:?}", sent.notes);
    }

    #[test]
    fn a_dockerignore_is_honoured() {
        let folder = tree(&[
            ("a/package.json", EXPRESS),
            ("a/secret", ""),
            ("a/node_modules/x", ""),
            ("a/.dockerignore", "secret\n"),
        ]);
        let sent = context(folder.path(), &source("a", "a"), false).expect("is known");
        assert_eq!(names(&sent), [".dockerignore", "package.json", ".havre.Dockerfile"]);
    }

    #[test]
    fn an_own_dockerfile_goes_along_as_it_is() {
        let folder = tree(&[
            ("api/Dockerfile", "FROM scratch"),
            ("api/package.json", EXPRESS),
            (".dockerignore", "**/Dockerfile\n"),
        ]);
        let sent = context(folder.path(), &source(".", "api"), false).expect("is there");
        assert_eq!(names(&sent), [".dockerignore", "api", "api/package.json", ".havre.Dockerfile"]);
        assert_eq!(sent.entries[3].path, folder.path().join("./api/Dockerfile"));
        assert_eq!(sent.notes, Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_written() {
        let folder = tree(&[("package.json", EXPRESS), ("docs/README.md", "")]);
        let refused = |root: &str, wants_site: bool| {
            let error = context(folder.path(), &source(".", root), wants_site).expect_err("cannot be");
            error.to_string().replace(&folder.path().display().to_string(), "FOLDER")
        };
        let all = [refused(".", true), refused("docs", false), refused("none", false)];
        insta::assert_snapshot!(all.join("\n"), @r"
        could not write a Dockerfile for the repository: it holds a program (Node.js 22, npm, Express), which runs, and no site
          describe it in havre.toml as [services.<name>] with `root` and `port`
        could not tell what docs is made of: there is none of package.json, pyproject.toml, requirements.txt, Pipfile, go.mod, Cargo.toml, Gemfile, composer.json, pom.xml, build.gradle, index.html
          write a Dockerfile and name it as `dockerfile` in havre.toml
        there is no folder FOLDER/./none
          havre.toml names it as `root`
        ");
    }
}

//! Lists what goes into a context, in one order on every machine. Tests at the end of the file.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use havre_core::build::ignore::Ignore;
use havre_core::quantity::ByteSize;
use havre_core::service::spec::{DockerfileSource, OUTSIDE_DOCKERFILE};

use crate::exit::CliError;
use crate::output::time::size;

/// Largest context.
pub(crate) const CONTEXT_MAX: u64 = ByteSize::mebibytes(512).as_bytes();
/// Most files and folders of one context.
pub(crate) const ENTRIES_MAX: usize = 200_000;
/// Largest `.dockerignore`.
const IGNORE_MAX: u64 = 1024 * 1024;
/// Folders named when a context is too large.
const BIGGEST: usize = 5;

/// What will be uploaded.
#[derive(Debug, Default)]
pub(crate) struct Context {
    /// In the order they are sent; folders before what is inside.
    pub(crate) entries: Vec<Entry>,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Things that stay out because they are neither file, folder nor link.
    pub(crate) skipped: Vec<String>,
    /// What was decided about it and why, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// One file, folder or link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Path in the archive.
    pub(crate) name: String,
    /// Path on disk.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) kind: EntryKind,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) modified: u64,
}

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Folder,
    File {
        bytes: u64,
    },
    /// A file that is on no disk.
    Text {
        text: String,
    },
    Link {
        target: PathBuf,
    },
}

impl EntryKind {
    /// Whether it is a file, wherever it comes from.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Text { .. })
    }
}

/// The context of a Dockerfile. Its `.dockerignore` is honoured; the Dockerfile itself always goes along.
pub(crate) fn of_dockerfile(folder: &Path, source: &DockerfileSource) -> Result<Context, CliError> {
    let root = folder.join(source.context.as_str());
    let dockerfile = folder.join(source.dockerfile.as_str());
    if !dockerfile.is_file() {
        return Err(CliError::usage(format!("there is no {}", dockerfile.display()))
            .hint("havre.toml names it as `dockerfile`; without that key Havre writes one"));
    }
    of_file(&root, dockerfile, source.dockerfile_in_context())
}

/// The context of a Dockerfile that is there, and that goes along under this name.
pub(crate) fn of_file(root: &Path, dockerfile: PathBuf, name: &str) -> Result<Context, CliError> {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    let ignore = read_ignore(&[PathBuf::from(own), root.join(".dockerignore")], "")?;
    let mut walk = Walk::new(root, ignore.unwrap_or_default())?;
    walk.folder(root, "")?;
    walk.make_room(name);
    if !walk.context.entries.iter().any(|entry| entry.name == name) {
        let metadata = fs::metadata(&dockerfile)
            .map_err(|error| CliError::io(format!("read {}", dockerfile.display()), &error))?;
        walk.file(name.to_owned(), dockerfile, &metadata);
    }
    walk.finish()
}

/// The context of a Dockerfile that is on no disk.
pub(crate) fn of_text(root: &Path, ignore: Ignore, name: &str, text: String) -> Result<Context, CliError> {
    let mut walk = Walk::new(root, ignore)?;
    walk.folder(root, "")?;
    walk.make_room(name);
    walk.context.bytes = walk.context.bytes.saturating_add(text.len() as u64);
    walk.context.entries.push(Entry {
        name: name.to_owned(),
        path: PathBuf::new(),
        kind: EntryKind::Text { text },
        mode: 0o644,
        modified: 0,
    });
    walk.finish()
}

/// The files of a finished site, as they are.
pub(crate) fn of_folder(folder: &Path, root: &str) -> Result<Context, CliError> {
    let root = folder.join(root);
    let mut walk = Walk::new(&root, Ignore::default())?;
    walk.folder(&root, "")?;
    if walk.context.entries.is_empty() {
        return Err(CliError::usage(format!("the folder {} is empty", root.display()))
            .hint("build the site first; havre.toml names its finished files as `root`"));
    }
    walk.finish()
}

/// The rules of the first of these files that is there, with further ones behind its own.
pub(crate) fn read_ignore(candidates: &[PathBuf], behind: &str) -> Result<Option<Ignore>, CliError> {
    let Some((path, text)) = read_first(candidates)? else { return Ok(None) };
    Ignore::parse(&format!("{text}\n{behind}")).map(Some).map_err(|why| {
        let why = crate::output::printable(&why);
        CliError::usage(format!("{} is wrong: {why}", path.display()))
    })
}

/// `<Dockerfile>.dockerignore` where there is one, else `.dockerignore` of the context; with its path.
pub(crate) fn read_ignore_text(
    root: &Path,
    dockerfile: &Path,
) -> Result<Option<(PathBuf, String)>, CliError> {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    read_first(&[PathBuf::from(own), root.join(".dockerignore")])
}

fn read_first(candidates: &[PathBuf]) -> Result<Option<(PathBuf, String)>, CliError> {
    for path in candidates {
        let mut text = String::new();
        let read = fs::File::open(path).and_then(|file| file.take(IGNORE_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => return Ok(Some((path.clone(), text))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(CliError::io(format!("read {}", path.display()), &error)),
        }
    }
    Ok(None)
}

struct Walk {
    root: PathBuf,
    ignore: Ignore,
    context: Context,
    /// Bytes below each folder of the first two levels.
    sizes: BTreeMap<String, u64>,
}

impl Walk {
    fn new(root: &Path, ignore: Ignore) -> Result<Self, CliError> {
        if !root.is_dir() {
            return Err(CliError::usage(format!("there is no folder {}", root.display()))
                .hint("havre.toml names it as `context` or `root`"));
        }
        Ok(Self { root: root.to_owned(), ignore, context: Context::default(), sizes: BTreeMap::new() })
    }

    /// Lists a folder.
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<(), CliError> {
        let failed = |error: std::io::Error| CliError::io(format!("read {}", folder.display()), &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            names.push(entry.map_err(failed)?.file_name());
        }
        names.sort();
        for name in names {
            let path = folder.join(&name);
            let Some(name) = name.to_str() else {
                return Err(CliError::usage(format!("the name of {} is not valid UTF-8", path.display()))
                    .hint("rename it, or leave it out with a .dockerignore"));
            };
            let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            self.entry(path, name)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, name: String) -> Result<(), CliError> {
        let is_ignored = self.ignore.is_ignored(&name);
        let failed = |error: std::io::Error| CliError::io(format!("read {}", path.display()), &error);
        let metadata = fs::symlink_metadata(&path).map_err(failed)?;
        if metadata.is_dir() {
            if is_ignored && !self.ignore.may_keep_below(&name) {
                return Ok(());
            }
            let before = self.context.entries.len();
            if !is_ignored {
                self.push(name.clone(), path.clone(), EntryKind::Folder, &metadata)?;
            }
            self.folder(&path, &name)?;
            if is_ignored && self.context.entries.len() > before {
                // A folder that is out travels along when something inside was taken back.
                self.push(name, path, EntryKind::Folder, &metadata)?;
                self.context.entries[before..].rotate_right(1);
            }
            return Ok(());
        }
        if is_ignored {
            return Ok(());
        }
        if metadata.is_file() {
            self.file(name, path, &metadata);
            return self.check_count();
        }
        if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(failed)?;
            return self.push(name, path, EntryKind::Link { target }, &metadata);
        }
        self.context.skipped.push(name);
        Ok(())
    }

    /// The name under which a Dockerfile travels is ours: a file of the user's that has it stays out.
    fn make_room(&mut self, name: &str) {
        if name == OUTSIDE_DOCKERFILE {
            self.context.entries.retain(|entry| entry.name != name);
        }
    }

    fn file(&mut self, name: String, path: PathBuf, metadata: &Metadata) {
        let bytes = metadata.len();
        self.context.bytes = self.context.bytes.saturating_add(bytes);
        for (at, _) in name.match_indices('/').take(2) {
            *self.sizes.entry(name[..at].to_owned()).or_default() += bytes;
        }
        self.context.entries.push(entry(name, path, EntryKind::File { bytes }, metadata));
    }

    fn push(
        &mut self,
        name: String,
        path: PathBuf,
        kind: EntryKind,
        metadata: &Metadata,
    ) -> Result<(), CliError> {
        self.context.entries.push(entry(name, path, kind, metadata));
        self.check_count()
    }

    fn check_count(&self) -> Result<(), CliError> {
        if self.context.entries.len() <= ENTRIES_MAX {
            return Ok(());
        }
        Err(CliError::usage(format!(
            "{} holds more than {ENTRIES_MAX} files and folders",
            self.root.display()
        ))
        .hint("leave some out with a .dockerignore, such as node_modules and .git"))
    }

    fn finish(self) -> Result<Context, CliError> {
        if self.context.bytes <= CONTEXT_MAX {
            return Ok(self.context);
        }
        let mut sizes: Vec<(String, u64)> = self.sizes.into_iter().collect();
        sizes.sort_by_key(|(name, bytes)| (std::cmp::Reverse(*bytes), name.clone()));
        let biggest: Vec<String> = sizes
            .iter()
            .take(BIGGEST)
            .map(|(name, bytes)| format!("{:>10}  {}/", size(*bytes), crate::output::printable(name)))
            .collect();
        let total = size(self.context.bytes);
        let limit = size(CONTEXT_MAX);
        Err(CliError::usage(format!("the context {} has {total}, more than {limit}", self.root.display()))
            .hint(format!(
                "the biggest folders in it:\n{}\nleave them out with a .dockerignore",
                biggest.join("\n")
            )))
    }
}

fn entry(name: String, path: PathBuf, kind: EntryKind, metadata: &Metadata) -> Entry {
    let modified = u64::try_from(metadata.mtime()).unwrap_or(0);
    Entry { name, path, kind, mode: metadata.mode() & 0o777, modified }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files; a name with a trailing slash is a folder.
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for name in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("is made");
            match name.strip_suffix('/') {
                Some(_) => fs::create_dir_all(&path).expect("is made"),
                None => fs::write(&path, name).expect("is written"),
            }
        }
        folder
    }

    fn names(context: &Context) -> Vec<&str> {
        context.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    fn source(context: &str, dockerfile: &str) -> DockerfileSource {
        DockerfileSource {
            context: context.parse().expect("a path"),
            dockerfile: dockerfile.parse().expect("a path"),
            target: None,
            args: BTreeMap::new(),
            written_for: None,
            secrets: std::collections::BTreeSet::new(),
        }
    }

    #[test]
    fn one_order_and_dockers_rules() {
        let folder = tree(&["b/x", "a/y", "Dockerfile", "node_modules/z", "empty/", ".git/HEAD"]);
        fs::write(folder.path().join(".dockerignore"), "**/node_modules\n.git\nDockerfile\n")
            .expect("is written");
        let context = of_dockerfile(folder.path(), &source(".", "Dockerfile")).expect("is listed");
        assert_eq!(names(&context), [".dockerignore", "a", "a/y", "b", "b/x", "empty", "Dockerfile"]);
    }

    #[test]
    fn what_is_taken_back_brings_its_folders() {
        let folder = tree(&["Dockerfile", "apps/api/main.js", "apps/web/main.js", "other/x"]);
        fs::write(folder.path().join(".dockerignore"), "*\n!apps/api\n").expect("is written");
        let context = of_dockerfile(folder.path(), &source(".", "Dockerfile")).expect("is listed");
        assert_eq!(names(&context), ["apps", "apps/api", "apps/api/main.js", "Dockerfile"]);
    }

    #[test]
    fn a_dockerfile_outside_travels_under_its_own_name() {
        let folder = tree(&["docker/api.Dockerfile", "apps/api/a", "apps/api/b"]);
        fs::write(folder.path().join("docker/api.Dockerfile.dockerignore"), "b").expect("is written");
        let context =
            of_dockerfile(folder.path(), &source("apps/api", "docker/api.Dockerfile")).expect("is listed");
        assert_eq!(names(&context), ["a", ".havre.Dockerfile"]);
    }

    #[test]
    fn a_site_is_taken_as_it_is() {
        let folder = tree(&["dist/index.html", "dist/assets/a.js"]);
        fs::write(folder.path().join("dist/.dockerignore"), "*").expect("is written");
        let context = of_folder(folder.path(), "dist").expect("is listed");
        assert_eq!(names(&context), [".dockerignore", "assets", "assets/a.js", "index.html"]);
        assert_eq!(of_folder(folder.path(), "none").expect_err("is not there").exit.code(), 2);
    }

    #[test]
    fn links_and_sockets() {
        let folder = tree(&["Dockerfile", "a"]);
        std::os::unix::fs::symlink("a", folder.path().join("link")).expect("is made");
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).expect("is made");
        let context = of_dockerfile(folder.path(), &source(".", "Dockerfile")).expect("is listed");
        assert_eq!(names(&context), ["Dockerfile", "a", "link"]);
        assert_eq!(context.skipped, ["socket"]);
        assert_eq!(context.entries[2].kind, EntryKind::Link { target: "a".into() });
    }

    #[test]
    fn too_large_names_the_biggest_folders() {
        let folder = tree(&["Dockerfile", "data/small"]);
        let big = folder.path().join("data/raw/big");
        fs::create_dir_all(big.parent().expect("has one")).expect("is made");
        // A sparse file: large without using the disk.
        fs::File::create(&big).expect("is made").set_len(600 << 20).expect("is grown");
        let error = of_dockerfile(folder.path(), &source(".", "Dockerfile")).expect_err("is too large");
        let text = error.to_string().replace(&folder.path().display().to_string(), "FOLDER");
        insta::assert_snapshot!(text, @r"
        the context FOLDER/. has 600.0 MB, more than 512.0 MB
          the biggest folders in it:
            600.0 MB  data/
            600.0 MB  data/raw/
          leave them out with a .dockerignore
        ");
    }

    #[test]
    fn a_missing_dockerfile_is_named() {
        let folder = tree(&["a"]);
        let error = of_dockerfile(folder.path(), &source(".", "Dockerfile")).expect_err("is not there");
        assert!(error.message.ends_with("/Dockerfile"), "{error}");
    }
}

//! The stage around git: repositories in a temporary folder, commits out of `git fast-import`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};

use havre_core::name::ProjectName;
use havre_core::source::CommitId;
use havre_source::fake::FakeFile;
use havre_source::git::{GitSource, Options};
use havre_source::source::Source;
use tempfile::TempDir;

use crate::world::{AUTHOR, World, shop};

/// When the first commit was made; each later one a second after.
const START: i64 = 1_700_000_000;

static NEXT: AtomicI64 = AtomicI64::new(1);

pub(crate) struct GitWorld {
    source: GitSource,
    folder: TempDir,
}

impl GitWorld {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// With other limits.
    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = Options::new(folder.path().join("git"));
        change(&mut options);
        Self { source: GitSource::open(options).expect("git is there"), folder }
    }

    /// The source once more, as after a restart of control.
    pub(crate) fn restart(self) -> Self {
        let options = Options::new(self.root());
        Self { source: GitSource::open(options).expect("opens again"), folder: self.folder }
    }

    /// The folder of all repositories.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("git")
    }

    /// The repository all tests use.
    pub(crate) fn bare(&self) -> Bare {
        Bare(self.root().join("shop.git"))
    }

    /// A repository of somebody who pushes.
    pub(crate) fn client(&self) -> Bare {
        let bare = Bare(self.folder.path().join("client.git"));
        std::fs::create_dir(&bare.0).expect("is made");
        bare.git(&["init", "--quiet", "--bare"], b"");
        bare
    }

    /// The repository, with nothing in it.
    pub(crate) async fn ensured(self) -> Self {
        self.source.ensure(&shop()).await.expect("is made");
        self
    }
}

impl World for GitWorld {
    fn source(&self) -> &dyn Source {
        &self.source
    }

    async fn commit(
        &self,
        repository: &ProjectName,
        parent: Option<&CommitId>,
        subject: &str,
        files: &[(&str, FakeFile)],
    ) -> CommitId {
        self.source.ensure(repository).await.expect("is made");
        let files: Vec<(&[u8], FakeFile)> =
            files.iter().map(|(path, file)| (path.as_bytes(), file.clone())).collect();
        Bare(self.root().join(format!("{repository}.git"))).commit(parent, subject, &files)
    }

    async fn set_ref(&self, repository: &ProjectName, name: &str, commit: &CommitId) {
        let bare = Bare(self.root().join(format!("{repository}.git")));
        bare.git(&["update-ref", name, commit.as_str()], b"");
    }
}

/// A bare repository, worked on by hand.
pub(crate) struct Bare(pub(crate) PathBuf);

impl Bare {
    /// Runs git here and answers what it prints.
    pub(crate) fn git(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("git")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .arg("--git-dir")
            .arg(&self.0)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("git is there");
        let mut stdin = child.stdin.take().expect("is piped");
        let input = input.to_vec();
        // Beside, because git may answer before it has read everything. What it does not read is no failure.
        let giver = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().expect("ends");
        giver.join().expect("does not panic");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The same where one line is answered.
    pub(crate) fn line(&self, arguments: &[&str], input: &[u8]) -> String {
        String::from_utf8(self.git(arguments, input)).expect("is text").trim().to_owned()
    }

    /// Makes a commit that only a ref outside of branches and tags leads to.
    pub(crate) fn commit(
        &self,
        parent: Option<&CommitId>,
        subject: &str,
        files: &[(&[u8], FakeFile)],
    ) -> CommitId {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("refs/keep/{number}");
        let mut stream = Vec::new();
        let at = START + number;
        stream.extend(format!("commit {name}\ncommitter {AUTHOR} <author@example.org> {at} +0000\n").bytes());
        data(&mut stream, subject.as_bytes());
        if let Some(parent) = parent {
            stream.extend(format!("from {parent}\n").bytes());
        }
        stream.extend(b"deleteall\n");
        for (path, file) in files {
            let (mode, content) = match file {
                FakeFile::Plain(content) => ("100644", content),
                FakeFile::Executable(content) => ("100755", content),
                FakeFile::Link(target) => ("120000", target),
                FakeFile::Submodule(commit) => {
                    stream.extend(format!("M 160000 {commit} {}\n", quote(path)).bytes());
                    continue;
                }
            };
            stream.extend(format!("M {mode} inline {}\n", quote(path)).bytes());
            data(&mut stream, content);
        }
        self.git(&["fast-import", "--quiet", "--date-format=raw"], &stream);
        self.line(&["rev-parse", "--verify", &name], b"").parse().expect("is an id")
    }

    /// A pack of everything a commit needs.
    pub(crate) fn pack(&self, commit: &CommitId) -> Vec<u8> {
        self.git(&["pack-objects", "--stdout", "--revs", "--quiet"], format!("{commit}\n").as_bytes())
    }

    /// What a push that did not end well has left here.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("is readable") {
                let path = entry.expect("is readable").path();
                if is_leftover(&path) {
                    found.push(path);
                } else if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        found
    }
}

fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("tmp_") || name.ends_with(".lock")
}

fn data(stream: &mut Vec<u8>, content: &[u8]) {
    stream.extend(format!("data {}\n", content.len()).bytes());
    stream.extend_from_slice(content);
    stream.push(b'\n');
}

/// A path as fast-import reads it, whatever its bytes.
fn quote(path: &[u8]) -> String {
    let bytes: String = path.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("\"{bytes}\"")
}

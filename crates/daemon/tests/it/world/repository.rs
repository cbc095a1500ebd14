//! A work tree of a person who pushes, with the system's git, that knows nothing of this machine's configuration.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A work tree with one remote, `havre`.
pub(crate) struct Repository {
    folder: TempDir,
    /// How git starts SSH.
    ssh: Option<String>,
    /// Where programs are looked for first.
    programs: Option<PathBuf>,
}

impl Repository {
    /// An empty one on the branch `main`, with this address as its remote.
    pub(crate) fn new(remote: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = Self { folder, ssh: None, programs: None };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["remote", "add", "havre", remote]);
        repository
    }

    /// The same with this client of SSH.
    pub(crate) fn over_ssh(self, client: String) -> Self {
        Self { ssh: Some(client), ..self }
    }

    /// The same with programs of this folder, which git finds before others of their names.
    pub(crate) fn with_programs(self, folder: PathBuf) -> Self {
        Self { programs: Some(folder), ..self }
    }

    /// Writes a file, with the folders it lies in.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// Commits everything; the commit's id.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Runs git and wants success; what it prints.
    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", told(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Pushes; whether it worked, and what the person is told.
    pub(crate) async fn push(&self, arguments: &[&str]) -> (bool, String) {
        let mut all = vec!["push", "havre"];
        all.extend(arguments);
        let mut command = self.command(&all);
        let output =
            tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("git runs");
        (output.status.success(), told(&output))
    }

    /// Begins to push and does not wait.
    pub(crate) fn begin_push(&self, arguments: &[&str]) -> std::process::Child {
        let mut all = vec!["push", "havre"];
        all.extend(arguments);
        self.command(&all).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("git runs")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        let none =
            [("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_TERMINAL_PROMPT", "0")];
        if let Some(ssh) = &self.ssh {
            command.env("GIT_SSH_COMMAND", ssh);
        }
        if let Some(programs) = &self.programs {
            let path = std::env::var("PATH").expect("programs are found");
            command.env("PATH", format!("{}:{path}", programs.display()));
        }
        command.envs(none).env("HOME", self.folder.path()).env("LC_ALL", "C");
        for (who, name) in [("AUTHOR", "Ada"), ("COMMITTER", "Ada")] {
            command.env(format!("GIT_{who}_NAME"), name).env(format!("GIT_{who}_EMAIL"), "ada@example.org");
        }
        command
    }
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

//! The real sshd on a port of its own, with a throw-away configuration that says what the packaged one says, or one that keeps files, and
//! somebody who has a key.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::{World, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_havred");
pub(super) const SSHD: &str = "/usr/sbin/sshd";

/// A server of SSH for one installation; ended when dropped.
pub(crate) struct Sshd {
    child: Child,
    port: u16,
    user: String,
    folder: TempDir,
}

impl Sshd {
    /// Starts it; every key is asked for at the installation.
    pub(crate) async fn start(world: &World) -> Self {
        let config = world.config.clone();
        Self::serve(|_, user| asking_havre(user, &config)).await
    }

    /// Starts it for somebody who keeps files there by SFTP, and who knows nothing of an installation.
    pub(crate) async fn start_with_files() -> Self {
        let sshd = Self::serve(|folder, _| keeping_files(folder)).await;
        std::fs::create_dir(sshd.files()).expect("a folder");
        sshd
    }

    async fn serve(configuration: impl FnOnce(&Path, &str) -> String) -> Self {
        assert!(Path::new(SSHD).exists(), "{SSHD} is missing: apt-get install openssh-server");
        let folder = tempfile::Builder::new().prefix("havre-sshd-").tempdir().expect("a folder");
        for name in ["host", "ada"] {
            make_key(&folder.path().join(name));
        }
        let user = text(&run(Command::new("id").arg("-un")).stdout).trim().to_owned();
        if user == "root" {
            // Where it locks its helpers up; made by its unit elsewhere.
            std::fs::create_dir_all("/run/sshd").expect("a folder");
        }
        let port = free_port();
        let config = folder.path().join("sshd_config");
        let common = common(folder.path(), port);
        std::fs::write(&config, common + &configuration(folder.path(), &user)).expect("a file");
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let mut command = Command::new(SSHD);
        command.args(["-D", "-e", "-f"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("sshd starts");
        let sshd = Self { child, port, user, folder };
        until("sshd listens", async || TcpStream::connect(("127.0.0.1", port)).ok()).await;
        sshd
    }

    /// Where somebody keeps files.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// A folder of it, as the location of a target of backups.
    pub(crate) fn location(&self, folder: &str) -> serde_json::Value {
        serde_json::json!({
            "kind": "sftp", "host": "127.0.0.1", "port": self.port, "user": self.user,
            "path": self.files().join(folder), "host_key": self.fingerprint("host"),
        })
    }

    /// Fingerprint of a key: `host`, which it shows, or `ada`.
    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let path = self.folder.path().join(format!("{name}.pub"));
        let line = text(&run(Command::new("ssh-keygen").arg("-lf").arg(path)).stdout);
        line.split(' ').nth(1).expect("a fingerprint").to_owned()
    }

    /// The private key somebody has.
    pub(crate) fn private_key(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("ada")).expect("a key")
    }

    /// What a person types to get at its SFTP.
    pub(crate) fn sftp_command(&self) -> String {
        format!("{} -p {} {}@127.0.0.1 -s sftp", self.client(), self.port, self.user)
    }

    /// The public half of the key somebody has.
    pub(crate) fn public_key(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("ada.pub")).expect("a key")
    }

    /// Address of the repository of a project.
    pub(crate) fn address(&self, project: &str) -> String {
        format!("ssh://{}@127.0.0.1:{}/{project}.git", self.user, self.port)
    }

    /// The client, as git starts it.
    pub(crate) fn client(&self) -> String {
        self.arguments().iter().fold("ssh".to_owned(), |line, word| format!("{line} {word}"))
    }

    /// Runs the client with these arguments: whether it went well, and everything it said.
    pub(crate) fn ssh(&self, before: &[&str], command: &[&str]) -> (bool, String) {
        let mut ssh = Command::new("ssh");
        ssh.args(self.arguments()).args(["-p", &self.port.to_string()]).args(before);
        ssh.arg(format!("{}@127.0.0.1", self.user)).args(command).stdin(Stdio::null());
        let output = ssh.output().expect("ssh runs");
        (output.status.success(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }

    fn arguments(&self) -> Vec<String> {
        let key = self.folder.path().join("ada").display().to_string();
        let words = [
            "-F",
            "/dev/null",
            "-i",
            &key,
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
        ];
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- log of sshd:\n{log}");
        }
    }
}

/// What `git-ssh` says when it is started as sshd would for this key, whatever sshd has been told of it.
pub(crate) fn git_ssh(config: &Path, key: &str, asked: &str) -> (bool, String) {
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(config).args(["git-ssh", key]).env("SSH_ORIGINAL_COMMAND", asked);
    let output = command.stdin(Stdio::null()).output().expect("havred starts");
    (output.status.success(), text(&output.stderr))
}

/// What both have in common.
fn common(folder: &Path, port: u16) -> String {
    format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\nStrictModes no\n\
         AuthenticationMethods publickey\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         DisableForwarding yes\nPermitTTY no\nPermitUserRC no\n",
        folder.join("host").display(),
    )
}

/// sshd wants programs that only root can write, and the one under test is not; `env` is.
fn asking_havre(user: &str, config: &Path) -> String {
    format!(
        "PermitRootLogin forced-commands-only\nAuthorizedKeysFile none\n\
         AuthorizedKeysCommand /usr/bin/env {PROGRAM} --config {} git-keys %f\nAuthorizedKeysCommandUser {user}\n",
        config.display(),
    )
}

fn keeping_files(folder: &Path) -> String {
    format!(
        "PermitRootLogin prohibit-password\nAuthorizedKeysFile {}\nSubsystem sftp internal-sftp\n\
         ForceCommand internal-sftp\n",
        folder.join("ada.pub").display(),
    )
}

pub(super) fn make_key(path: &Path) {
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "ada@laptop", "-f"])
        .arg(path));
}

pub(super) fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    output
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Free a moment ago.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

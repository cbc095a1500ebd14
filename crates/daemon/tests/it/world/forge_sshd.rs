//! A forge that is reached over SSH: the real sshd on a port of its own, and one bare repository, given out by git to whoever has a key it knows.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::repository::Repository;
use super::sshd::{SSHD, free_port, make_key, run, text};
use super::until;

/// The forge; ended when dropped.
pub(crate) struct ForgeSshd {
    child: Child,
    port: u16,
    user: String,
    folder: TempDir,
}

impl ForgeSshd {
    /// Starts it; nobody's key is known, and there is nothing in the repository.
    pub(crate) async fn start() -> Self {
        assert!(Path::new(SSHD).exists(), "{SSHD} is missing: apt-get install openssh-server");
        let folder = tempfile::Builder::new().prefix("havre-forge-").tempdir().expect("a folder");
        for name in ["host", "other-host"] {
            make_key(&folder.path().join(name));
        }
        let repository = folder.path().join("acme/upstream.git");
        run(Command::new("git").args(["init", "--quiet", "--bare", "--"]).arg(&repository));
        let user = text(&run(Command::new("id").arg("-un")).stdout).trim().to_owned();
        if user == "root" {
            // Where it locks its helpers up; made by its unit elsewhere.
            std::fs::create_dir_all("/run/sshd").expect("a folder");
        }
        let port = free_port();
        let child = spawn(folder.path(), port, "host");
        let forge = Self { child, port, user, folder };
        forge.listens().await;
        forge.know(&[]);
        forge
    }

    async fn listens(&self) {
        until("sshd listens", async || TcpStream::connect(("127.0.0.1", self.port)).ok()).await;
    }

    /// From now on these public keys are known, and no others.
    pub(crate) fn know(&self, keys: &[&str]) {
        std::fs::write(self.folder.path().join("authorized_keys"), keys.join("\n") + "\n").expect("a file");
    }

    /// The same host with another key, as after it was set up anew, or where somebody is in between.
    pub(crate) async fn change_host_key(&mut self) {
        self.stop();
        self.child = spawn(self.folder.path(), self.port, "other-host");
        self.listens().await;
    }

    /// The public key of the host: as it is first, or as it is after a change.
    pub(crate) fn host_key(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name).with_extension("pub")).expect("a key")
    }

    /// Address of the repository.
    pub(crate) fn url(&self) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, self.repository().display())
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("acme/upstream.git")
    }

    /// A work tree of somebody who pushes there, by its path.
    pub(crate) fn work_tree(&self) -> Repository {
        Repository::new(&self.repository().display().to_string())
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for ForgeSshd {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- log of the forge's sshd:\n{log}");
        }
    }
}

fn spawn(folder: &Path, port: u16, host_key: &str) -> Child {
    let config = folder.join("sshd_config");
    let lines = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\nStrictModes no\n\
         PermitRootLogin prohibit-password\nAuthenticationMethods publickey\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nAuthorizedKeysFile {}\nDisableForwarding yes\nPermitTTY no\nPermitUserRC no\n",
        folder.join(host_key).display(),
        folder.join("authorized_keys").display(),
    );
    std::fs::write(&config, lines).expect("a file");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).expect("a file");
    let mut command = Command::new(SSHD);
    command.args(["-D", "-e", "-f"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("sshd starts")
}

//! The real sshd with its own SFTP, on a port of the loopback, for the user who runs the tests and with keys of its own. Ended with the test;
//! `script/test` puts it on the machine.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use havre_backup::bucket::Limits;
use havre_backup::restic::SftpRepository;
use havre_backup::sftp::{Sftp, SftpLocation};
use havre_core::secret::Secret;
use tokio::runtime::Handle;

use crate::world::PASSWORD;

const SSHD: &str = "/usr/sbin/sshd";

/// A server that ends when the test does. Sessions that are open when it is ended end with their clients.
pub(crate) struct SftpServer {
    child: Child,
    port: u16,
    user: String,
    folder: tempfile::TempDir,
}

impl Drop for SftpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- log of sshd:\n{log}");
        }
    }
}

impl SftpServer {
    /// One that reads and writes.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("havre-sftp-").tempdir().expect("is made");
        for (kind, name) in [
            ("ed25519", "host_ed25519"),
            ("ecdsa", "host_ecdsa"),
            ("ed25519", "user"),
            ("ed25519", "stranger"),
        ] {
            make_key(kind, &folder.path().join(name));
        }
        std::fs::create_dir(folder.path().join("srv")).expect("is made");
        Self::serve(folder, "internal-sftp").await
    }

    /// The same machine, whose SFTP is started so from now on.
    pub(crate) async fn restarted(mut self, sftp: &str) -> Self {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("is made"));
        Self::serve(folder, sftp).await
    }

    async fn serve(folder: tempfile::TempDir, sftp: &str) -> Self {
        assert!(Path::new(SSHD).exists(), "{SSHD} is missing: apt-get install openssh-server");
        let user = said(&run(Command::new("id").arg("-un"))).trim().to_owned();
        if user == "root" {
            // Where it locks its helpers up; made by its unit elsewhere.
            std::fs::create_dir_all("/run/sshd").expect("is made");
        }
        let port = free_port();
        let config = folder.path().join("sshd_config");
        std::fs::write(&config, configuration(folder.path(), port, sftp)).expect("is written");
        let log = std::fs::File::create(folder.path().join("log")).expect("is made");
        let mut command = Command::new(SSHD);
        command.args(["-D", "-e", "-f"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("sshd starts");
        let server = Self { child, port, user, folder };
        for _ in 0..300 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("sshd does not listen after half a minute");
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// What a person types to get at its SFTP, who trusts the key it shows and no other.
    pub(crate) fn ssh_command(&self) -> String {
        let folder = self.folder.path();
        let (at, port, user) = (folder.display(), self.port, &self.user);
        let key = std::fs::read_to_string(folder.join("host_ed25519.pub")).expect("is read");
        std::fs::write(folder.join("known_hosts"), format!("[127.0.0.1]:{port} {key}")).expect("is written");
        format!(
            "ssh -F /dev/null -i {at}/user -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \
             -o UserKnownHostsFile={at}/known_hosts -o HostKeyAlgorithms=ssh-ed25519 -p {port} {user}@127.0.0.1 -s sftp"
        )
    }

    /// Where it keeps what tests store.
    pub(crate) fn srv(&self) -> PathBuf {
        self.folder.path().join("srv")
    }

    /// A private key: `user`, which it takes, or `stranger`, which it does not.
    pub(crate) fn key(&self, name: &str) -> Secret {
        Secret::from(std::fs::read_to_string(self.folder.path().join(name)).expect("is read"))
    }

    /// Fingerprint of a key: those above, and `host_ed25519` and `host_ecdsa`, which it shows.
    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let path = self.folder.path().join(format!("{name}.pub"));
        let line = said(&run(Command::new("ssh-keygen").arg("-lf").arg(path)));
        line.split(' ').nth(1).expect("has one").to_owned()
    }

    /// A folder of it, at this port, which may be that of somebody in between.
    pub(crate) fn location(&self, port: u16, folder: &str) -> SftpLocation {
        SftpLocation {
            host: "127.0.0.1".parse().expect("is one"),
            port,
            user: self.user.parse().expect("is one"),
            path: self.srv().join(folder).display().to_string().parse().expect("is one"),
            host_key: self.fingerprint("host_ed25519").parse().expect("is one"),
        }
    }

    /// That folder, for who has the right key.
    pub(crate) fn sftp(&self, port: u16, folder: &str, limits: Limits) -> Sftp {
        let sftp = Sftp::new(&self.location(port, folder), &self.key("user")).expect("is a key");
        sftp.with_limits(limits)
    }
}

/// A repository there.
pub(crate) fn repository(sftp: Sftp) -> SftpRepository {
    SftpRepository::over_sftp(sftp, Secret::from(PASSWORD), Handle::current())
}

/// Free a moment ago, and listened to by nobody of this process any more.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("has a port");
    listener.local_addr().expect("has an address").port()
}

fn configuration(folder: &Path, port: u16, sftp: &str) -> String {
    let at = folder.display();
    format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host_ed25519\nHostKey {at}/host_ecdsa\nPidFile none\n\
         UsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nAuthenticationMethods publickey\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nAuthorizedKeysFile {at}/user.pub\n\
         MaxStartups 200\nDisableForwarding yes\nPermitTTY no\nPermitUserRC no\nSubsystem sftp {sftp}\n"
    )
}

fn make_key(kind: &str, path: &Path) {
    run(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-C", "tests", "-f"]).arg(path));
}

fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

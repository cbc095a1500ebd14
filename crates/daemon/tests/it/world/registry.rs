//! Registries on this machine: the real one of Debian with one user, and one that pretends, answers everything with one status and
//! keeps what it is told.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::docker::docker;

/// An image that is on every machine these tests run on, made by `script/lib/base-images.sh`; a static busybox.
const TINY: &str = "havre-test/tiny:1";
/// The one user.
pub(crate) const USER: &str = "ada";
/// Its password: characters that base64 for URLs writes in another way.
pub(crate) const PASSWORD: &str = "p~?>ss";
/// User and password as `htpasswd` keeps them, and as a client of Docker does.
const HTPASSWD: &str = "ada:$2y$05$abcdefghijklmnopqrstuuJnO3w7g5QmBT0vE/OuTqGIjOT6fMkMm\n";
const AUTH: &str = "YWRhOnB+Pz5zcw==";

/// A registry; ends with its images when dropped.
pub(crate) struct Registry {
    port: u16,
    child: Child,
    names: Vec<String>,
    folder: TempDir,
}

impl Registry {
    /// Starts one that lets [`USER`] in and nobody else.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let port = free_port();
        let config = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:{port}\nauth:\n  htpasswd:\n    realm: test\n    path: {}\n",
            at("data"),
            at("htpasswd"),
        );
        let write = |name: &str, text: &str| std::fs::write(at(name), text).expect("a file");
        write("config.yml", &config);
        write("htpasswd", HTPASSWD);
        write("config.json", &format!("{{\"auths\":{{\"127.0.0.1:{port}\":{{\"auth\":\"{AUTH}\"}}}}}}"));
        let child = Command::new(program())
            .args(["serve", &at("config.yml")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry starts; script/e2e puts it on this machine");
        wait_for(port);
        Self { port, child, names: Vec::new(), folder }
    }

    /// Host and port, as image references name them.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Puts the tiny image there under a name, and takes that name away from here again; the whole reference.
    pub(crate) fn put(&mut self, name: &str) -> String {
        let reference = format!("{}/{name}", self.host());
        docker(&["tag", TINY, &reference]).expect("the tiny image is there");
        let config = self.folder.path().display().to_string();
        docker(&["--config", &config, "push", "--quiet", &reference]).expect("it is pushed");
        docker(&["rmi", &reference]).expect("it has that name");
        self.names.push(reference.clone());
        reference
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for name in &self.names {
            // Not there when the test failed before it was pulled.
            let _ = docker(&["rmi", name]);
        }
    }
}

/// A registry that answers everything but its ping with one status, for as long as the test lasts.
pub(crate) struct Pretender {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    names: Vec<String>,
}

impl Pretender {
    /// `challenge`: it wants a user and a password for its ping too, and is content with none.
    pub(crate) fn start(status: &'static str, challenge: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let head = read_head(&mut stream);
                let is_ping = head.split_whitespace().nth(1) == Some("/v2/");
                let status = if is_ping && !challenge { "200 OK" } else { status };
                let wants = if challenge { "WWW-Authenticate: Basic realm=\"test\"\r\n" } else { "" };
                if head.contains(" HTTP/1.") {
                    kept.lock().expect("not poisoned").push(head);
                }
                let answer =
                    format!("HTTP/1.1 {status}\r\n{wants}Content-Length: 0\r\nConnection: close\r\n\r\n");
                // The other side may hang up when it has read enough.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { port, heads, names: Vec::new() }
    }

    /// A reference to an image of it.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Gives the tiny image a name of this registry, as if it had been pulled before.
    pub(crate) fn hold(&mut self, name: &str) -> String {
        let reference = self.reference(name);
        docker(&["tag", TINY, &reference]).expect("the tiny image is there");
        self.names.push(reference.clone());
        reference
    }

    /// Every head of a request so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("not poisoned").clone()
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = docker(&["rmi", name]);
        }
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            // Docker tries TLS first; hanging up makes it go on without.
            Ok(_) if piece[0] == 0x16 => break,
            Ok(count) => head.extend_from_slice(&piece[..count]),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Where `script/lib/servers.sh` unpacks it, or the one that is installed.
fn program() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || from("XDG_CACHE_HOME").unwrap_or_else(|| from("HOME").unwrap_or_default().join(".cache"));
    let folder = from("HAVRE_SERVERS_DIR").unwrap_or_else(|| cache().join("havre/servers"));
    let unpacked = folder.join("registry/usr/bin/docker-registry");
    if unpacked.exists() { unpacked } else { Path::new("docker-registry").to_owned() }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

fn wait_for(port: u16) {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < super::LIMIT, "the registry does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

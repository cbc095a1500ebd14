//! A real storage that speaks S3: SeaweedFS, which checks signatures, sums and parts by itself. Started here on ports of its own, ended with
//! the test; `script/lib/servers.sh` puts it on the machine.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use havre_backup::bucket::{BucketKeys, Limits};
use havre_backup::{Repository as _, RepositoryError};
use havre_core::secret::Secret;
use rusty_s3::S3Action as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bucket_world::{BUCKET, BucketWorld, KEY, KEY_ID, keys, with_keys};
use crate::world::{World, noise, put};

/// A server that ends when the test does.
pub(crate) struct S3Server {
    port: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || from("XDG_CACHE_HOME").unwrap_or_else(|| from("HOME").unwrap_or_default().join(".cache"));
    let folder = from("HAVRE_SERVERS_DIR").unwrap_or_else(|| cache().join("havre/servers"));
    folder.join("seaweedfs/weed")
}

/// Ports that nobody has, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("has a port"));
    std::array::from_fn(|at| listeners[at].local_addr().expect("has an address").port())
}

impl S3Server {
    /// With one bucket, for whoever has the keys of the tests.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("is made");
        let who = format!(
            r#"{{"identities":[{{"name":"havre","credentials":[{{"accessKey":"{KEY_ID}","secretKey":"{KEY}"}}],
            "actions":["Admin","Read","Write","List"]}}]}}"#
        );
        std::fs::write(folder.path().join("s3.json"), who).expect("is written");
        let [s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc] = free_ports();
        let ports = [
            ("s3.port", s3),
            ("s3.port.grpc", s3_grpc),
            ("master.port", master),
            ("master.port.grpc", master_grpc),
            ("volume.port", volume),
            ("volume.port.grpc", volume_grpc),
            ("filer.port", filer),
            ("filer.port.grpc", filer_grpc),
            ("s3.port.iceberg", 0),
            ("s3.port.lance", 0),
        ];
        let child = Command::new(program())
            .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.iam=false"])
            .args(["-master.volumeSizeLimitMB=64", "-volume.max=20", "-master.telemetry=false"])
            .arg(format!("-dir={}", folder.path().display()))
            .arg(format!("-s3.config={}", folder.path().join("s3.json").display()))
            .args(ports.map(|(name, port)| format!("-{name}={port}")))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "could not start SeaweedFS: {error}; run script/test once, which puts it on this machine"
                )
            });
        let server = Self { port: s3, child, _folder: folder };
        server.make_bucket().await;
        server
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A world whose objects begin with this.
    pub(crate) fn world(&self, prefix: &str) -> BucketWorld {
        BucketWorld::at(&self.endpoint(), prefix, Limits::default())
    }

    /// Waits until it can.
    async fn make_bucket(&self) {
        let endpoint = self.endpoint().parse().expect("is an address");
        let bucket = rusty_s3::Bucket::new(endpoint, rusty_s3::UrlStyle::Path, BUCKET, "us-east-1");
        let bucket = bucket.expect("is a bucket");
        let credentials = rusty_s3::Credentials::new(KEY_ID, KEY);
        for _ in 0..300 {
            let url = bucket.create_bucket(&credentials).sign(Duration::from_secs(60));
            let target = format!("{}?{}", url.path(), url.query().unwrap_or_default());
            if self.status(&target).await == Some(200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("SeaweedFS made no bucket within a minute");
    }

    /// What it says to a PUT of nothing.
    async fn status(&self, target: &str) -> Option<u16> {
        let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.ok()?;
        let head = format!(
            "PUT {target} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            self.port
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let text = String::from_utf8_lossy(&answer);
        text.split(' ').nth(1)?.parse().ok()
    }
}

#[tokio::test]
async fn it_refuses_what_is_not_right_and_we_say_what() {
    let server = S3Server::start().await;
    let world = server.world("servers/one");
    let repository = world.repository();
    repository.init().await.expect("is made");
    put(&repository, 1, &noise(3_000_000, 1)).await;

    let other = BucketKeys { secret_access_key: Secret::from("another"), ..keys() };
    let error = with_keys(&server.endpoint(), BUCKET, &other).open().await.expect_err("is refused");
    assert!(matches!(error, RepositoryError::CredentialsRefused { .. }), "{error:?}");
    assert!(error.to_string().contains("not that of this id"), "{error}");
    let nobody = BucketKeys { access_key_id: "NOBODY".to_owned(), ..keys() };
    let error = with_keys(&server.endpoint(), BUCKET, &nobody).open().await.expect_err("is refused");
    assert!(error.to_string().contains("does not know the id"), "{error}");
    let error = with_keys(&server.endpoint(), "nowhere", &keys()).init().await.expect_err("has no bucket");
    assert!(matches!(error, RepositoryError::BucketMissing { .. }), "{error:?}");
}

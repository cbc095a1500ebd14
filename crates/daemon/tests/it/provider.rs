//! A secret provider on the real Docker: a program gets a value that a Vault has, starts again while the Vault is away, gets a new value with the
//! next deploy, and the value lies nowhere on our disk.

use std::sync::{Arc, Mutex};

use havre_api::event::Event;
use havre_api::secret_provider::{SecretProvider, TestedSecretProvider};
use havre_core::name::EnvKey;
use havre_core::service::spec::ServiceSpec;
use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::secret::files_with;
use crate::world::docker::docker;
use crate::world::load::ask_once;
use crate::world::spec::{HOST, argv, faults, with};
use crate::world::{World, until};

const PROVIDER: &str = "/v1/projects/e2e/secret-providers/vault-main";

/// Speaks as Vault does: one value, or none, and how often it was read.
#[derive(Clone, Default)]
struct Vault(Arc<Mutex<(Option<&'static str>, u32)>>);

impl Vault {
    /// Where it listens.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let vault = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let vault = vault.clone();
                tokio::spawn(async move { vault.answer(stream).await });
            }
        });
        format!("http://{address}")
    }

    async fn answer(&self, mut stream: TcpStream) {
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !text.contains("\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(length) if length > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..length])),
                _ => return,
            }
        }
        let (status, body) = self.say(&text.to_ascii_lowercase());
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        let _ = stream.shutdown().await;
    }

    fn say(&self, request: &str) -> (u16, String) {
        if !request.contains("x-vault-token: hvs.planted-token\r\n") {
            return (403, json!({ "errors": ["permission denied"] }).to_string());
        }
        if request.starts_with("get /v1/auth/token/lookup-self ") {
            return (200, json!({ "data": { "policies": ["app"] } }).to_string());
        }
        let mut state = self.0.lock().expect("no holder panics");
        match (request.starts_with("get /v1/secret/data/app "), state.0) {
            (true, Some(value)) => {
                state.1 += 1;
                let data = json!({ "data": { "version": value }, "metadata": { "version": state.1 } });
                (200, json!({ "data": data }).to_string())
            }
            _ => (404, json!({ "errors": [] }).to_string()),
        }
    }

    fn has(&self, value: Option<&'static str>) {
        self.0.lock().expect("no holder panics").0 = value;
    }

    fn reads(&self) -> u32 {
        self.0.lock().expect("no holder panics").1
    }
}

/// What the program calls its version comes from the Vault, so that its answers say whether it has it.
fn provided() -> ServiceSpec {
    with(faults("well-behaved", ""), |work| {
        let name: EnvKey = "APP_VERSION".parse().expect("a name");
        work.env.insert(name, "${secrets.vault-main:secret/data/app#version}".to_owned());
        work.release_command = Some(argv(&["node", "-e", "console.log('have ' + process.env.APP_VERSION)"]));
    })
}

async fn seen(world: &World) -> Option<String> {
    Some(ask_once(world.address, HOST).await.ok()?.version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_of_a_vault_reaches_the_program_and_outlives_the_vault() {
    let world = World::start_sealed().await;
    let failed = world.deploy(&provided()).await;
    assert!(failed.failure.contains("has no secret provider `vault-main`"), "{}", failed.failure);

    let vault = Vault::default();
    let request = json!({ "settings": { "kind": "vault", "url": vault.start().await }, "credential": "hvs.planted-token" });
    let set: SecretProvider = world.api.send(Method::PUT, PROVIDER, &request).await;
    assert_eq!(set.settings.kind(), "vault");
    let tested: TestedSecretProvider =
        world.api.send(Method::POST, &format!("{PROVIDER}/test"), &json!({})).await;
    assert_eq!((tested.is_good, tested.text.as_str()), (true, "logged in, with the policies app"));
    let failed = world.deploy(&provided()).await;
    assert!(failed.failure.contains("the secret provider vault-main"), "{}", failed.failure);
    assert!(failed.failure.contains("is the path right?"), "{}", failed.failure);
    assert_eq!(world.containers(), Vec::<String>::new(), "nothing was started");

    vault.has(Some("planted-of-vault-1"));
    world.deploy_well(&provided()).await;
    assert_eq!(seen(&world).await.as_deref(), Some("planted-of-vault-1"));
    assert_eq!(vault.reads(), 1, "once for the command and the tasks together");

    // The value is gone, and a task ends: its successor starts with what the release has.
    vault.has(None);
    let before = world.containers();
    docker(&["kill", &before[0]]).expect("it is there");
    let another = async || {
        let now = world.containers();
        let is_another = !now.is_empty() && now.iter().all(|name| !before.contains(name));
        if is_another { seen(&world).await } else { None }
    };
    assert_eq!(until("another task answers", another).await, "planted-of-vault-1");
    assert_eq!(vault.reads(), 1);

    vault.has(Some("planted-of-vault-2"));
    world.deploy_well(&provided()).await;
    assert_eq!(seen(&world).await.as_deref(), Some("planted-of-vault-2"));

    let events: Vec<Event> = world.api.lines("/v1/events?after=0").await;
    let told: String = events.iter().map(|event| format!("{event:?} {}\n", event.text)).collect();
    assert!(told.contains("got vault-main:secret/data/app#version (version 1)"), "{told}");
    assert!(told.contains("have [secret APP_VERSION]"), "{told}");
    assert!(!told.contains("planted"), "{told}");
    let folder = world.config.parent().expect("a folder");
    assert_eq!(files_with(folder, b"planted-"), Vec::<String>::new());
}

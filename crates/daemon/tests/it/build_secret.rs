//! A secret of builds in a whole installation: the step sees it, and it is nowhere else. Nothing is searched for in vain: where the
//! planted value may be is searched for it in the same way, and found.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use havre_api::build::{BuildAccepted, BuildSecret, BuildSecretList, SetBuildSecretRequest};
use havre_api::environment::{ApplyRequest, ApplyResponse};
use havre_core::artifact::Artifact;
use havre_core::build::State;
use havre_core::service::spec::{DockerfileSource, ImageSource, Work};
use hyper::Method;

use crate::world::spec::faults;
use crate::world::{ENVIRONMENT, SERVICE, World, docker};

const SECRETS: &str = "/v1/projects/e2e/build-secrets";

/// The value, a different one in each run, so that no cache of an earlier run knows it.
fn planted() -> String {
    format!("planted-secret-{}-{}", std::process::id(), micros())
}

fn micros() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_micros()
}

/// A context of one file, as a plain tar (POSIX ustar).
fn context(name: &str, text: &str) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", text.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend_from_slice(text.as_bytes());
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

/// What `GET` answers, as text.
async fn text(world: &World, path: &str) -> String {
    let (status, body) = world.api.call(Method::GET, path, Vec::new()).await.expect("control answers");
    assert!(status.is_success(), "GET {path}: {status}");
    String::from_utf8_lossy(&body).into_owned()
}

/// Says where below a folder the value stands, in plain text.
fn find_in_files(folder: &Path, value: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(find_in_files(&path, value)),
            Ok(kind) if kind.is_file() => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                if bytes.windows(value.len()).any(|window| window == value.as_bytes()) {
                    found.push(path.display().to_string());
                }
            }
            _ => {}
        }
    }
    found
}

/// Looks at the arguments of every process of the machine until told to stop; which of them held the value.
fn watch_arguments(value: String, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut found = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                for name in ["cmdline", "environ"] {
                    let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
                    if bytes.windows(value.len()).any(|window| window == value.as_bytes()) {
                        found.push(entry.path().join(name).display().to_string());
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        found
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_secret_is_seen_by_its_step_and_nowhere_else() {
    let world = World::start_sealed().await;
    let value = planted();
    let request = SetBuildSecretRequest { value: value.clone() };
    let _: BuildSecret = world.api.send(Method::PUT, &format!("{SECRETS}/NPM_TOKEN"), &request).await;

    let mut service = faults("well-behaved", "1");
    let Work::Tasks(work) = &mut service.work else { panic!("it has tasks") };
    work.source = ImageSource::Dockerfile(DockerfileSource {
        context: ".".parse().expect("a path"),
        dockerfile: "Dockerfile".parse().expect("a path"),
        target: None,
        args: Default::default(),
        written_for: None,
        secrets: ["NPM_TOKEN".parse().expect("a name")].into(),
    });
    let request =
        ApplyRequest { services: vec![service], databases: Vec::new(), dry_run: false, prune: false };
    let _: ApplyResponse = world.api.send(Method::PUT, ENVIRONMENT, &request).await;

    // The step proves that it has the secret by the length of it, says it in several ways, and takes its time.
    let dockerfile = format!(
        "FROM {}\nRUN --mount=type=secret,id=NPM_TOKEN,required,mode=0444 : {value_length} {id} && cd /run/secrets && \\\n\
         test $(wc -c < NPM_TOKEN) = {value_length} && cat NPM_TOKEN && base64 NPM_TOKEN && \\\n\
         echo \"token=$(cat NPM_TOKEN)&\" && sleep 1 && echo the step had it\n",
        docker::IMAGE,
        value_length = value.len(),
        id = micros(),
    );
    let stop = Arc::new(AtomicBool::new(false));
    let arguments = watch_arguments(value.clone(), Arc::clone(&stop));
    let uploaded = context("Dockerfile", &dockerfile);
    let answer = world.api.call(Method::POST, &format!("{SERVICE}/builds"), uploaded).await;
    let (status, body) = answer.expect("control answers");
    assert!(status.is_success(), "{status} {}", String::from_utf8_lossy(&body));
    let accepted: BuildAccepted = serde_json::from_slice(&body).expect("the documented form");
    let state = world.built(accepted.build.id).await;
    stop.store(true, Ordering::SeqCst);
    let in_arguments = arguments.join().expect("the watch ends");
    let State::Succeeded { artifact: Artifact::Image { id, .. }, .. } = &state else { panic!("{state:?}") };

    let log = text(&world, &format!("/v1/builds/{}/log", accepted.build.id)).await;
    assert!(log.contains("the step had it"), "{log}");
    assert!(log.contains("[secret NPM_TOKEN]") && log.contains("token=[secret NPM_TOKEN]&"), "{log}");
    let list: BuildSecretList = world.api.get(SECRETS).await;
    assert_eq!(list.secrets.len(), 1);
    let mut answers = vec![log];
    let build = format!("/v1/builds/{}", accepted.build.id);
    for path in [SECRETS, build.as_str(), SERVICE, ENVIRONMENT, "/v1/events?limit=1000", "/v1/status"] {
        answers.push(text(&world, path).await);
    }
    for answer in &answers {
        assert!(!answer.contains(&value), "an answer of the API holds it: {answer}");
    }
    assert_eq!(in_arguments, Vec::<String>::new(), "in arguments or the environment of a process");
    assert_eq!(
        find_in_files(world.folder.path(), &value),
        Vec::<String>::new(),
        "in files of this installation"
    );
    let image = docker::saved(&id.to_string());
    assert!(
        !image.windows(value.len()).any(|window| window == value.as_bytes()),
        "in a layer or the history"
    );
}

#[test]
fn the_search_finds_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let value = planted();
    std::fs::create_dir(folder.path().join("below")).expect("is made");
    std::fs::write(folder.path().join("below/file"), format!("x{value}y")).expect("is written");
    assert_eq!(find_in_files(folder.path(), &value).len(), 1);
    let stop = Arc::new(AtomicBool::new(false));
    let watch = watch_arguments(value.clone(), Arc::clone(&stop));
    let mut child =
        std::process::Command::new("sleep").arg("1").env("PLANTED", &value).spawn().expect("runs");
    child.wait().expect("ends");
    stop.store(true, Ordering::SeqCst);
    assert!(!watch.join().expect("the watch ends").is_empty());
}

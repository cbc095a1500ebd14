//! The real builder on a real Docker Engine: the contract, and what only BuildKit can show.
//! Without Docker every test here fails and says so. Each test has an installation and build ids of its own, and
//! removes what it made.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker, body_full};
use futures_util::StreamExt as _;
use havre_build::builder::{BuildError, BuildRequest, Builder as _};
use havre_build::docker::{DockerBuilder, Options};
use havre_core::artifact::Artifact;
use havre_core::secret::Secret;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::archive::{Entry, built_site, file, folder_site, image, plain_dockerfile, request, tar};
use crate::contract::{self, World, run};

/// A static busybox with `/bin/sh`; `script/test` makes it.
const TINY: &str = "havre-test/tiny:1";
/// What the server gives every build as certificates.
const CA: &str = "-----certificates of the server-----";

struct Bed {
    docker: Docker,
    builder: Arc<DockerBuilder>,
    installation: String,
    dir: TempDir,
    next: AtomicI64,
}

/// Where Docker listens.
fn socket() -> String {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970")
}

impl Bed {
    async fn new() -> Self {
        let docker = Docker::connect_with_unix(&socket(), 60, API_DEFAULT_VERSION)
            .expect("these tests need a Docker Engine (run script/test)");
        docker.ping().await.expect("these tests need a Docker Engine that answers (run script/test)");
        make_tiny_image(&docker).await;
        let dir = tempfile::tempdir().expect("can make a folder");
        // Tests run in processes of their own, at the same time.
        let installation = format!("test-{}-{}", std::process::id(), since_1970().as_micros());
        let options = Options {
            socket: socket().into(),
            sites_dir: dir.path().join("sites"),
            installation: installation.clone(),
            fence: None,
            build_dir: dir.path().to_owned(),
            args: std::collections::BTreeMap::new(),
            ca: Some(Secret::from(CA)),
            cache: None,
        };
        let builder = Arc::new(DockerBuilder::open(options).expect("can be opened"));
        let first = i64::try_from(since_1970().as_micros()).expect("fits") * 100;
        Self { docker, builder, installation, dir, next: AtomicI64::new(first) }
    }

    fn request(&self, work: &Value, entries: &[Entry]) -> BuildRequest {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let context = self.dir.path().join(format!("{id}.tar"));
        fs::write(&context, tar(entries)).expect("can write");
        request(id, work, context)
    }

    fn image(&self, dockerfile: &str) -> BuildRequest {
        self.request(&image(&plain_dockerfile()), &[file("Dockerfile", dockerfile), file("hello.txt", "hi")])
    }

    fn site(&self, output: &str, commands: &str) -> BuildRequest {
        let dockerfile = format!("FROM {TINY}\n{commands}\n");
        self.request(&built_site(output), &[file("Dockerfile", &dockerfile), file("index.html", "<p>hi")])
    }

    async fn fails(&self, request: BuildRequest) -> BuildError {
        let (result, lines) = run(&*self.builder, request).await;
        let Err(error) = result else { panic!("must fail, but made {result:?}: {lines:#?}") };
        error
    }

    /// Names of images and of containers that carry our installation in either label.
    async fn left(&self) -> (Vec<String>, Vec<String>) {
        let label = |key: &str| HashMap::from([("label", vec![format!("{key}={}", self.installation)])]);
        let images = ListImagesOptionsBuilder::default().filters(&label("dev.havre.installation")).build();
        let images = self.docker.list_images(Some(images)).await.expect("can list");
        let mut containers = Vec::new();
        for key in ["dev.havre.installation", "dev.havre.build-output-of"] {
            let options = ListContainersOptionsBuilder::default().all(true).filters(&label(key)).build();
            let list = self.docker.list_containers(Some(options)).await.expect("can list");
            containers.extend(list.into_iter().filter_map(|container| container.id));
        }
        (images.into_iter().flat_map(|image| image.repo_tags).collect(), containers)
    }

    async fn clean(self) {
        for tag in self.left().await.0 {
            let options: Option<RemoveImageOptions> = None;
            self.docker.remove_image(&tag, options, None).await.expect("can remove what we made");
        }
        assert_eq!(self.left().await, (Vec::new(), Vec::new()));
    }

    fn sites(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("sites")).expect("is a folder");
        let names =
            entries.map(|entry| entry.expect("is readable").file_name().to_string_lossy().into_owned());
        // What is made of a site's files lies beside them.
        names.filter(|name| !name.ends_with(".made")).collect()
    }
}

/// Makes the image where no script did, from this machine's own static busybox.
async fn make_tiny_image(docker: &Docker) {
    if docker.inspect_image(TINY).await.is_ok() {
        return;
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let busybox =
        busybox.expect("the image havre-test/tiny:1 is absent (run script/test, or install busybox-static)");
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_path_with_name(busybox, "bin/busybox").expect("can be read");
    for applet in ["sh", "echo", "sleep", "mkdir", "cp", "ln", "cat", "false", "touch", "seq"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        builder.append_link(&mut header, format!("bin/{applet}"), "busybox").expect("is a valid entry");
    }
    let bytes = builder.into_inner().expect("can be ended");
    let options = CreateImageOptionsBuilder::default().from_src("-").repo("havre-test/tiny").tag("1").build();
    let mut answers = docker.create_image(Some(options), Some(body_full(bytes.into())), None).boxed();
    while let Some(answer) = answers.next().await {
        answer.expect("Docker takes the image");
    }
}

async fn world() -> (Bed, World) {
    let bed = Bed::new().await;
    // A shell becomes its last command: the odd number makes that one ours.
    let sleep = format!("sleep {}", 1_000_000 + std::process::id());
    let endless = format!("FROM {TINY}\nRUN echo waiting && {sleep}\n");
    let world = World {
        builder: bed.builder.clone(),
        // The step must end in Docker too, not only on our side.
        is_at_work: Box::new(move || processes().iter().any(|line| line.trim() == sleep)),
        // The text differs from run to run, because a cached step says nothing.
        image: bed.image(&format!("FROM {TINY}\nRUN : {} && echo hello\n", bed.installation)),
        site: bed.site("/site", "COPY index.html /site/index.html"),
        failing: bed.image(&format!("FROM {TINY}\nRUN echo about to fail && exit 7\n")),
        endless: bed.image(&endless),
    };
    (bed, world)
}

#[tokio::test]
async fn makes_what_was_asked_for() {
    let (bed, world) = world().await;
    contract::makes_what_was_asked_for(world).await;
    bed.clean().await;
}

#[tokio::test]
async fn sites_are_removed_unless_published_again() {
    let (bed, world) = world().await;
    contract::sites_are_removed_unless_published_again(world).await;
    bed.clean().await;
}

#[tokio::test]
async fn a_failure_names_its_step_and_last_lines() {
    let (bed, world) = world().await;
    contract::a_failure_names_its_step_and_last_lines(world).await;
    bed.clean().await;
}

#[tokio::test]
async fn lines_come_live_and_a_cancel_ends_it() {
    let (bed, world) = world().await;
    contract::lines_come_live_and_a_cancel_ends_it(world).await;
    assert_eq!(bed.left().await, (Vec::new(), Vec::new()));
    bed.clean().await;
}

/// Command lines of every process of this machine: the daemon runs on it.
fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("is a folder").filter_map(Result::ok);
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}

#[tokio::test]
async fn nobody_has_to_listen() {
    let (bed, world) = world().await;
    contract::nobody_has_to_listen(world).await;
    bed.clean().await;
}

#[tokio::test]
async fn an_image_is_labelled_named_and_pinned() {
    let bed = Bed::new().await;
    let source = serde_json::json!({
        "kind": "dockerfile", "context": "apps/api", "dockerfile": "apps/api/docker/Dockerfile",
        "target": "first", "args": { "WORD": "from an argument" },
    });
    let dockerfile = format!(
        "FROM {TINY} AS first\nARG WORD\nLABEL word=\"$WORD\"\nCOPY hello.txt /\nFROM first\nLABEL word=second\n"
    );
    let entries = [file("docker/Dockerfile", &dockerfile), file("hello.txt", "hi")];
    let request = bed.request(&image(&source), &entries);
    let (result, _) = run(&*bed.builder, request.clone()).await;
    let Ok(Artifact::Image { id, pull: None }) = result else { panic!("{result:?}") };
    let found = bed.docker.inspect_image(&id.to_string()).await.expect("is pinned by its id");
    assert_eq!(found.repo_tags, Some(vec![format!("havre/havre-test-production-web:{}", request.id)]));
    let labels = found.config.expect("has a configuration").labels.expect("has labels");
    let label = |key: &str| labels.get(key).cloned();
    assert_eq!(label("dev.havre.installation"), Some(bed.installation.clone()));
    assert_eq!(label("dev.havre.service-id"), Some("s9".to_owned()));
    assert_eq!(label("dev.havre.build"), Some(request.id.to_string()));
    assert_eq!(label("word"), Some("from an argument".to_owned()));
    bed.clean().await;
}

#[tokio::test]
async fn secrets_reach_the_step_and_nothing_else() {
    let bed = Bed::new().await;
    let dockerfile = format!(
        "FROM {TINY}\nRUN --mount=type=secret,id=NPM_TOKEN : {} && cat /run/secrets/NPM_TOKEN && echo again \\\n\
         && while read x; do echo \"x${{x}}x\"; done < /run/secrets/NPM_TOKEN\n\
         RUN --mount=type=secret,id=OTHER echo none > /none\n",
        bed.installation
    );
    let mut request = bed.image(&dockerfile);
    let value = format!("planted-{}", bed.installation);
    request.secrets = [("NPM_TOKEN".parse().expect("is a name"), format!("{value}\n").into())].into();
    let (result, lines) = run(&*bed.builder, request).await;
    let Ok(Artifact::Image { id, .. }) = result else { panic!("{result:?}") };
    let said: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    // With the end of its line, as it was given.
    assert!(said.contains(&"[secret NPM_TOKEN]again"), "{said:#?}");
    assert!(said.contains(&"x[secret NPM_TOKEN]x"), "the step had it: {said:#?}");
    let asks =
        "the Dockerfile asks for the secret `OTHER`, which `build_secrets` in havre.toml does not name";
    assert!(said.contains(&asks), "{said:#?}");
    assert!(lines.iter().all(|line| !line.text.contains(&value) && !line.step.contains(&value)));
    let inspected = bed.docker.inspect_image(&id.to_string()).await.expect("is there");
    let history = bed.docker.image_history(&id.to_string()).await.expect("has one");
    assert!(!format!("{inspected:?} {history:?}").contains(&value));
    let mut image = bed.docker.export_image(&id.to_string()).boxed();
    let mut bytes = Vec::new();
    while let Some(chunk) = image.next().await {
        bytes.extend_from_slice(&chunk.expect("can be read"));
    }
    assert!(!bytes.windows(value.len()).any(|window| window == value.as_bytes()), "it is in a layer");
    bed.clean().await;
}

#[tokio::test]
async fn every_step_may_mount_the_certificates_of_the_server_and_no_layer_holds_them() {
    let bed = Bed::new().await;
    let request = bed.image(&format!(
        "FROM {TINY}\nRUN --mount=type=secret,id=HAVRE_CA,required : {} && cat /run/secrets/HAVRE_CA\n\
         RUN test ! -s /run/secrets/HAVRE_CA && echo gone\n",
        since_1970().as_micros()
    ));
    let (result, lines) = run(&*bed.builder, request).await;
    result.expect("is built");
    let said: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    // They are no secret: nothing takes their place in the log.
    assert!(said.contains(&CA) && said.contains(&"gone"), "{said:#?}");
    bed.clean().await;
}

#[tokio::test]
async fn a_failing_step_does_not_tell_a_secret() {
    let bed = Bed::new().await;
    let dockerfile = format!(
        "FROM {TINY}\nRUN --mount=type=secret,id=NPM_TOKEN : {} && cat /run/secrets/NPM_TOKEN && exit 7\n",
        bed.installation
    );
    let mut request = bed.image(&dockerfile);
    request.secrets = [("NPM_TOKEN".parse().expect("is a name"), "planted-value".into())].into();
    let error = bed.fails(request).await;
    assert_eq!(error.last_lines(), ["[secret NPM_TOKEN]"]);
    assert!(!format!("{error:?}").contains("planted"), "{error:?}");
    bed.clean().await;
}

#[tokio::test]
async fn no_ssh_agent_is_forwarded() {
    let bed = Bed::new().await;
    let dockerfile = format!("FROM {TINY}\nRUN --mount=type=ssh,required : {}\n", bed.installation);
    let error = bed.fails(bed.image(&dockerfile)).await;
    assert!(error.to_string().contains("Havre forwards no SSH agent to builds"), "{error}");
    bed.clean().await;
}

#[tokio::test]
async fn mistakes_in_a_dockerfile_are_told_clearly() {
    let bed = Bed::new().await;
    let error = bed.fails(bed.image(&format!("FROM {TINY}\nRNU echo\n"))).await;
    assert!(error.is_permanent() && error.to_string().contains("unknown instruction: RNU"), "{error}");

    let error = bed.fails(bed.image("FROM havre-test/absent:9\n")).await;
    let text = error.to_string();
    assert!(
        text.contains("the base image docker.io/havre-test/absent:9 is neither here nor could it be pulled"),
        "{text}"
    );

    let error = bed.fails(bed.image(&format!("FROM {TINY}\nCOPY absent.txt /\n"))).await;
    assert!(error.step().contains("COPY absent.txt") && error.to_string().contains("not found"), "{error}");

    let nothing = bed.request(&image(&plain_dockerfile()), &[file("hello.txt", "hi")]);
    assert_eq!(
        bed.fails(nothing).await.to_string(),
        "the uploaded context is not usable: it does not hold the Dockerfile Dockerfile (expected as Dockerfile)"
    );
    assert_eq!(bed.left().await, (Vec::new(), Vec::new()));
    bed.clean().await;
}

/// A registry on this machine that answers everything but its ping with one status; its port.
async fn pretend_registry(status: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut head, mut piece) = (Vec::new(), [0; 1024]);
            while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                match stream.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    // Who tries TLS first goes on without it when we hang up.
                    Ok(_) if piece[0] == 0x16 => break,
                    Ok(count) => head.extend_from_slice(&piece[..count]),
                }
            }
            let status = if head.starts_with(b"GET /v2/ ") { "200 OK" } else { status };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            // The other side may hang up when it has read enough.
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

#[tokio::test]
async fn registries_that_refuse_a_base_image_are_told_apart() {
    let bed = Bed::new().await;
    let from = async |status: &'static str| {
        let name = format!("127.0.0.1:{}/team/app:1", pretend_registry(status).await);
        let error = bed.fails(bed.image(&format!("FROM {name}\n"))).await;
        (name, error)
    };
    let (name, error) = from("429 Too Many Requests").await;
    assert!(matches!(&error, BuildError::RateLimited { image, .. } if *image == name), "{error:?}");
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let (name, error) = from(status).await;
        assert!(matches!(&error, BuildError::Denied { image, .. } if *image == name), "{error:?}");
    }
    let (_, error) = from("503 Service Unavailable").await;
    assert!(matches!(error, BuildError::DockerfileFailed { .. }), "{error:?}");
    bed.clean().await;
}

#[tokio::test]
async fn the_last_lines_are_those_of_the_failing_step() {
    let bed = Bed::new().await;
    let error = bed.fails(bed.image(&format!("FROM {TINY}\nRUN seq 1 100 && exit 3\n"))).await;
    let BuildError::DockerfileFailed { step, message, last_lines } = error else { panic!("{error:?}") };
    assert!(step.ends_with("RUN seq 1 100 && exit 3"), "{step}");
    assert!(message.ends_with("exit code: 3"), "{message}");
    let expected: Vec<String> = (81..=100).map(|number| number.to_string()).collect();
    assert_eq!(last_lines, expected);
    bed.clean().await;
}

#[tokio::test]
async fn a_site_is_taken_out_and_only_its_files_stay() {
    let bed = Bed::new().await;
    let commands = "COPY index.html /app/dist/\nRUN mkdir /app/dist/assets && echo 1 > /app/dist/assets/a.js\n\
                    VOLUME /data";
    let request = bed.site("/app/dist", commands);
    let (result, _) = run(&*bed.builder, request).await;
    let Ok(Artifact::Site { digest }) = result else { panic!("{result:?}") };
    assert_eq!(bed.sites(), [digest.hex()]);
    let site = bed.dir.path().join("sites").join(digest.hex());
    assert_eq!(fs::read_to_string(site.join("index.html")).expect("is there"), "<p>hi");
    assert_eq!(fs::read_to_string(site.join("assets/a.js")).expect("is there"), "1\n");
    assert_eq!(bed.left().await, (Vec::new(), Vec::new()));

    // The same files from a folder are the same site.
    let entries = [file("index.html", "<p>hi"), file("assets/a.js", "1\n")];
    let (result, _) = run(&*bed.builder, bed.request(&folder_site(), &entries)).await;
    assert_eq!(result.expect("is a fine site"), Artifact::Site { digest });
    bed.clean().await;
}

#[tokio::test]
async fn a_site_that_cannot_be_served_is_refused() {
    let bed = Bed::new().await;
    let usable = "the finished site is not usable: ";
    for (output, commands, message) in [
        ("/absent", "COPY index.html /site/", "/absent is missing from the finished site".to_owned()),
        (
            "/site",
            "COPY index.html /site/x.html",
            "/site/index.html is missing from the finished site".to_owned(),
        ),
        (
            "/site",
            "COPY index.html /site/\nRUN ln -s /etc/passwd /site/secret",
            format!("{usable}`site/secret` is a link; only plain files can be served"),
        ),
        ("/site", "COPY index.html /site", format!("{usable}`site` is a file, not a folder")),
        (
            "/",
            "COPY index.html /",
            format!("{usable}its output is the whole image; name the folder that holds index.html"),
        ),
    ] {
        let error = bed.fails(bed.site(output, commands)).await;
        assert!(error.is_permanent(), "{error:?}");
        assert_eq!(error.to_string(), message);
        assert_eq!(bed.sites(), Vec::<String>::new());
        assert_eq!(bed.left().await, (Vec::new(), Vec::new()));
    }
    bed.clean().await;
}

#[tokio::test]
async fn a_docker_that_is_not_there_is_worth_a_retry() {
    let bed = Bed::new().await;
    let options = Options {
        socket: bed.dir.path().join("absent.sock"),
        sites_dir: bed.dir.path().join("other"),
        installation: bed.installation.clone(),
        fence: None,
        build_dir: bed.dir.path().to_owned(),
        args: std::collections::BTreeMap::new(),
        ca: None,
        cache: None,
    };
    let builder = DockerBuilder::open(options).expect("needs no Docker");
    let request = bed.image("FROM x");
    let (result, _) = run(&builder, request).await;
    let error = result.expect_err("cannot build");
    assert!(matches!(error, BuildError::Unreachable { .. }) && !error.is_permanent(), "{error:?}");
    bed.clean().await;
}

#[tokio::test]
async fn room_is_seen_on_both_disks() {
    let bed = Bed::new().await;
    let room = bed.builder.room().await;
    assert!(room.memory.is_some());
    let info = bed.docker.info().await.expect("Docker answers");
    let paths: Vec<String> = room.disks.iter().map(|disk| disk.path.clone()).collect();
    assert_eq!(paths, [bed.dir.path().display().to_string(), info.docker_root_dir.expect("has one")]);
    bed.clean().await;
}

#[tokio::test]
async fn containers_of_interrupted_builds_go() {
    let bed = Bed::new().await;
    let body = |installation: &str| bollard::models::ContainerCreateBody {
        image: Some(TINY.to_owned()),
        cmd: Some(vec!["never-started".to_owned()]),
        labels: Some(HashMap::from([("dev.havre.build-output-of".to_owned(), installation.to_owned())])),
        ..Default::default()
    };
    let foreign = format!("{}-foreign", bed.installation);
    let options: Option<bollard::query_parameters::CreateContainerOptions> = None;
    bed.docker.create_container(options.clone(), body(&bed.installation)).await.expect("can be made");
    let other = bed.docker.create_container(options, body(&foreign)).await.expect("can be made");
    bed.builder.remove_leftovers().await.expect("can clean up");
    assert_eq!(bed.left().await, (Vec::new(), Vec::new()));
    let options: Option<bollard::query_parameters::RemoveContainerOptions> = None;
    bed.docker.remove_container(&other.id, options).await.expect("another installation's is still there");
    bed.clean().await;
}

#[tokio::test]
async fn builds_leave_no_connection_open() {
    let bed = Bed::new().await;
    let before = open_sockets();
    for _ in 0..3 {
        run(&*bed.builder, bed.image(&format!("FROM {TINY}\nCOPY hello.txt /\n"))).await.0.expect("is fine");
    }
    let closed = async {
        while open_sockets() > before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), closed).await;
    waited.unwrap_or_else(|_| panic!("{} sockets before, {} after", before, open_sockets()));
    bed.clean().await;
}

fn open_sockets() -> usize {
    let entries = fs::read_dir("/proc/self/fd").expect("is a folder").filter_map(Result::ok);
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

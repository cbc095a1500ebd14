//! What only Docker can show: isolation, limits, registries, and a Docker that is away, too old or comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::query_parameters::InspectContainerOptions;
use futures_util::StreamExt;
use havre_core::artifact::ImageRef;
use havre_core::id::DeploymentId;
use havre_core::quantity::{ByteSize, Cpus, Span};
use havre_core::registry::{Credentials, RegistryHost, parse_password};
use havre_core::service::spec::StopSignal;
use havre_core::task::spec::{Purpose, TaskSpec};
use havre_core::task::{EngineState, Healthcheck};
use havre_engine::Engine;
use havre_engine::error::EngineError;
use havre_engine::event::EngineEvent;
use havre_engine::exec::{ExecSpec, TerminalSize};
use havre_engine::image::PullPolicy;

use crate::contract::in_time;
use crate::docker_world::{DockerWorld, argv, engine_at, socket};
use crate::in_world;
use crate::pretend::{Heads, Wire, pretend_docker, pretend_registry, recording_docker, recording_registry};
use crate::world::{Act, World, edge_network, host, private_network, task};

async fn make_networks(world: &DockerWorld) {
    for network in [private_network(world), edge_network(world)] {
        world.engine.ensure_network(&network).await.expect("a network");
    }
}

/// Runs a command inside a task: exit code and everything it wrote.
async fn run(world: &DockerWorld, task: &TaskSpec, words: &[&str]) -> (i64, String) {
    let exec = ExecSpec { argv: argv(words), env: BTreeMap::new(), terminal: None };
    let session = world.engine.exec(&task.name, &exec).await.expect("it runs");
    drop(session.input);
    let mut text = String::new();
    let mut output = session.output;
    while let Some(piece) = in_time(output.next()).await {
        text.push_str(&String::from_utf8_lossy(&piece.expect("output").bytes));
    }
    (in_time(session.exit_code).await.expect("a code"), text)
}

#[tokio::test]
async fn tasks_reach_each_other_only_over_their_private_network() {
    in_world(async |world: &DockerWorld| {
        make_networks(world).await;
        let serve = "echo hello > /data/index.html; exec httpd -f -p 8080 -h /data";
        let mut server = task(world, "api", Act::Runs).await;
        server.command = Some(argv(&["/bin/sh", "-c", serve]));
        server.edge_address = Some(host(world.subnets().1, 20));
        let mut client = task(world, "web", Act::Runs).await;
        client.edge_address = Some(host(world.subnets().1, 21));
        for spec in [&server, &client] {
            world.engine.ensure_task(spec).await.expect("a task");
        }
        let tasks = world.engine.list_tasks().await.expect("a list");
        let found = tasks.iter().find(|task| task.name == server.name).expect("it is there");
        let private = found.addresses[&private_network(world).name];
        let edge = found.edge_address().expect("it has one");
        // From the machine itself, as the edge does.
        in_time(async {
            while tokio::net::TcpStream::connect((edge, 8080)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        // Not wget: a static one crashes on looking names up.
        let get = |address, seconds: u32| {
            let script =
                format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w {seconds} {address} 8080");
            ["/bin/sh".to_owned(), "-c".to_owned(), script]
        };
        let over_private = run(world, &client, &get(private, 10).each_ref().map(String::as_str)).await;
        assert!(over_private.0 == 0 && over_private.1.ends_with("hello\n"), "{over_private:?}");
        let (code, text) = run(world, &client, &get(edge, 2).each_ref().map(String::as_str)).await;
        assert_ne!(code, 0, "two tasks must not reach each other over the edge network");
        assert!(!text.contains("hello"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn limits_are_those_of_the_specification() {
    in_world(async |world: &DockerWorld| {
        make_networks(world).await;
        let mut spec = task(world, "api", Act::Runs).await;
        spec.memory = ByteSize::mebibytes(48);
        spec.cpus = Cpus::millis(250);
        spec.pids = 33;
        spec.stop_signal = StopSignal::Sigquit;
        spec.stop_grace = Span::millis(2500);
        spec.env = BTreeMap::from([("GREETING".parse().expect("valid"), "a b=c".to_owned())]);
        spec.secrets.add("TOKEN".parse().expect("valid"), "two\nlines".into());
        world.engine.ensure_task(&spec).await.expect("a task");
        let details = world.docker.inspect_container(&spec.name, None::<InspectContainerOptions>).await;
        let details = details.expect("it is there");
        let host = details.host_config.expect("always there");
        let memory = 48 * 1024 * 1024;
        assert_eq!((host.memory, host.memory_swap), (Some(memory), Some(memory)));
        assert_eq!((host.nano_cpus, host.pids_limit), (Some(250_000_000), Some(33)));
        assert_eq!((host.init, host.privileged), (Some(true), Some(false)));
        assert_eq!(host.port_bindings.unwrap_or_default(), std::collections::HashMap::new());
        let logs = host.log_config.expect("always there");
        let options = logs.config.unwrap_or_default();
        let option = |key: &str| options.get(key).map(String::as_str);
        assert_eq!(
            (logs.typ.as_deref(), option("max-size"), option("max-file")),
            (Some("json-file"), Some("10m"), Some("3"))
        );
        let config = details.config.expect("always there");
        assert_eq!((config.stop_signal.as_deref(), config.stop_timeout), (Some("SIGQUIT"), Some(3)));
        let (code, status) = run(world, &spec, &["/bin/cat", "/proc/self/status"]).await;
        assert_eq!(code, 0);
        // CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID and NET_BIND_SERVICE, as capabilities(7) numbers them.
        for line in ["CapEff:\t00000000000004eb", "CapBnd:\t00000000000004eb", "NoNewPrivs:\t1"] {
            assert!(status.contains(line), "{line} not in {status}");
        }
        let (_, seen) = run(world, &spec, &["/bin/sh", "-c", "echo \"$GREETING $TOKEN\""]).await;
        assert_eq!(seen, "a b=c two\nlines\n");
    })
    .await;
}

#[tokio::test]
async fn a_release_command_does_not_answer_to_the_name_of_the_service() {
    in_world(async |world: &DockerWorld| {
        make_networks(world).await;
        let api = task(world, "api", Act::Runs).await;
        let mut command = task(world, "api", Act::Runs).await;
        command.purpose = Purpose::ReleaseCommand { deployment: DeploymentId::new(4) };
        for spec in [&api, &command] {
            world.engine.ensure_task(spec).await.expect("a task");
        }
        let mut aliases = Vec::new();
        for spec in [&api, &command] {
            let details = world.docker.inspect_container(&spec.name, None::<InspectContainerOptions>).await;
            let networks = details.expect("it is there").network_settings.and_then(|s| s.networks);
            let endpoint =
                networks.and_then(|mut n| n.remove(&world.docker_name(&private_network(world).name)));
            let names = endpoint.and_then(|endpoint| endpoint.aliases).unwrap_or_default();
            aliases.push(names.contains(&"api".to_owned()));
        }
        assert_eq!(aliases, [true, false]);
        let tasks = world.engine.list_tasks().await.expect("a list");
        let found = tasks.iter().find(|task| task.name == command.name).expect("it is listed");
        assert_eq!(found.purpose, command.purpose);
    })
    .await;
}

#[tokio::test]
async fn a_program_that_does_not_exist_ends_with_127() {
    in_world(async |world: &DockerWorld| {
        make_networks(world).await;
        let mut spec = task(world, "api", Act::Runs).await;
        spec.command = Some(argv(&["/no/such/program"]));
        world.engine.ensure_task(&spec).await.expect("the init process starts");
        let state = crate::world::ended(world, &spec.name).await;
        assert_eq!(state, EngineState::Exited { code: 127, out_of_memory: false });
    })
    .await;
}

#[tokio::test]
async fn the_health_check_of_an_image_is_seen() {
    in_world(async |world: &DockerWorld| {
        make_networks(world).await;
        let check = "HEALTHCHECK --interval=1s --retries=1 CMD [ \"/bin/ls\", \"/tmp/healthy\" ]";
        let mut spec = task(world, "api", Act::Runs).await;
        spec.image = world.commit_image("checked", &[check.to_owned()]).await;
        let mut events = world.engine.events().await;
        world.engine.ensure_task(&spec).await.expect("a task");
        let state = async || crate::world::find(world, &spec.name).await.expect("it is there").state;
        assert_eq!(state().await, EngineState::Running { healthcheck: Healthcheck::Starting });
        let mut next = async || loop {
            let event = in_time(events.next()).await.expect("the stream never ends");
            if let EngineEvent::HealthChanged { name, health, .. } = event {
                assert_eq!(name, spec.name);
                return health;
            }
        };
        assert_eq!(next().await, Healthcheck::Unhealthy);
        assert_eq!(run(world, &spec, &["/bin/sh", "-c", "echo > /tmp/healthy"]).await.0, 0);
        assert_eq!(next().await, Healthcheck::Healthy);
        assert_eq!(state().await, EngineState::Running { healthcheck: Healthcheck::Healthy });
    })
    .await;
}

#[tokio::test]
async fn a_command_may_have_a_terminal() {
    in_world(async |world: &DockerWorld| {
        make_networks(world).await;
        let spec = task(world, "api", Act::Runs).await;
        world.engine.ensure_task(&spec).await.expect("a task");
        let script = "test -t 0 && test -t 1 && read -r line && echo \"got $line\" && exit 4";
        let exec = ExecSpec {
            argv: argv(&["/bin/sh", "-c", script]),
            env: BTreeMap::new(),
            terminal: Some(TerminalSize { columns: 100, rows: 30 }),
        };
        let session = world.engine.exec(&spec.name, &exec).await.expect("it runs");
        session.input.send("hi\n".into()).await.expect("it reads");
        let mut text = String::new();
        let mut output = session.output;
        while let Some(piece) = in_time(output.next()).await {
            text.push_str(&String::from_utf8_lossy(&piece.expect("output").bytes));
        }
        assert_eq!(text, "hi\r\ngot hi\r\n");
        assert_eq!(in_time(session.exit_code).await, Ok(4));
    })
    .await;
}

#[tokio::test]
async fn registries_that_refuse_are_told_apart() {
    in_world(async |world: &DockerWorld| {
        let error = |code: &str| format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"m\"}}]}}");
        let body = |code: &str| -> &'static str { Box::leak(error(code).into_boxed_str()) };
        let pull = async |status, headers, code: &str| {
            let port = pretend_registry(status, headers, body(code)).await;
            let name: ImageRef = format!("127.0.0.1:{port}/team/app:1").parse().expect("valid");
            let answer = in_time(world.engine.resolve_image(&name, PullPolicy::IfMissing, None, None)).await;
            (format!("image `{name}`"), answer.expect_err("refused"))
        };
        let (what, error) = pull("404 Not Found", "", "MANIFEST_UNKNOWN").await;
        assert_eq!(error, EngineError::NotFound { what });
        let (what, error) = pull("401 Unauthorized", "", "UNAUTHORIZED").await;
        assert!(matches!(&error, EngineError::Denied { what: told, .. } if *told == what), "{error:?}");
        let (what, error) = pull("403 Forbidden", "", "DENIED").await;
        assert!(matches!(&error, EngineError::Denied { what: told, .. } if *told == what), "{error:?}");
        let (what, error) = pull("429 Too Many Requests", "Retry-After: 1\r\n", "TOOMANYREQUESTS").await;
        assert!(matches!(&error, EngineError::RateLimited { what: told, .. } if *told == what), "{error:?}");
        let (_, error) = pull("503 Service Unavailable", "", "UNAVAILABLE").await;
        assert!(matches!(error, EngineError::Failed { .. }), "{error:?}");
    })
    .await;
}

/// Credentials of the registry a reference names.
fn credentials_of(reference: &ImageRef, password: &str) -> Credentials {
    Credentials {
        host: RegistryHost::of(reference),
        user: "ada".parse().expect("a user"),
        password: parse_password(password.to_owned()).expect("a password"),
    }
}

/// How many requests proved who they are.
fn proofs(heads: &Heads) -> usize {
    let heads = heads.lock().expect("not poisoned");
    heads.iter().filter(|head| head.to_ascii_lowercase().contains("\nauthorization: basic ")).count()
}

#[tokio::test]
async fn credentials_reach_their_own_registry_only() {
    in_world(async |world: &DockerWorld| {
        let ((own_port, own), (other_port, other)) = (recording_registry().await, recording_registry().await);
        let name = |port: u16| -> ImageRef { format!("127.0.0.1:{port}/team/app:1").parse().expect("valid") };
        let credentials = credentials_of(&name(own_port), "planted");
        let pull = async |name: ImageRef, credentials: Option<&Credentials>| {
            let answer = world.engine.resolve_image(&name, PullPolicy::Always, credentials, None);
            in_time(answer).await.expect_err("refused")
        };
        let error = pull(name(other_port), Some(&credentials)).await;
        assert!(matches!(&error, EngineError::Denied { .. }), "{error:?}");
        assert!(!other.lock().expect("not poisoned").is_empty(), "it was asked");
        assert_eq!((proofs(&other), own.lock().expect("not poisoned").len()), (0, 0));
        let error = pull(name(own_port), None).await;
        let expected = format!("havre registry set 127.0.0.1:{own_port}");
        assert!(error.to_string().contains(&expected), "{error}");
        assert_eq!(proofs(&own), 0);
        let error = pull(name(own_port), Some(&credentials)).await;
        assert!(matches!(&error, EngineError::Denied { .. }), "{error:?}");
        assert!(proofs(&own) > 0);
        assert_eq!(proofs(&other), 0);
        assert!(!error.to_string().contains("planted"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn credentials_are_written_in_the_alphabet_docker_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("docker.sock");
    let heads = recording_docker(&path);
    let reference: ImageRef = "registry.example.org/a:1".parse().expect("valid");
    // Each of these bytes stands at every place of a group of three.
    let credentials = credentials_of(&reference, "~~~~>>>>????");
    let engine = engine_at(&path);
    let answer = engine.resolve_image(&reference, PullPolicy::Always, Some(&credentials), None);
    in_time(answer).await.expect_err("it answers nothing of use");
    let heads = heads.lock().expect("not poisoned").join("\n");
    let header = heads.lines().find_map(|line| line.strip_prefix("x-registry-auth: ")).expect("it is sent");
    assert!(header.contains('-') && header.contains('_'), "{header}");
    assert!(!header.contains(['+', '/']), "{header}");
    assert!(!heads.contains("~~~"), "only there");
}

#[tokio::test]
async fn what_is_not_here_is_not_pulled_when_nobody_may_be_asked() {
    in_world(async |world: &DockerWorld| {
        let (port, heads) = recording_registry().await;
        let name: ImageRef = format!("127.0.0.1:{port}/team/app:1").parse().expect("valid");
        let answer = in_time(world.engine.resolve_image(&name, PullPolicy::Never, None, None)).await;
        assert_eq!(answer, Err(EngineError::not_found("image", name.as_str())));
        assert!(heads.lock().expect("not poisoned").is_empty());
        let (id, base) = world.base_image().await;
        let answer = in_time(world.engine.resolve_image(&base, PullPolicy::Never, None, None)).await;
        assert_eq!(answer.expect("it is here").id, id);
    })
    .await;
}

#[tokio::test]
async fn this_docker_is_new_enough() {
    let info = engine_at(&socket()).info().await.expect("these tests need Docker");
    assert_eq!(info.kind, "docker");
    assert!(!info.version.is_empty() && !info.api_version.is_empty());
    let warns = info.warnings.iter().any(|warning| warning.contains("live-restore"));
    assert_eq!(warns, !info.live_restore);
}

#[tokio::test]
async fn a_docker_that_is_away_or_too_old_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("docker.sock");
    let engine = engine_at(&path);
    let away = engine.list_tasks().await;
    assert!(matches!(away, Err(EngineError::Unreachable { .. })), "{away:?}");
    // A socket nobody listens at, as a killed Docker leaves it.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a free path"));
    let away = engine.list_tasks().await;
    assert!(matches!(away, Err(EngineError::Unreachable { .. })), "{away:?}");
    std::fs::remove_file(&path).expect("it is there");
    pretend_docker(&path, "{\"Version\":\"19.03.15\",\"ApiVersion\":\"1.40\"}");
    let old = EngineError::TooOld { version: "19.03.15".to_owned(), api_version: "1.40".to_owned() };
    assert_eq!(in_time(engine.info()).await, Err(old));
}

#[tokio::test]
async fn events_go_on_after_a_lost_connection() {
    in_world(async |world: &DockerWorld| {
        make_networks(world).await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("docker.sock");
        let wire = Wire::new(path.clone(), socket());
        let engine =
            havre_engine::docker::DockerEngine::new(&path, world.installation.parse().expect("valid"));
        let mut events = engine.events().await;
        let next = async |events: &mut havre_engine::event::EventStream| loop {
            let event = in_time(events.next()).await.expect("the stream never ends");
            if !matches!(event, EngineEvent::ImageRemoved { .. }) {
                return event;
            }
        };
        assert_eq!(next(&mut events).await, EngineEvent::Reset);
        let first = task(world, "api", Act::Runs).await;
        world.engine.ensure_task(&first).await.expect("a task");
        let event = next(&mut events).await;
        assert!(matches!(&event, EngineEvent::TaskStarted { name, .. } if *name == first.name), "{event:?}");
        wire.cut();
        let missed = task(world, "api", Act::Runs).await;
        world.engine.ensure_task(&missed).await.expect("a task");
        wire.mend();
        assert_eq!(next(&mut events).await, EngineEvent::Reset);
        let seen = task(world, "api", Act::Runs).await;
        world.engine.ensure_task(&seen).await.expect("a task");
        let event = next(&mut events).await;
        assert!(matches!(&event, EngineEvent::TaskStarted { name, .. } if *name == seen.name), "{event:?}");
    })
    .await;
}

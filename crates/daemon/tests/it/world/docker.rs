//! What the tests ask of Docker behind Havre's back, by its own client: what exists, what started and ended when,
//! and the removal of what a world of ours made. It only ever names things by the label of one installation.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

/// The image every service of these tests runs.
pub(crate) const IMAGE: &str = "havre-test/faults:1";

/// Another program of that name may be earlier on the PATH than Debian's.
fn program() -> &'static str {
    if Path::new("/usr/bin/docker").exists() { "/usr/bin/docker" } else { "docker" }
}

/// Runs the client; its output, or what it complained about.
pub(crate) fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program()).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("start {}: {error}", program()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("docker {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// An image as an archive: its layers, its configuration, its history.
pub(crate) fn saved(image: &str) -> Vec<u8> {
    let output = Command::new(program()).args(["save", image]).stdin(Stdio::null()).output();
    let output = output.expect("the client starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Fails with the command to run when the image of the tests is not there.
pub(crate) fn need_image() {
    if let Err(error) = docker(&["image", "inspect", "--format", "{{.Id}}", IMAGE]) {
        panic!(
            "these tests need Docker and the image {IMAGE}: run script/e2e, which makes both ready ({error})"
        );
    }
}

/// The same for an image that only some of them need.
pub(crate) fn need(image: &str) {
    if let Err(error) = docker(&["image", "inspect", "--format", "{{.Id}}", image]) {
        panic!("this test needs the image {image}: run script/e2e, which makes it ({error})");
    }
}

/// Docker's filter for what belongs to an installation.
pub(crate) fn label(installation: &str) -> String {
    format!("label=dev.havre.installation={installation}")
}

fn lines(arguments: &[&str]) -> Result<Vec<String>, String> {
    let mut lines: Vec<String> = docker(arguments)?.lines().map(ToOwned::to_owned).collect();
    lines.sort();
    Ok(lines)
}

/// Names of the containers of an installation, stopped ones included.
pub(crate) fn containers(installation: &str) -> Result<Vec<String>, String> {
    lines(&["ps", "--all", "--filter", &label(installation), "--format", "{{.Names}}"])
}

/// Names of its networks.
pub(crate) fn networks(installation: &str) -> Result<Vec<String>, String> {
    lines(&["network", "ls", "--filter", &label(installation), "--format", "{{.Name}}"])
}

/// Names of its volumes.
pub(crate) fn volumes(installation: &str) -> Result<Vec<String>, String> {
    lines(&["volume", "ls", "--filter", &label(installation), "--format", "{{.Name}}"])
}

/// Removes everything of an installation; says what could not be removed.
pub(crate) fn remove_all(installation: &str) -> Result<(), String> {
    for container in containers(installation)? {
        // Havre may have been removing it just now.
        let removed = docker(&["rm", "--force", "--volumes", &container]);
        removed.or_else(
            |error| if error.contains("No such container") { Ok(String::new()) } else { Err(error) },
        )?;
    }
    for network in networks(installation)? {
        docker(&["network", "rm", &network])?;
    }
    for volume in volumes(installation)? {
        docker(&["volume", "rm", &volume])?;
    }
    Ok(())
}

/// Packets the kernel has dropped because its table of connections was full. It is one table for the whole machine:
/// another program that opens very many connections makes these tests fail, and this number tells.
pub(crate) fn dropped_packets() -> u64 {
    let text = std::fs::read_to_string("/proc/net/stat/nf_conntrack").unwrap_or_default();
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let column = lines.next().and_then(|names| names.iter().position(|name| *name == "drop"));
    let Some(column) = column else { return 0 };
    let drops = lines.filter_map(|values| u64::from_str_radix(values.get(column)?, 16).ok());
    drops.sum()
}

/// A container started or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// `start` or `die`.
    pub(crate) what: String,
    /// Name of the container.
    pub(crate) container: String,
    /// Why it exists: `task`, `release-command`, `one-off`, `job`, `test` or `database`.
    pub(crate) purpose: String,
}

#[derive(Deserialize)]
struct Line {
    status: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "Attributes")]
    attributes: std::collections::BTreeMap<String, String>,
}

/// Writes down every start and end of an installation's containers, in Docker's own order.
pub(crate) struct Watch {
    client: Child,
    moments: Arc<Mutex<Vec<Moment>>>,
}

impl Watch {
    /// Begins now.
    pub(crate) fn start(installation: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let mut client = Command::new(program())
            .args(["events", "--since", &since.to_string(), "--filter", "type=container"])
            .args(["--filter", "event=start", "--filter", "event=die", "--filter", &label(installation)])
            .args(["--format", "{{json .}}"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("docker's client starts");
        let output = client.stdout.take().expect("it is piped");
        let moments: Arc<Mutex<Vec<Moment>>> = Arc::default();
        let noted = Arc::clone(&moments);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let line: Line = serde_json::from_str(&line).expect("docker writes JSON");
                let attribute = |key: &str| line.actor.attributes.get(key).cloned().unwrap_or_default();
                let moment = Moment {
                    what: line.status.clone(),
                    container: attribute("name"),
                    purpose: attribute("dev.havre.purpose"),
                };
                noted.lock().expect("no holder panics").push(moment);
            }
        });
        Self { client, moments }
    }

    /// Everything so far.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        self.moments.lock().expect("no holder panics").clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

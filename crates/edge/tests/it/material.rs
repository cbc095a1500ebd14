//! Material of certificates on its way from control to the edge's disk.

use std::path::PathBuf;
use std::sync::Arc;

use havre_api::route_table::{CertificatePurpose, RouteTable};
use havre_edge::Shared;
use havre_edge::account::Account;
use havre_edge::certificate::Certificates;
use havre_edge::certificate::folder::Folder;
use havre_edge::certificate::material::digest_of;
use havre_edge::config::EdgeLimits;
use havre_edge::control::Link;
use havre_edge::control::report::Identity;
use havre_edge::control::saved::StateDir;
use havre_edge::tls::settings::Settings;
use havre_edge::tls::ticket::Tickets;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::tls::{entry, material};
use crate::world::{Control, table, wait_for};

struct Place {
    dir: TempDir,
    socket: PathBuf,
    folder: Folder,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("state/certificates")).unwrap();
        Self { socket: dir.path().join("control.sock"), folder, dir }
    }

    /// The link of an edge without workers. Ends with the value.
    fn edge(&self) -> Edge {
        let settings = Settings::new(Arc::new(Tickets::new().unwrap())).unwrap();
        let certificates = Certificates::new(Some(self.folder.clone()), settings);
        let link = Link {
            shared: Arc::new(Shared::secured(
                EdgeLimits::default(),
                "/nowhere".into(),
                Account::silent(),
                certificates,
            )),
            socket: self.socket.clone(),
            state: Arc::new(StateDir::lock(&self.dir.path().join("state")).unwrap()),
            identity: Identity {
                edge: "e".to_owned(),
                instance: "i".to_owned(),
                listeners: Vec::new(),
                https: Vec::new(),
                is_retired: Arc::default(),
            },
            acknowledge: Box::new(|_| Box::pin(std::future::ready(()))),
        };
        Edge(tokio::spawn(link.run()))
    }

    fn has(&self, material: &str) -> bool {
        self.folder.load(digest_of(material.as_bytes())).unwrap().as_deref() == Some(material.as_bytes())
    }
}

struct Edge(JoinHandle<()>);

impl Drop for Edge {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn wire(generation: u64, materials: &[&str]) -> RouteTable {
    let mut table = table(generation, Vec::new());
    let named = |(number, text): (usize, &&str)| {
        entry(text, &[&format!("host{number}.example")], CertificatePurpose::Serve)
    };
    table.certificates = materials.iter().enumerate().map(named).collect();
    table
}

fn offer(control: &Control, name: &str, text: &str) {
    let digest = digest_of(name.as_bytes()).to_string();
    control.state.lock().unwrap().materials.insert(digest, text.to_owned());
}

#[tokio::test]
async fn material_is_here_before_its_table_is_reported() {
    let place = Place::new();
    let control = Control::start(&place.socket);
    let (first, second) = (material(), material());
    offer(&control, &first, &first);
    offer(&control, &second, &second);
    control.offer(&wire(1, &[&first, &second]));
    let edge = place.edge();
    wait_for("the report", || control.last().is_some_and(|report| report.generation == 1)).await;
    assert!(place.has(&first) && place.has(&second));

    // The next table asks for nothing that is here.
    control.offer(&wire(2, &[&first]));
    wait_for("the report", || control.last().is_some_and(|report| report.generation == 2)).await;
    drop(edge);
    assert_eq!(control.state.lock().unwrap().asked_for.len(), 2);
    assert!(place.has(&second), "kept for a day");
}

#[tokio::test]
async fn what_cannot_be_fetched_holds_up_no_table_and_is_tried_again() {
    let place = Place::new();
    let control = Control::start(&place.socket);
    let (missing, wrong, good) = (material(), material(), material());
    offer(&control, &wrong, &good);
    offer(&control, &good, &good);
    control.offer(&wire(1, &[&missing, &wrong, &good]));
    let _edge = place.edge();
    wait_for("the report", || control.last().is_some_and(|report| report.generation == 1)).await;
    wait_for("the good one", || place.has(&good)).await;
    assert!(!place.has(&wrong) && !place.has(&missing));

    offer(&control, &wrong, &wrong);
    offer(&control, &missing, &missing);
    wait_for("the others", || place.has(&wrong) && place.has(&missing)).await;
}

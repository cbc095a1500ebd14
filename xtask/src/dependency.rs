//! Who may depend on whom, which crates nobody may bring in, and that each direct dependency has its reason in
//! `docs/dependencies.md`. Licences and sources are cargo-deny's (`deny.toml`). Tests: at the end.

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;
use crate::graph::Graph;
use crate::tree::Tree;

/// Where the reasons are.
const REASONS: &str = "docs/dependencies.md";

/// What crates must not see that say what things are, and what follows from them.
const PURE: [&str; 14] = [
    "tokio",
    "hyper",
    "axum",
    "rusqlite",
    "bollard",
    "havre-api",
    "havre-store",
    "havre-engine",
    "havre-build",
    "havre-acme",
    "havre-source",
    "havre-backup",
    "havre-x509",
    "aws-lc-rs",
];

/// Crate of ours, what must not ship with it, and why. Every way counts, however long.
const BANS: [(&str, &[&str], &str); 24] = [
    (
        "havre-manifest",
        &["tokio", "hyper", "havre-api", "havre-store", "havre-engine", "havre-build", "havre-source"],
        "it reads text and opens no file",
    ),
    ("havre-core", &PURE, "core says what things are; it does no I/O"),
    ("havre-decide", &PURE, "it decides and does no I/O"),
    ("havre-rescue", &PURE, "it decides what becomes of data and does no I/O"),
    (
        "havre-schedule",
        &["tokio", "hyper", "rusqlite", "havre-core"],
        "it turns a text into instants, and knows nothing of jobs",
    ),
    (
        "havre-site",
        &["tokio", "hyper", "rusqlite", "havre-core"],
        "it reads files of strangers inside of the edge, and knows nothing else",
    ),
    (
        "havre-web",
        &[
            "havre-engine",
            "havre-build",
            "havre-acme",
            "havre-source",
            "havre-backup",
            "havre-provider",
            "havre-reconcile",
            "havre-data",
            "havre-edge",
            "bollard",
        ],
        "web writes desired state; loops make it true",
    ),
    (
        "havre-edge",
        &[
            "havre-store",
            "havre-engine",
            "havre-build",
            "havre-acme",
            "havre-source",
            "havre-backup",
            "havre-provider",
            "havre-reconcile",
            "havre-data",
            "havre-web",
            "axum",
            "rusqlite",
            "bollard",
        ],
        "what faces the internet holds no keys to the machine",
    ),
    (
        "havre-http",
        &["havre-x509", "havre-store", "havre-engine", "h2", "hyper", "rustls", "rustix"],
        "it reads bytes and opens neither connections nor files",
    ),
    (
        "havre-webhook",
        &[
            "tokio",
            "http",
            "hyper",
            "axum",
            "rusqlite",
            "bollard",
            "havre-api",
            "havre-store",
            "havre-engine",
            "havre-build",
            "havre-source",
            "havre-reconcile",
            "havre-data",
            "havre-web",
        ],
        "bytes in, a verdict out: no I/O, no clock, no store",
    ),
    (
        "havre-forge",
        &[
            "tokio",
            "http",
            "hyper",
            "axum",
            "rusqlite",
            "bollard",
            "havre-api",
            "havre-store",
            "havre-engine",
            "havre-build",
            "havre-source",
            "havre-reconcile",
            "havre-data",
            "havre-web",
        ],
        "calls and answers as data: no I/O, no clock, no store, no token",
    ),
    (
        "havre-outward",
        &[
            "axum",
            "rusqlite",
            "bollard",
            "havre-api",
            "havre-store",
            "havre-engine",
            "havre-build",
            "havre-source",
            "havre-backup",
            "havre-acme",
            "havre-reconcile",
            "havre-data",
            "havre-web",
        ],
        "one call to a host that users name: it knows nothing of what is said, and keeps nothing",
    ),
    (
        "havre-provider",
        &[
            "axum",
            "rusqlite",
            "bollard",
            "havre-api",
            "havre-store",
            "havre-engine",
            "havre-build",
            "havre-source",
            "havre-backup",
            "havre-acme",
            "havre-reconcile",
            "havre-web",
        ],
        "seams see neither each other nor the store",
    ),
    (
        "havre-privacy",
        &[
            "tokio",
            "http",
            "hyper",
            "axum",
            "rusqlite",
            "bollard",
            "havre-api",
            "havre-store",
            "havre-engine",
            "havre-build",
            "havre-source",
            "havre-reconcile",
            "havre-data",
            "havre-web",
        ],
        "bytes of a dump in, bytes of a masked dump out: no I/O, no clock, no store",
    ),
    (
        "havre-dockerfile",
        &["tokio", "hyper", "havre-store", "havre-engine", "havre-build"],
        "it reads text and opens no file",
    ),
    (
        "havre-reconcile",
        &["havre-web", "havre-api", "havre-edge", "havre-data", "havre-privacy"],
        "loops and API meet in the store only; what keeps services running knows no snapshots",
    ),
    ("havre-data", &["havre-web", "havre-api", "havre-edge"], "loops and API meet in the store only"),
    (
        "havre-engine",
        &["havre-build", "havre-acme", "havre-source", "havre-store", "rusqlite"],
        "seams see neither each other nor the store",
    ),
    (
        "havre-build",
        &["havre-engine", "havre-acme", "havre-source", "havre-store", "rusqlite"],
        "seams see neither each other nor the store",
    ),
    (
        "havre-acme",
        &["havre-engine", "havre-build", "havre-source", "havre-store", "rusqlite"],
        "seams see neither each other nor the store",
    ),
    (
        "havre-source",
        &["havre-engine", "havre-build", "havre-acme", "havre-store", "rusqlite", "bollard", "hyper", "axum"],
        "seams see neither each other nor the store",
    ),
    (
        "havre-backup",
        &[
            "havre-engine",
            "havre-build",
            "havre-acme",
            "havre-source",
            "havre-store",
            "rusqlite",
            "bollard",
            "axum",
        ],
        "seams see neither each other nor the store",
    ),
    (
        "havre-x509",
        &["havre-acme", "havre-store", "tokio", "hyper"],
        "it works on bytes and opens no connection",
    ),
    (
        "havre-cli",
        &[
            "havre-store",
            "havre-engine",
            "havre-build",
            "havre-acme",
            "havre-source",
            "havre-provider",
            "havre-x509",
            "havre-reconcile",
            "havre-data",
            "havre-web",
            "havre-edge",
            "havre-daemon",
        ],
        "the client knows the API and nothing behind it",
    ),
];

/// Heavy crates, and the only ones of ours that may name them.
const QUARANTINE: [(&str, &[&str]); 12] = [
    ("rusqlite", &["havre-store"]),
    ("bollard", &["havre-engine", "havre-build"]),
    ("axum", &["havre-web", "havre-daemon"]),
    ("rcgen", &["havre-x509"]),
    ("x509-parser", &["havre-x509"]),
    ("instant-acme", &["havre-acme"]),
    ("dns-update", &["havre-acme"]),
    ("hickory-proto", &["havre-acme"]),
    ("croner", &["havre-schedule"]),
    ("rustic_core", &["havre-backup"]),
    ("rusty-s3", &["havre-backup"]),
    ("russh", &["havre-backup"]),
];

/// Crates that nothing of ours may build, tests included, and why.
const BANNED: [(&str, &str); 4] = [
    ("openssl-sys", "one TLS stack: rustls with aws-lc-rs"),
    ("native-tls", "one TLS stack: rustls with aws-lc-rs"),
    ("ring", "one TLS stack: rustls with aws-lc-rs"),
    ("boring-sys", "one TLS stack: rustls with aws-lc-rs"),
];

/// Crates of which there may be one version only, and why.
const ONCE: [(&str, &str); 1] = [("libsqlite3-sys", "two SQLite libraries would open one file")];

/// Lists what breaks a rule.
pub(crate) fn check(graph: &Graph, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for id in &graph.members {
        banned_ways(graph, id, &mut findings);
        quarantined(graph, id, &mut findings);
    }
    banned_everywhere(graph, &mut findings);
    unexplained(graph, tree.get(REASONS).unwrap_or_default(), &mut findings);
    findings
}

fn banned_ways(graph: &Graph, id: &str, findings: &mut Vec<Finding>) {
    let Some((_, refused, why)) = BANS.iter().find(|(name, ..)| *name == graph.name(id)) else { return };
    for (other, way) in graph.shipped_with(id) {
        if refused.contains(&graph.name(&other)) {
            findings.push(format!("{way}: {why}"));
        }
    }
    // A test that reaches across a ban would soon be followed by code.
    let test_uses = graph.edges.get(id).into_iter().flatten().filter(|edge| !edge.is_shipped);
    for other in test_uses.map(|edge| graph.name(&edge.to)).filter(|name| name.starts_with("havre-")) {
        if refused.contains(&other) {
            findings.push(format!("{} -> {other} (tests): {why}", graph.name(id)));
        }
    }
}

fn quarantined(graph: &Graph, id: &str, findings: &mut Vec<Finding>) {
    let user = graph.name(id);
    let shipped = graph.edges.get(id).into_iter().flatten().filter(|edge| edge.is_shipped);
    for used in shipped.map(|edge| graph.name(&edge.to)) {
        let allowed = QUARANTINE.iter().find(|(name, _)| *name == used).map(|(_, allowed)| *allowed);
        if allowed.is_some_and(|allowed| !allowed.contains(&user)) {
            findings.push(format!(
                "{user} -> {used}: only {} may name it",
                allowed.unwrap_or_default().join(" and ")
            ));
        }
    }
}

fn banned_everywhere(graph: &Graph, findings: &mut Vec<Finding>) {
    let mut ways: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (id, way) in graph.built() {
        ways.entry(graph.name(&id)).or_default().push(way);
    }
    for (name, why) in BANNED {
        findings.extend(ways.get(name).into_iter().flatten().map(|way| format!("{way}: {why}")));
    }
    for (name, why) in ONCE {
        let found = ways.get(name).map_or(&[][..], Vec::as_slice);
        if found.len() > 1 {
            findings.push(format!("{name} in {} versions ({}): {why}", found.len(), found.join("; ")));
        }
    }
}

fn unexplained(graph: &Graph, reasons: &str, findings: &mut Vec<Finding>) {
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for id in &graph.members {
        for edge in graph.edges.get(id).into_iter().flatten().filter(|edge| !graph.members.contains(&edge.to))
        {
            used.entry(graph.name(&edge.to)).or_default().insert(graph.name(id));
        }
    }
    let explained: BTreeSet<&str> = reasons.lines().filter_map(explained_name).collect();
    for (name, users) in &used {
        if !explained.contains(name) {
            let users: Vec<&str> = users.iter().copied().collect();
            findings.push(format!("{REASONS}: no line for {name}, which {} uses", users.join(", ")));
        }
    }
    for name in explained.iter().filter(|name| !used.contains_key(*name)) {
        findings.push(format!("{REASONS}: a line for {name}, which nobody uses"));
    }
}

/// The crate a table row begins with: "| `serde` | ...".
fn explained_name(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("| `")?.split_once("` |")?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Edge;

    /// A graph of `user -> used`, or `user ~> used` for tests only; names that begin with `havre-` are ours.
    fn graph(uses: &[&str]) -> Graph {
        let mut graph = Graph::default();
        for line in uses {
            let is_shipped = line.contains(" -> ");
            let (from, to) = line.split_once(if is_shipped { " -> " } else { " ~> " }).unwrap();
            for id in [from, to] {
                let name = id.split('@').next().unwrap();
                graph.names.insert(id.to_owned(), name.to_owned());
                if name.starts_with("havre-") {
                    graph.members.insert(id.to_owned());
                }
            }
            graph.edges.entry(from.to_owned()).or_default().push(Edge { to: to.to_owned(), is_shipped });
        }
        graph
    }

    fn findings(uses: &[&str], reasons: &[&str]) -> Vec<Finding> {
        let lines: Vec<String> = reasons.iter().map(|name| format!("| `{name}` | why |")).collect();
        check(&graph(uses), &Tree::of(&[(REASONS, &lines.join("\n"))]))
    }

    #[test]
    fn a_clean_graph_has_no_findings() {
        let uses = [
            "havre-core -> serde",
            "havre-store -> havre-core",
            "havre-store -> rusqlite",
            "havre-core ~> tokio",
        ];
        assert_eq!(findings(&uses, &["serde", "rusqlite", "tokio"]), Vec::<String>::new());
    }

    #[test]
    fn every_ban_is_found_through_other_crates() {
        for (ours, refused, why) in BANS {
            for other in refused {
                let uses = [format!("{ours} -> between"), format!("between -> {other}")];
                let uses: Vec<&str> = uses.iter().map(String::as_str).collect();
                assert_eq!(findings(&uses, &["between"]), [format!("{ours} -> between -> {other}: {why}")]);
            }
        }
    }

    #[test]
    fn tests_do_not_reach_across_a_ban_either() {
        assert_eq!(
            findings(&["havre-web ~> havre-engine"], &[]),
            ["havre-web -> havre-engine (tests): web writes desired state; loops make it true"]
        );
    }

    #[test]
    fn heavy_crates_stay_where_they_are() {
        assert_eq!(
            findings(&["havre-daemon -> bollard"], &["bollard"]),
            ["havre-daemon -> bollard: only havre-engine and havre-build may name it"]
        );
    }

    #[test]
    fn banned_crates_are_found_in_tests_too() {
        for (name, why) in BANNED {
            let uses = ["havre-cli ~> client".to_owned(), format!("client -> {name}")];
            let uses: Vec<&str> = uses.iter().map(String::as_str).collect();
            assert_eq!(findings(&uses, &["client"]), [format!("havre-cli -> client -> {name}: {why}")]);
        }
    }

    #[test]
    fn a_second_sqlite_is_found() {
        let uses = [
            "havre-store -> rusqlite",
            "rusqlite -> libsqlite3-sys@1",
            "havre-store -> other",
            "other -> libsqlite3-sys@2",
        ];
        let found = findings(&uses, &["rusqlite", "other"]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("libsqlite3-sys in 2 versions"), "{found:?}");
    }

    #[test]
    fn reasons_and_dependencies_agree() {
        assert_eq!(
            findings(&["havre-core -> serde"], &["jiff"]),
            [
                "docs/dependencies.md: no line for serde, which havre-core uses",
                "docs/dependencies.md: a line for jiff, which nobody uses",
            ]
        );
    }
}

//! Every key of `havre.toml`, by table: the one list that parser, suggestions and documentation agree on.
//! Tests: `tests/it/manifest.rs` compares it with `docs/havre-toml.md`.

/// The keys of one table.
#[derive(Debug)]
pub struct Keys {
    /// Name of the table as documentation writes it; empty for the file itself.
    pub table: &'static str,
    /// Keys that are read.
    pub known: &'static [&'static str],
    /// Keys a later version will read: refused with that reason, never skipped.
    pub later: &'static [&'static str],
    /// What people write who come from elsewhere, and what it is called here.
    pub meant: &'static [(&'static str, &'static str)],
}

/// The file itself.
pub const ROOT: Keys = Keys {
    table: "",
    known: &["project", "services", "sites", "environments"],
    later: &["databases", "jobs", "secrets", "redirects", "backups", "alerts", "previews", "registries"],
    meant: &[("name", "project"), ("service", "services"), ("apps", "services"), ("static", "sites")],
};

/// `[services.<name>]`.
pub const SERVICE: Keys = Keys {
    table: "services.<name>",
    known: &[
        "dockerfile",
        "context",
        "target",
        "args",
        "image",
        "port",
        "health",
        "hosts",
        "command",
        "release",
        "env",
        "memory",
        "cpus",
        "pids",
        "volumes",
        "replicas",
        "stop_signal",
        "stop_grace",
        "drain",
        "start_timeout",
        "release_timeout",
        "bake",
        "checks",
        "expose_release",
    ],
    later: &["secrets", "uses", "redirects", "canary", "jobs"],
    meant: &[
        ("domain", "hosts"),
        ("domains", "hosts"),
        ("host", "hosts"),
        ("ports", "port"),
        ("expose", "port"),
        ("healthcheck", "health"),
        ("environment", "env"),
        ("cmd", "command"),
        ("start", "command"),
        ("predeploy", "release"),
        ("migrate", "release"),
        ("build", "dockerfile"),
        ("mem_limit", "memory"),
        ("cpu", "cpus"),
        ("scale", "replicas"),
        ("instances", "replicas"),
        ("stop_grace_period", "stop_grace"),
        ("root", "context"),
    ],
};

/// `health = { ... }` of a service.
pub const HEALTH: Keys = Keys {
    table: "services.<name>.health",
    known: &["path", "timeout", "interval"],
    later: &[],
    meant: &[("url", "path"), ("every", "interval")],
};

/// One entry of `checks` of a service.
pub const CHECK: Keys = Keys {
    table: "services.<name>.checks",
    known: &["path", "status", "contains"],
    later: &[],
    meant: &[("url", "path"), ("body", "contains"), ("code", "status")],
};

/// `[sites.<name>]`.
pub const SITE: Keys = Keys {
    table: "sites.<name>",
    known: &["root", "dockerfile", "context", "target", "args", "output", "hosts", "spa", "expose_release"],
    later: &["redirects", "headers", "secrets"],
    meant: &[
        ("domain", "hosts"),
        ("domains", "hosts"),
        ("host", "hosts"),
        ("dir", "root"),
        ("folder", "root"),
        ("publish", "root"),
        ("fallback", "spa"),
    ],
};

/// `[environments.<name>]`.
pub const ENVIRONMENT: Keys = Keys {
    table: "environments.<name>",
    known: &["branch", "hosts", "replicas", "env"],
    later: &["databases", "secrets", "protect", "memory", "cpus"],
    meant: &[("domains", "hosts"), ("scale", "replicas"), ("environment", "env")],
};

/// Every table.
pub const TABLES: [&Keys; 6] = [&ROOT, &SERVICE, &HEALTH, &CHECK, &SITE, &ENVIRONMENT];

/// Names a service or site cannot have: they are aliases in the environment's network, where these mean something else.
pub(super) fn is_reserved(name: &str) -> bool {
    matches!(name, "havre" | "localhost") || name.starts_with("havre-")
}

/// Whether Havre sets this environment variable itself.
pub(super) fn is_own_variable(key: &str) -> bool {
    matches!(key, "PORT" | "SOURCE_COMMIT") || key.starts_with("HAVRE_")
}

/// The candidate a person most likely meant.
pub fn nearest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    // The distance costs length x length; no key is that long.
    if text.len() > 64 {
        return None;
    }
    let lower = text.to_lowercase().replace('-', "_");
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.replace('-', "_")), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).clamp(1, 3))
        .min()
        .map(|(_, candidate)| candidate)
}

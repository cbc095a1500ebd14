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
    known: &["project", "source", "services", "sites", "databases", "jobs", "environments", "previews"],
    later: &["secrets", "redirects", "backups", "alerts", "registries"],
    meant: &[
        ("name", "project"),
        ("service", "services"),
        ("apps", "services"),
        ("static", "sites"),
        ("cron", "jobs"),
        ("crons", "jobs"),
        ("database", "databases"),
        ("addons", "databases"),
        ("preview", "previews"),
        ("review", "previews"),
        ("git", "source"),
        ("repository", "source"),
    ],
};

/// `[source]`.
pub const SOURCE: Keys = Keys {
    table: "source",
    known: &["submodules", "lfs"],
    later: &[],
    meant: &[
        ("submodule", "submodules"),
        ("recursive", "submodules"),
        ("git_lfs", "lfs"),
        ("large_files", "lfs"),
    ],
};

/// `[services.<name>]`.
pub const SERVICE: Keys = Keys {
    table: "services.<name>",
    known: &[
        "root",
        "dockerfile",
        "context",
        "target",
        "args",
        "build_secrets",
        "image",
        "port",
        "protocol",
        "tls",
        "health",
        "hosts",
        "command",
        "release",
        "env",
        "secrets",
        "uses",
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
        "canary",
        "balance",
        "checks",
        "expose_release",
        "redirects",
        "edge",
        "https",
        "hsts",
        "test",
        "paths",
        "paths_ignore",
    ],
    later: &[],
    meant: &[
        ("domain", "hosts"),
        ("domains", "hosts"),
        ("host", "hosts"),
        ("ports", "port"),
        ("expose", "port"),
        ("healthcheck", "health"),
        ("environment", "env"),
        ("databases", "uses"),
        ("database", "uses"),
        ("links", "uses"),
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
        ("dir", "root"),
        ("folder", "root"),
        ("redirect", "redirects"),
        ("proxy", "edge"),
        ("middlewares", "edge"),
        ("routes", "edge"),
        ("ssl", "https"),
        ("tests", "test"),
        ("watch", "paths"),
        ("watch_paths", "paths"),
        ("ignore", "paths_ignore"),
    ],
};

const EDGE_KEYS: &[&str] = &[
    "strip_prefix",
    "request_headers",
    "response_headers",
    "basic_auth",
    "allow",
    "deny",
    "rate_limit",
    "max_body",
    "max_head",
    "timeouts",
    "compress",
    "sticky",
    "cors",
    "error_pages",
    "maintenance",
    "hold",
];

const EDGE_MEANT: &[(&str, &str)] = &[
    ("strip", "strip_prefix"),
    ("headers", "response_headers"),
    ("auth", "basic_auth"),
    ("basicauth", "basic_auth"),
    ("whitelist", "allow"),
    ("allowlist", "allow"),
    ("blacklist", "deny"),
    ("ratelimit", "rate_limit"),
    ("rate_limits", "rate_limit"),
    ("body_limit", "max_body"),
    ("max_request_body", "max_body"),
    ("timeout", "timeouts"),
    ("response_timeout", "timeouts"),
    ("gzip", "compress"),
    ("compression", "compress"),
    ("sticky_sessions", "sticky"),
    ("pause", "hold"),
    ("errors", "error_pages"),
];

/// `[services.<name>.edge]` and `[sites.<name>.edge]`.
pub const EDGE: Keys = Keys {
    table: "services.<name>.edge",
    known: &[
        "strip_prefix",
        "request_headers",
        "response_headers",
        "basic_auth",
        "allow",
        "deny",
        "rate_limit",
        "max_body",
        "max_head",
        "timeouts",
        "compress",
        "sticky",
        "cors",
        "error_pages",
        "maintenance",
        "hold",
        "paths",
    ],
    later: &[],
    meant: EDGE_MEANT,
};

/// `[services.<name>.edge.paths."/path"]`: the same keys, for addresses below that path.
pub const EDGE_PATH: Keys =
    Keys { table: "services.<name>.edge.paths", known: EDGE_KEYS, later: &[], meant: EDGE_MEANT };

/// One entry of `redirects` of a service or site.
pub const REDIRECT: Keys = Keys {
    table: "services.<name>.redirects",
    known: &["to", "status"],
    later: &[],
    meant: &[("url", "to"), ("target", "to"), ("permanent", "status"), ("code", "status")],
};

/// `request_headers` and `response_headers` of `edge`.
pub const HEADERS: Keys = Keys {
    table: "services.<name>.edge.response_headers",
    known: &["set", "add", "remove"],
    later: &[],
    meant: &[("replace", "set"), ("append", "add"), ("delete", "remove"), ("hide", "remove")],
};

/// `basic_auth` of `edge`.
pub const BASIC_AUTH: Keys =
    Keys { table: "services.<name>.edge.basic_auth", known: &["realm", "users"], later: &[], meant: &[] };

/// `rate_limit` of `edge`, or one entry of it.
pub const RATE_LIMIT: Keys = Keys {
    table: "services.<name>.edge.rate_limit",
    known: &["requests", "per", "burst", "by"],
    later: &[],
    meant: &[
        ("average", "requests"),
        ("rate", "requests"),
        ("period", "per"),
        ("key", "by"),
        ("header", "by"),
    ],
};

/// `timeouts` of `edge`.
pub const TIMEOUTS: Keys = Keys {
    table: "services.<name>.edge.timeouts",
    known: &["connect", "first_byte", "total"],
    later: &[],
    meant: &[("read", "first_byte"), ("response", "first_byte"), ("request", "total")],
};

/// `sticky` of `edge`.
pub const STICKY: Keys = Keys {
    table: "services.<name>.edge.sticky",
    known: &["cookie", "max_age"],
    later: &[],
    meant: &[("name", "cookie")],
};

/// `cors` of `edge`.
pub const CORS: Keys = Keys {
    table: "services.<name>.edge.cors",
    known: &["origins", "methods", "headers", "expose", "credentials", "max_age"],
    later: &[],
    meant: &[("origin", "origins"), ("allow_origins", "origins"), ("allow_methods", "methods")],
};

/// `maintenance` of `edge`.
pub const MAINTENANCE: Keys = Keys {
    table: "services.<name>.edge.maintenance",
    known: &["page", "allow"],
    later: &[],
    meant: &[("html", "page"), ("bypass", "allow")],
};

/// `health = { ... }` of a service.
pub const HEALTH: Keys = Keys {
    table: "services.<name>.health",
    known: &["path", "timeout", "interval"],
    later: &[],
    meant: &[("url", "path"), ("every", "interval")],
};

/// `[services.<name>.balance]`.
pub const BALANCE: Keys = Keys {
    table: "services.<name>.balance",
    known: &["max_in_flight", "queue", "queue_wait", "slow_start", "eject_after", "retry_percent"],
    later: &[],
    meant: &[
        ("max_connections", "max_in_flight"),
        ("concurrency", "max_in_flight"),
        ("warmup", "slow_start"),
        ("retries", "retry_percent"),
    ],
};

/// `[services.<name>.tls]`.
pub const TLS: Keys = Keys {
    table: "services.<name>.tls",
    known: &["ca", "name", "verify"],
    later: &[],
    meant: &[
        ("cert", "ca"),
        ("certificate", "ca"),
        ("ca_file", "ca"),
        ("sni", "name"),
        ("server_name", "name"),
        ("insecure", "verify"),
        ("skip_verify", "verify"),
    ],
};

/// `[services.<name>.canary]`.
pub const CANARY: Keys = Keys {
    table: "services.<name>.canary",
    known: &["percent", "for"],
    later: &[],
    meant: &[("weight", "percent"), ("share", "percent"), ("duration", "for"), ("time", "for")],
};

/// `[services.<name>.test]`.
pub const TEST: Keys = Keys {
    table: "services.<name>.test",
    known: &["target", "command", "env", "databases", "timeout", "memory"],
    later: &["secrets"],
    meant: &[
        ("stage", "target"),
        ("cmd", "command"),
        ("run", "command"),
        ("script", "command"),
        ("environment", "env"),
        ("database", "databases"),
        ("uses", "databases"),
        ("time_limit", "timeout"),
        ("mem_limit", "memory"),
    ],
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
    known: &[
        "root",
        "build",
        "dockerfile",
        "context",
        "target",
        "args",
        "build_secrets",
        "output",
        "hosts",
        "spa",
        "clean_urls",
        "trailing_slash",
        "keep_assets",
        "releases",
        "cdn",
        "expose_release",
        "redirects",
        "edge",
        "https",
        "hsts",
        "paths",
        "paths_ignore",
    ],
    later: &["headers", "secrets", "test"],
    meant: &[
        ("domain", "hosts"),
        ("domains", "hosts"),
        ("host", "hosts"),
        ("dir", "root"),
        ("folder", "root"),
        ("publish", "root"),
        ("fallback", "spa"),
        ("cleanUrls", "clean_urls"),
        ("trailingSlash", "trailing_slash"),
    ],
};

/// `[sites.<name>.cdn]`.
pub const CDN: Keys = Keys {
    table: "sites.<name>.cdn",
    known: &["tags", "hold", "purge"],
    later: &[],
    meant: &[("ttl", "hold"), ("max_age", "hold"), ("header", "tags"), ("invalidate", "purge")],
};

/// `[sites.<name>.cdn.purge]`.
pub const PURGE: Keys = Keys {
    table: "sites.<name>.cdn.purge",
    known: &["url", "method", "header", "secret", "body"],
    later: &[],
    meant: &[
        ("address", "url"),
        ("endpoint", "url"),
        ("token", "secret"),
        ("key", "secret"),
        ("json", "body"),
    ],
};

/// `[databases.<name>]`.
pub const DATABASE: Keys = Keys {
    table: "databases.<name>",
    known: &["engine", "version", "image", "memory", "cpus", "persistence", "settings", "backup"],
    later: &["copy", "mask", "replica"],
    meant: &[
        ("type", "engine"),
        ("server", "engine"),
        ("tag", "version"),
        ("mem_limit", "memory"),
        ("cpu", "cpus"),
        ("appendonly", "persistence"),
        ("config", "settings"),
        ("parameters", "settings"),
        ("backups", "backup"),
    ],
};

/// `backup` of a database.
pub const BACKUP: Keys = Keys {
    table: "databases.<name>.backup",
    known: &["every", "keep", "drill", "point_in_time", "assert", "targets"],
    later: &[],
    meant: &[
        ("schedule", "every"),
        ("interval", "every"),
        ("retention", "keep"),
        ("target", "targets"),
        ("to", "targets"),
        ("restore_drill", "drill"),
        ("assertions", "assert"),
        ("checks", "assert"),
        ("pitr", "point_in_time"),
        ("wal", "point_in_time"),
        ("window", "point_in_time"),
    ],
};

/// A volume of a service, where more than its path is said.
pub const VOLUME: Keys = Keys {
    table: "services.<name>.volumes.<name>",
    known: &["path", "backup"],
    later: &[],
    meant: &[("mount", "path"), ("target", "path"), ("destination", "path"), ("backups", "backup")],
};

/// `backup` of a volume.
pub const VOLUME_BACKUP: Keys = Keys {
    table: "services.<name>.volumes.<name>.backup",
    known: &["mode", "every", "keep", "targets"],
    later: &["drill"],
    meant: &[
        ("policy", "mode"),
        ("freeze", "mode"),
        ("schedule", "every"),
        ("interval", "every"),
        ("retention", "keep"),
        ("target", "targets"),
        ("to", "targets"),
    ],
};

/// `keep` of `backup` of a database.
pub const BACKUP_KEEP: Keys = Keys {
    table: "databases.<name>.backup.keep",
    known: &["last", "hourly", "daily", "weekly", "monthly", "yearly", "timezone"],
    later: &[],
    meant: &[
        ("hours", "hourly"),
        ("days", "daily"),
        ("weeks", "weekly"),
        ("months", "monthly"),
        ("years", "yearly"),
        ("zone", "timezone"),
        ("time_zone", "timezone"),
    ],
};

/// `databases.<name>` of an environment.
pub const ENVIRONMENT_DATABASE: Keys = Keys {
    table: "environments.<name>.databases",
    known: &["memory"],
    later: &["copy", "mask", "cpus", "settings", "backup"],
    meant: &[("mem_limit", "memory")],
};

/// `[jobs.<name>]`.
pub const JOB: Keys = Keys {
    table: "jobs.<name>",
    known: &["service", "command", "schedule", "timezone", "timeout", "retries", "missed", "keep"],
    later: &["uses"],
    meant: &[
        ("cron", "schedule"),
        ("every", "schedule"),
        ("tz", "timezone"),
        ("time_zone", "timezone"),
        ("cmd", "command"),
        ("run", "command"),
        ("app", "service"),
        ("time_limit", "timeout"),
        ("attempts", "retries"),
        ("history", "keep"),
    ],
};

/// `[environments.<name>]`.
pub const ENVIRONMENT: Keys = Keys {
    table: "environments.<name>",
    known: &["branch", "hosts", "replicas", "env", "jobs", "databases"],
    later: &["secrets", "protect", "memory", "cpus"],
    meant: &[("domains", "hosts"), ("scale", "replicas"), ("environment", "env")],
};

/// `[previews]`.
pub const PREVIEWS: Keys = Keys {
    table: "previews",
    known: &["hosts", "from", "max", "ttl", "env", "memory", "replicas", "jobs", "forks"],
    later: &["databases", "secrets"],
    meant: &[
        ("host", "hosts"),
        ("domains", "hosts"),
        ("base", "from"),
        ("environment", "env"),
        ("limit", "max"),
        ("scale", "replicas"),
        ("expires", "ttl"),
        ("allow_forks", "forks"),
    ],
};

/// Every table.
pub const TABLES: [&Keys; 31] = [
    &ROOT,
    &SOURCE,
    &SERVICE,
    &HEALTH,
    &TLS,
    &BALANCE,
    &CANARY,
    &TEST,
    &CHECK,
    &REDIRECT,
    &EDGE,
    &EDGE_PATH,
    &HEADERS,
    &BASIC_AUTH,
    &RATE_LIMIT,
    &TIMEOUTS,
    &STICKY,
    &CORS,
    &MAINTENANCE,
    &SITE,
    &CDN,
    &PURGE,
    &DATABASE,
    &BACKUP,
    &BACKUP_KEEP,
    &VOLUME,
    &VOLUME_BACKUP,
    &JOB,
    &ENVIRONMENT,
    &ENVIRONMENT_DATABASE,
    &PREVIEWS,
];

/// Names a service or site cannot have: they are aliases in the environment's network, where these mean something else.
pub(super) fn is_reserved(name: &str) -> bool {
    matches!(name, "havre" | "localhost") || name.starts_with("havre-")
}

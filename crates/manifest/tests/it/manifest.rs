//! `havre.toml`: what is understood, and the exact text of every refusal.

use havre_core::name::EnvironmentName;
use havre_manifest::{parse, schema};
use insta::assert_snapshot;
use proptest::prelude::*;

/// The problems of a text, as people see them.
fn refused(text: &str) -> String {
    parse(text).expect_err("must be refused").to_string()
}

fn resolved(text: &str, environment: &str) -> String {
    let manifest = parse(text).unwrap_or_else(|error| panic!("must be understood:\n{error}"));
    let environment: EnvironmentName = environment.parse().expect("is a name");
    let specs = manifest.resolve(&environment).expect("is in the file");
    serde_json::to_string_pretty(&specs).expect("is JSON")
}

/// A service table with these lines, and what is wrong with it.
fn service(lines: &str) -> String {
    refused(&format!("project = \"p\"\n[services.api]\n{lines}\n"))
}

#[test]
fn the_sample_project() {
    let text = include_str!("../../../../examples/dropit/havre.toml");
    assert_snapshot!("sample_project", resolved(text, "production"));
}

#[test]
fn every_key_of_a_service() {
    let text = r#"
project = "shop"

[services.api]
dockerfile = "./apps/api/Dockerfile"
context = "apps/api/"
target = "runtime"
args = { NODE_VERSION = "22" }
port = 8080
health = { path = "/health?full=1", timeout = "500ms", interval = "10s" }
hosts = ["shop.example", "www.shop.example/api/"]
command = ["node", "dist/main.js", "--port", "$PORT"]
release = ["node", "dist/migrate.js"]
env = { NODE_ENV = "production", EMPTY = "" }
memory = "1.5GB"
cpus = 0.5
pids = 200
replicas = 1
volumes = { data = "/data" }
stop_signal = "SIGINT"
stop_grace = "20s"
drain = "1m"
start_timeout = "90s"
release_timeout = "15m"
bake = "30s"
balance = { max_in_flight = 50, queue = 20, queue_wait = "1s", slow_start = "1m", eject_after = 3, retry_percent = 5 }
checks = [{ path = "/api/health" }, { path = "/missing", status = 404, contains = "not found" }]
expose_release = false

[services.queue]
image = "registry.example.org:5000/team/queue@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
replicas = 0
cpus = "2"

[sites.docs]
root = "docs/dist"
hosts = ["docs.shop.example"]
"#;
    assert_snapshot!("every_key_of_a_service", resolved(text, "production"));
}

#[test]
fn an_environment_changes_hosts_replicas_and_variables() {
    let text = r#"
project = "shop"
[services.api]
image = "api:1"
port = 80
hosts = ["shop.example"]
replicas = 3
env = { A = "1", B = "2" }
[environments.production]
branch = "main"
[environments.staging]
branch = "develop"
hosts = { api = ["staging.shop.example"] }
replicas = { api = 1 }
env = { api = { B = "3", C = "4" } }
"#;
    assert_snapshot!("staging", resolved(text, "staging"));
    let manifest = parse(text).unwrap();
    let names: Vec<String> = manifest.environments().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["production", "staging"]);
    assert_eq!(manifest.branch(&"staging".parse().unwrap()), Some("develop"));
    let error = manifest.resolve(&"stagng".parse().unwrap()).unwrap_err();
    assert_snapshot!(error, @r"
    havre.toml has no environment `stagng`
      did you mean `staging`?
    ");
}

#[test]
fn production_needs_no_table() {
    let manifest = parse("project = \"p\"\n[services.a]\nimage = \"a\"\n").unwrap();
    assert_eq!(manifest.resolve(&EnvironmentName::production()).unwrap().len(), 1);
    let error = manifest.resolve(&"preview".parse().unwrap()).unwrap_err();
    assert_snapshot!(error, @r"
    havre.toml has no environment `preview`
      add `[environments.preview]`, or use one of: production
    ");
}

#[test]
fn all_problems_of_a_file_at_once() {
    let text = r#"projct = "shop"
[services.api]
dockerfile = "Dockerfile"
memmory = "512MB"
memory = "512Mb"
port = "3000"
replicas = 200
domains = ["shop.example"]
secrets = ["JWT_SECRET"]
drain = 30
[redirects.db]
engine = "postgres"
[environments.staging]
hosts = { apii = [] }
"#;
    assert_snapshot!("all_problems", refused(text));
}

#[test]
fn syntax() {
    assert_snapshot!("syntax", refused("project = \"p\"\n[services.api\nport = = 3\nhosts = [\"a\"\n"));
    assert_snapshot!("twice", refused("project = \"p\"\n[services.api]\nport = 1\nport = 2\n"));
}

#[test]
fn hosts() {
    assert_snapshot!(
        "hosts",
        service(
            r#"image = "a"
port = 1
hosts = ["*.shop.example", "bücher.example", "https://shop.example/", "Shop.Example", "a:80", "10.0.0.1", "a/../b", 7]"#
        )
    );
    assert_snapshot!("hosts_text", service("image = \"a\"\nport = 1\nhosts = \"shop.example\""));
}

#[test]
fn one_address_leads_to_one_place() {
    let text = r#"
project = "p"
[services.api]
image = "a"
port = 1
hosts = ["shop.example", "shop.example/api", "shop.example/api/"]
[sites.web]
root = "dist"
hosts = ["shop.example"]
[environments.staging]
hosts = { web = ["shop.example/api"] }
"#;
    assert_snapshot!("conflicts", refused(text));
}

#[test]
fn names() {
    let text = format!(
        "project = \"Shop!\"\n[services.\"a;$(id)\"]\n[services.{}]\n[services.havre]\nimage = \"a\"\n\
         [sites.havre]\nroot = \".\"\nhosts = [\"a\"]\n[environments.Prod]\n",
        "a".repeat(64)
    );
    assert_snapshot!("names", refused(&text));
}

#[test]
fn what_runs_must_be_said_once() {
    assert_snapshot!("two_sources", service("image = \"a\"\ndockerfile = \"Dockerfile\""));
    assert_snapshot!("image_with_context", service("image = \"a\"\ncontext = \"x\"\nargs = { A = \"1\" }"));
    assert_snapshot!("image_wrong", service("image = \"a b\""));
    assert_snapshot!("outside", service("dockerfile = \"../Dockerfile\""));
    let site = |lines: &str| refused(&format!("project = \"p\"\n[sites.web]\nhosts = [\"a\"]\n{lines}\n"));
    assert_snapshot!("site_without_output", site("dockerfile = \"Dockerfile\""));
    assert_snapshot!("site_twice", site("dockerfile = \"Dockerfile\"\nroot = \"x\"\noutput = \"/site\""));
    assert_snapshot!("site_without_files", site("spa = true"));
    assert_snapshot!("site_without_hosts", refused("project = \"p\"\n[sites.web]\nroot = \".\"\n"));
}

#[test]
fn without_a_dockerfile_havre_writes_one() {
    let text = r#"
project = "shop"
[services.api]
port = 3000
[services.worker]
root = "./backend/worker/"
context = "backend"
args = { VERSION = "1" }
[sites.web]
root = "web"
build = true
hosts = ["a"]
[sites.docs]
root = "docs"
build = false
hosts = ["b"]
"#;
    let specs: serde_json::Value = serde_json::from_str(&resolved(text, "production")).unwrap();
    let sources: Vec<&serde_json::Value> =
        specs.as_array().unwrap().iter().map(|spec| &spec["work"]["source"]).collect();
    assert_snapshot!("written_for", serde_json::to_string_pretty(&sources).unwrap());
}

#[test]
fn the_folder_of_a_written_dockerfile() {
    assert_snapshot!("root_and_dockerfile", service("dockerfile = \"Dockerfile\"\nroot = \"api\""));
    assert_snapshot!("root_and_image", service("image = \"a\"\nroot = \"api\""));
    assert_snapshot!("root_outside", service("root = \"api\"\ncontext = \"web\"\ntarget = \"run\""));
    let site = |lines: &str| refused(&format!("project = \"p\"\n[sites.web]\nhosts = [\"a\"]\n{lines}\n"));
    assert_snapshot!("site_built_twice", site("build = true\ndockerfile = \"Dockerfile\""));
    assert_snapshot!("site_built_with_output", site("build = true\noutput = \"/site\""));
}

#[test]
fn secrets_of_builds_are_names() {
    let text = "project = \"p\"\n[services.a]\ndockerfile = \"Dockerfile\"\nbuild_secrets = [\"NPM_TOKEN\", \"A\"]\n";
    let specs: serde_json::Value = serde_json::from_str(&resolved(text, "production")).unwrap();
    assert_eq!(specs[0]["work"]["source"]["secrets"], serde_json::json!(["A", "NPM_TOKEN"]));
    let twice = service("dockerfile = \"Dockerfile\"\nbuild_secrets = [\"A\", \"A\"]");
    assert!(twice.contains("names A a second time"), "{twice}");
    let wrong = service("dockerfile = \"Dockerfile\"\nbuild_secrets = [\"npm token\"]");
    assert!(wrong.contains("name of a build secret"), "{wrong}");
    let image = service("image = \"a\"\nbuild_secrets = [\"A\"]");
    assert!(image.contains("`image` needs no build"), "{image}");
}

#[test]
fn every_setting_of_a_site() {
    let text = r#"
project = "p"
[sites.web]
root = "dist"
hosts = ["a"]
clean_urls = "redirect"
trailing_slash = "never"
keep_assets = "30m"
releases = 3
cdn = { tags = "cache-tag", hold = "1d" }
"#;
    assert_snapshot!("site_settings", resolved(text, "production"));
    let wrong = r#"
project = "p"
[sites.web]
root = "dist"
hosts = ["a"]
clean_urls = "serf"
trailing_slash = true
keep_assets = "8d"
releases = 0
cdn = { hold = "0s", ttl = "1s" }
[sites.other]
root = "dist"
hosts = ["b"]
cdn = { tags = "x-tags", hold = "1" }
"#;
    assert_snapshot!("site_settings_wrong", refused(wrong));
}

#[test]
fn balancing_has_bounds() {
    let wrong = "image = \"a\"\nport = 80\nbalance = { retry_percent = 101, queue_wait = \"2m\", max_connections = 1 }";
    assert_snapshot!("balance", service(wrong));
    let wrong = "image = \"a\"\nport = 80\ncanary = { percent = 51, for = \"2d\", weight = 1 }";
    assert_snapshot!("canary", service(wrong));
    assert_snapshot!("canary_needs_a_share", service("image = \"a\"\nport = 80\ncanary = { for = \"5m\" }"));
    let volume = "image = \"a\"\nport = 80\nvolumes = { data = \"/data\" }\ncanary = { percent = 5 }";
    assert_snapshot!("canary_needs_two_releases_at_once", service(volume));
    assert_snapshot!("balance_needs_a_port", service("image = \"a\"\nbalance = { queue = 1 }"));
}

#[test]
fn commands_are_lists_of_words() {
    assert_snapshot!("commands", service("image = \"a\"\ncommand = \"npm start\"\nrelease = []"));
}

#[test]
fn a_port_is_needed_where_somebody_asks() {
    assert_snapshot!(
        "no_port",
        service("image = \"a\"\nhosts = [\"a\"]\nhealth = \"/\"\nchecks = [{ path = \"/\" }]")
    );
}

#[test]
fn volumes_have_one_writer() {
    assert_snapshot!(
        "volumes",
        service(
            "image = \"a\"\nreplicas = 2\nvolumes = { a = \"/data\", b = \"/data\", c = \"/\", d = \"x\" }"
        )
    );
    let text = "project = \"p\"\n[services.a]\nimage = \"a\"\nvolumes = { d = \"/d\" }\n\
                [environments.staging]\nreplicas = { a = 2 }\n";
    assert_snapshot!("volumes_staging", refused(text));
}

/// As much of a certificate as is looked at here.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\\nMAMCAQE=\\n-----END CERTIFICATE-----\\n";

#[test]
fn tls_to_a_service() {
    let tls = |lines: &str| {
        let text = format!("project = \"p\"\n[services.api]\nimage = \"a\"\nport = 1\n{lines}\n");
        let specs = parse(&text).unwrap().resolve(&EnvironmentName::production()).unwrap();
        serde_json::to_value(&specs[0].tasks().unwrap().tls).unwrap()
    };
    assert_eq!(tls("protocol = \"h2c\""), serde_json::Value::Null);
    assert_eq!(
        tls("protocol = \"https\"\ntls = { verify = false }"),
        serde_json::json!({ "name": "api", "trust": { "kind": "anyone" } })
    );
    let lines =
        format!("protocol = \"h2\"\n[services.api.tls]\nca = \"{CERTIFICATE}\"\nname = \"app.internal\"");
    let certificates = CERTIFICATE.replace("\\n", "\n");
    assert_eq!(
        tls(&lines),
        serde_json::json!({ "name": "app.internal", "trust": { "kind": "ca", "certificates": certificates } })
    );
}

#[test]
fn tls_that_cannot_be() {
    let ca = |text: &str| format!("tls = {{ ca = \"{text}\" }}");
    let key = ca(&CERTIFICATE.replace("CERTIFICATE", "PRIVATE KEY"));
    let damaged = ca(&CERTIFICATE.replace("MAMC", "MAUC"));
    let long = ca(&"x".repeat(65_537));
    let rows = [
        ("https", "", "line 5, column 12: `services.api` speaks https and has no `tls` to say whom to trust"),
        (
            "h2c",
            "tls = { verify = false }",
            "line 6, column 1: `services.api.tls`: the service speaks h2c, which is without TLS",
        ),
        ("h2", "tls = {}", "line 6, column 7: `services.api.tls` does not say whom to trust"),
        ("h2", "tls = { verify = true }", "line 6, column 7: `services.api.tls` does not say whom to trust"),
        (
            "https",
            "tls = { ca = \"x\", verify = false }",
            "line 6, column 9: `services.api.tls` has both `ca` and verify = false",
        ),
        (
            "https",
            "tls = { ca = \"x\" }",
            "line 6, column 14: `services.api.tls.ca`: expected 1 to 16 certificates in PEM",
        ),
        ("https", key.as_str(), "a private key must never stand here"),
        ("https", damaged.as_str(), "`services.api.tls.ca`: certificate 1 is damaged"),
        ("https", long.as_str(), "the text has 65537 bytes"),
        (
            "https",
            "tls = { verify = false, name = \"A.b\" }",
            "`services.api.tls.name`: `A.b` is not a valid host",
        ),
        ("https", "tls = { verify = false, skip_verify = true }", "did you mean `verify`?"),
        ("http2", "tls = { verify = false }", "protocols are: http1, https (the same over TLS), h2c"),
    ];
    for (protocol, lines, expected) in rows {
        let found = service(&format!("image = \"a\"\nport = 1\nprotocol = \"{protocol}\"\n{lines}"));
        assert!(found.contains(expected), "{found}");
        assert_eq!(found.matches(", column ").count(), 1, "one problem each: {found}");
    }
    let found = service("image = \"a\"\nprotocol = \"https\"\ntls = { verify = false }");
    assert!(found.contains("`services.api.tls` needs to know the port"), "{found}");
}

#[test]
fn quantities_have_units() {
    assert_snapshot!(
        "quantities",
        service(
            "image = \"a\"\nmemory = \"1MB\"\ncpus = 0\npids = 0\nstop_signal = \"term\"\nstop_grace = \"2h\"\n\
             drain = \"30\"\nport = 70000\nhealth = 3\nexpose_release = \"yes\""
        )
    );
}

#[test]
fn variables_havre_sets_are_refused() {
    assert_snapshot!(
        "variables",
        service("image = \"a\"\n[services.api.env]\nPORT = \"1\"\nHAVRE_X = \"1\"\n1A = \"1\"\nDEBUG = true")
    );
}

#[test]
fn an_empty_file() {
    assert_snapshot!("empty", refused(""));
    assert_snapshot!("nothing_in_it", refused("project = \"p\""));
}

#[test]
fn a_large_file_is_not_read() {
    assert_snapshot!(refused(&"#".repeat(300_000)), @r"
    havre.toml has 300000 bytes, more than the 262144 that are read
      move data out of it
    ");
}

#[test]
fn columns_are_characters_and_long_lines_are_cut() {
    let text = format!("project = \"p\"\n[services.a]\nimage = \"{}é\"\u{7}", "é".repeat(300));
    assert_snapshot!("control_character", refused(&text));
    assert_snapshot!("tab", refused("project = \"p\"\n[services.a]\n\timage\t=\t5\n"));
}

#[test]
fn every_key_is_documented() {
    let page = include_str!("../../../../docs/havre-toml.md");
    for keys in schema::TABLES {
        let title = if keys.table.is_empty() { "## The file" } else { &format!("## `{}`", keys.table) };
        let section =
            page.split("\n## ").find(|part| title == format!("## {}", part.lines().next().unwrap()));
        let section = section.unwrap_or_else(|| panic!("docs/havre-toml.md has no section `{title}`"));
        for key in keys.known {
            assert!(section.contains(&format!("| `{key}` |")), "`{key}` is missing under {title}");
        }
        for key in keys.later {
            assert!(section.contains(&format!("`{key}`")), "later key `{key}` is missing under {title}");
        }
        let rows = section.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, keys.known.len(), "{title} documents a key the parser does not have");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = parse(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_toml_panics(lines in proptest::collection::vec(line(), 0..20)) {
        let text = lines.join("\n");
        let error = parse(&text).map_err(|error| error.to_string());
        if let Err(shown) = error {
            prop_assert!(!shown.is_empty());
        }
    }
}

/// Lines that are nearly right.
fn line() -> impl Strategy<Value = String> {
    let keys: Vec<&str> = schema::TABLES.iter().flat_map(|keys| keys.known.iter().copied()).collect();
    let values = prop::sample::select(vec![
        "1",
        "0.5",
        "-1",
        "true",
        "\"a\"",
        "\"\"",
        "\"/a\"",
        "\"30s\"",
        "\"é/*\"",
        "[]",
        "[\"a\", \"b/c\"]",
        "{}",
        "{ a = \"/b\" }",
        "{ api = [\"x\"] }",
        "[[1], {}]",
        "2020-01-01",
        "99999999999999999999",
        "nan",
        "0x10",
    ]);
    let header = prop::sample::select(vec![
        "[services.api]",
        "[sites.web]",
        "[environments.staging]",
        "[services]",
        "[[services.api.checks]]",
        "[services.api.env]",
        "[services.\"\"]",
        "[sites.api]",
        "[jobs.cleanup]",
        "[previews]",
    ]);
    prop_oneof![
        4 => (prop::sample::select(keys), values).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => header.prop_map(str::to_owned),
    ]
}

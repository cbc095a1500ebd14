//! `redirects` and `edge` of `havre.toml`: what is understood, and the exact text of every refusal.

use havre_core::name::EnvironmentName;
use havre_core::route::settings::EdgeSpec;
use havre_manifest::parse;
use insta::assert_snapshot;

fn text(lines: &str) -> String {
    format!("project = \"p\"\n[services.api]\nimage = \"a:1\"\nport = 80\nhosts = [\"a.example\"]\n{lines}\n")
}

fn edge(lines: &str) -> EdgeSpec {
    let manifest = parse(&text(lines)).unwrap_or_else(|error| panic!("must be understood:\n{error}"));
    let spec = manifest.resolve(&EnvironmentName::production()).expect("as the test says").remove(0);
    // What stands in a row comes back as it was.
    let json = serde_json::to_string(&spec).expect("as the test says");
    assert_eq!(
        serde_json::from_str::<havre_core::service::spec::ServiceSpec>(&json).expect("as the test says"),
        spec
    );
    spec.edge
}

fn refused(lines: &str) -> String {
    parse(&text(lines)).expect_err("must be refused").to_string()
}

#[test]
fn a_service_without_settings_has_none_in_its_row() {
    let manifest = parse(&text("")).expect("as the test says");
    let spec = manifest.resolve(&EnvironmentName::production()).expect("as the test says").remove(0);
    assert!(!serde_json::to_string(&spec).expect("as the test says").contains("edge"));
}

#[test]
fn every_setting() {
    let spec = edge(
        r#"
redirects = { "www.a.example" = "https://a.example", "/old" = "/new", "/blog/*" = { to = "https://b.example/*", status = 302 } }
[services.api.edge]
strip_prefix = "/api"
request_headers = { set = { "X-Env" = "prod" }, add = { "X-Tag" = "one" }, remove = ["Cookie"] }
response_headers = { set = { "X-Frame-Options" = "DENY" } }
basic_auth = { realm = "Staff only", users = { ada = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhh" } }
allow = ["10.0.0.0/8", "2001:db8::/32"]
deny = ["10.0.0.7"]
rate_limit = [{ requests = 100, per = "1m", burst = 20 }, { requests = 5, by = "X-Api-Key" }]
max_body = "10MB"
max_head = "8KB"
timeouts = { connect = "1s", first_byte = "30s", total = "2m" }
compress = true
sticky = { cookie = "seat", max_age = "1d" }
cors = { origins = ["https://app.example"], methods = ["GET"], headers = ["Content-Type"], expose = ["X-Total"], credentials = true, max_age = "1h" }
error_pages = { "404" = "<h1>gone</h1>", "5xx" = "<h1>sorry</h1>", replace = true }
maintenance = { page = "<h1>soon</h1>", allow = ["192.0.2.1"] }
hold = "10s"
[services.api.edge.paths."/admin"]
rate_limit = { requests = 1 }
[services.api.edge.paths."/admin/open/"]
deny = ["192.0.2.0/24"]
"#,
    );
    assert_snapshot!("every_edge_setting", serde_json::to_string_pretty(&spec).expect("as the test says"));
    let admin = spec.section(&"/admin/open/x".parse().expect("as the test says")).expect("as the test says");
    assert_eq!(
        (admin.0.as_str(), admin.1.rate_limits[0].requests, admin.1.compress),
        ("/admin/open", 1, true)
    );
}

#[test]
fn hosts_that_lead_elsewhere_are_addresses_except_where_an_environment_has_its_own() {
    let text = text(
        "redirects = { \"www.a.example\" = \"https://a.example\" }\n[environments.staging]\nhosts = { api = [\"s.example\"] }",
    );
    let manifest = parse(&text).expect("as the test says");
    let hosts = |name: &str| {
        let spec =
            manifest.resolve(&name.parse().expect("as the test says")).expect("as the test says").remove(0);
        let routes: Vec<String> = spec.routes.iter().map(ToString::to_string).collect();
        (routes.join(" "), spec.edge.redirect_hosts.len())
    };
    assert_eq!(hosts("production"), ("a.example/ www.a.example/".to_owned(), 1));
    assert_eq!(hosts("staging"), ("s.example/".to_owned(), 0));
}

#[test]
fn redirects_that_cannot_be() {
    assert_snapshot!(refused(
        r#"
[services.api.redirects]
"a.example" = "https://b.example"
"www.a.example" = "/x"
"one.example" = "https://two.example"
"two.example" = "https://one.example"
"/a" = "/b"
"/b" = "/a"
"/x/*" = "/x/y/*"
"/c" = "//evil.example"
"/d" = { to = "/e", status = 200 }
"/f" = { status = 301 }
"/g" = "/h/*"
"/i*" = "/j"
"#
    ));
}

#[test]
fn settings_that_cannot_be() {
    assert_snapshot!(refused(
        r#"
[services.api.edge]
compres = true
gzip = true
response_headers = { set = { "Content-Length" = "1", "X-A" = "a\nb", "X-B" = "b" }, remove = ["X-B", "Host"], delete = [] }
basic_auth = { users = { ada = "secret" } }
allow = []
deny = ["10.0.0.1/8", "nowhere"]
rate_limit = { per = "1m" }
max_body = "0B"
timeouts = { total = "1ms" }
sticky = "yes"
cors = { origins = "*", credentials = true }
error_pages = { "200" = "x" }
hold = "31s"
[services.api.edge.paths."admin"]
[services.api.edge.paths."/admin"]
redirects = {}
"#
    ));
}

#[test]
fn settings_need_an_address_and_a_site_has_no_tasks() {
    let site = "project = \"p\"\n[sites.web]\nroot = \"dist\"\nhosts = [\"a.example/docs\"]\n[sites.web.edge]\nsticky = true\n[sites.web.edge.paths.\"/other\"]\n";
    assert_snapshot!(parse(site).expect_err("must be refused").to_string());
    let lonely = "project = \"p\"\n[services.api]\nimage = \"a:1\"\nedge = { compress = true }\n";
    assert_snapshot!(parse(lonely).expect_err("must be refused").to_string());
}

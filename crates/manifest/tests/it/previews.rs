//! `[previews]` of `havre.toml`: what the preview of a pull request is made of, and what cannot be said.

use havre_core::preview::Policy;
use havre_core::quantity::{ByteSize, Span};
use havre_core::service::spec::{ServiceSpec, Work};
use havre_manifest::{Manifest, parse};
use insta::assert_snapshot;
use serde_json::{Value, json};

const SERVICES: &str = r#"project = "shop"
[services.api]
image = "api:1"
port = 3000
hosts = ["shop.example/api"]
replicas = 4
memory = "1GB"
bake = "10m"
canary = { percent = 10 }
env = { A = "1", B = "1", C = "1" }
[services.api.redirects]
"www.shop.example" = "https://shop.example"
[services.api.edge.paths."/api/open"]
compress = true
response_headers = { add = { "X-Robots-Tag" = "all" } }
[services.worker]
image = "worker:1"
replicas = 0
[sites.web]
root = "dist"
hosts = ["shop.example"]
[sites.web.cdn]
tags = "cache-tag"
[jobs.cleanup]
service = "api"
command = ["cleanup"]
[environments.staging]
branch = "develop"
hosts = { api = ["staging.shop.example/api"] }
env = { api = { B = "2", C = "2" } }
"#;

fn manifest(previews: &str) -> Manifest {
    parse(&format!("{SERVICES}{previews}")).unwrap_or_else(|error| panic!("must be understood:\n{error}"))
}

fn resolved(head: &Manifest, base: &Manifest) -> Vec<ServiceSpec> {
    let previews = base.previews().expect("there are previews");
    let (number, branch) = ("7".parse().expect("a number"), "Feature/Log_in".parse().expect("a branch"));
    head.resolve_preview(previews, number, &branch).expect("can be made")
}

fn one<'s>(specs: &'s [ServiceSpec], name: &str) -> &'s ServiceSpec {
    specs.iter().find(|spec| spec.name.as_str() == name).expect("is in the file")
}

fn refused(previews: &str) -> String {
    parse(&format!("{SERVICES}{previews}")).expect_err("must be refused").to_string()
}

#[test]
fn a_preview_has_hosts_of_its_own_and_is_small() {
    let file = manifest(
        r#"[previews]
hosts = { api = "{number}.preview.shop.example/api", web = ["{number}.preview.shop.example", "{branch}-{number}.preview.shop.example"] }
from = "staging"
env = { api = { C = "3", D = "3" } }
memory = { api = "256MB" }
"#,
    );
    let expected = Policy { forks: false, max: 5, ttl: Span::seconds(7 * 86_400) };
    assert_eq!(file.previews().expect("there are previews").policy(), expected);
    let specs = resolved(&file, &file);
    let routes =
        |name: &str| -> Vec<String> { one(&specs, name).routes.iter().map(ToString::to_string).collect() };
    assert_eq!(routes("api"), ["7.preview.shop.example/api"]);
    assert_eq!(routes("web"), ["7.preview.shop.example/", "feature-log-in-7.preview.shop.example/"]);
    assert_eq!(routes("worker"), Vec::<String>::new());
    let api = one(&specs, "api");
    let work = api.tasks().expect("runs tasks");
    assert_eq!((work.replicas, work.memory), (1, ByteSize::mebibytes(256)));
    assert_eq!((work.canary.clone(), work.bake), (None, Span::seconds(0)), "somebody waits");
    assert_eq!(one(&specs, "worker").replicas(), 0, "what is off stays off");
    let env: Value = serde_json::to_value(&work.env).expect("JSON");
    assert_eq!(env, json!({ "A": "1", "B": "2", "C": "3", "D": "3" }));
    assert!(api.jobs.is_empty() && api.edge.redirect_hosts.is_empty());
    let Work::Site(web) = &one(&specs, "web").work else { panic!("is a site") };
    assert_eq!(web.settings.cdn, None, "the CDN is another host's");
    for settings in api.edge.paths.values().chain([&api.edge.settings, &one(&specs, "web").edge.settings]) {
        let headers = serde_json::to_value(&settings.response_headers).expect("JSON");
        assert_eq!(headers, json!({ "set": { "x-robots-tag": "noindex" } }));
    }
    assert!(api.edge.paths.values().all(|settings| settings.compress), "the rest is as it was");
}

#[test]
fn policy_comes_from_the_base_branch_and_services_from_the_pull_request() {
    let base =
        manifest("[previews]\nhosts = { web = \"{number}.preview.shop.example\" }\nmax = 2\nttl = \"1d\"\n");
    let head = manifest(
        "[services.extra]\nimage = \"extra:1\"\nport = 1\nhosts = [\"login.shop.example\"]\n\
         [previews]\nhosts = { extra = \"{number}.login.shop.example\" }\nforks = true\nmax = 50\njobs = true\n\
         replicas = { extra = 9 }\n",
    );
    let expected = Policy { forks: false, max: 2, ttl: Span::seconds(86_400) };
    assert_eq!(base.previews().expect("there are previews").policy(), expected);
    let specs = resolved(&head, &base);
    let extra = one(&specs, "extra");
    assert_eq!((extra.routes.len(), extra.replicas()), (0, 1), "a host of its own choice is not given");
    assert_eq!(one(&specs, "web").routes.len(), 1);
    assert!(one(&specs, "api").jobs.is_empty());
    let with_jobs = manifest("[previews]\njobs = true\nreplicas = { api = 2 }\nforks = true\n");
    let specs = resolved(&head, &with_jobs);
    assert_eq!((one(&specs, "api").jobs.len(), one(&specs, "api").replicas()), (1, 2));
    assert_eq!(manifest("").previews(), None);
}

#[test]
fn a_pull_request_without_the_environment_it_is_made_from_says_so() {
    let base = manifest("[previews]\nfrom = \"staging\"\n");
    let head = parse("project = \"shop\"\n[services.api]\nimage = \"api:1\"\n").expect("is understood");
    let previews = base.previews().expect("there are previews");
    let (number, branch) = ("7".parse().expect("a number"), "x".parse().expect("a branch"));
    let error = head.resolve_preview(previews, number, &branch).expect_err("has no staging").to_string();
    assert!(error.starts_with("havre.toml has no environment `staging`"), "{error}");
    let base = manifest("[previews]\nfrom = \"production\"\n");
    let previews = base.previews().expect("there are previews");
    assert_eq!(head.resolve_preview(previews, number, &branch).expect("needs no table").len(), 1);
}

#[test]
fn what_cannot_be_said_of_previews() {
    let rows = [
        ("hots = {}", "did you mean `hosts`?"),
        ("allow_forks = true", "did you mean `forks`?"),
        (
            "hosts = { web = \"preview.shop.example\" }",
            "`previews.hosts.web`: a host of previews holds {number} once",
        ),
        ("hosts = { web = \"{branch}.shop.example\" }", "so that no two previews share it"),
        ("hosts = { web = \"{number}{branch}.shop.example\" }", "put a - or a . between"),
        ("hosts = { web = \"{number}.{nr}.example\" }", "the placeholders are {number} and {branch}"),
        ("hosts = { web = \"{number}.Shop.example\" }", "such as 7.Shop.example, it is not a host"),
        ("hosts = { web = 7 }", "expected a host in quotes with {number} in it"),
        ("hosts = { wep = \"{number}.shop.example\" }", "did you mean `web`?"),
        ("hosts = { worker = \"{number}.shop.example\" }", "needs `port` of services.worker"),
        ("hosts = { web = [\"{number}.a.example\", \"{number}.a.example\"] }", "is taken on line"),
        ("from = \"stagin\"", "did you mean \"staging\"?"),
        ("max = 0", "`previews.max` must be a whole number between 1 and 50"),
        ("ttl = \"10m\"", "`previews.ttl` must be between 1h and 90d"),
        ("forks = \"yes\"", "expected true or false, without quotes"),
        ("memory = { api = \"1KB\" }", "`previews.memory.api` is 1KB, the least is 6MB"),
        ("memory = { web = \"256MB\" }", "web is a site, which runs no tasks"),
        ("replicas = { api = 51 }", "`previews.replicas.api` must be a whole number between 0 and 50"),
        ("env = { api = { PORT = \"1\" } }", "Havre sets this variable itself"),
        ("databases = {}", "needs a later version of Havre"),
    ];
    for (line, expected) in rows {
        let found = refused(&format!("[previews]\n{line}\n"));
        assert!(found.contains(expected), "{line}: {found}");
        assert_eq!(found.matches(", column ").count(), 1, "one problem each: {found}");
    }
    assert_snapshot!(refused("[environments.pr-7]\nbranch = \"x\"\n"), @r"
    line 31, column 15: `pr-7` is the environment of the preview of a pull request
      31 | [environments.pr-7]
         |               ^^^^
      choose another name
    ");
    let volume = "project = \"p\"\n[services.a]\nimage = \"a\"\nvolumes = { data = \"/data\" }\n[previews]\nreplicas = { a = 2 }\n";
    let found = parse(volume).expect_err("must be refused").to_string();
    assert!(found.contains("two writers would damage it"), "{found}");
}

//! `[services.<name>.test]`, `paths` and `paths_ignore` of `havre.toml`: what is understood, and what is refused.

use havre_core::name::ServiceName;
use havre_manifest::{Manifest, parse};
use serde_json::{Value, json};

fn understood(text: &str) -> Manifest {
    parse(text).unwrap_or_else(|error| panic!("must be understood:\n{error}"))
}

fn name(text: &str) -> ServiceName {
    text.parse().expect("is a name")
}

/// The test of `api` with these lines.
fn test(lines: &str) -> Value {
    let text = format!(
        "project = \"shop\"\n[services.api]\ndockerfile = \"Dockerfile\"\n[services.api.test]\n{lines}\n"
    );
    serde_json::to_value(understood(&text).test(&name("api"))).expect("JSON")
}

/// What is said of a service with these lines.
fn refused(lines: &str) -> String {
    let text = format!("project = \"shop\"\n[services.api]\n{lines}\n");
    parse(&text).expect_err("must be refused").to_string()
}

#[test]
fn a_test_is_a_stage_a_command_or_both() {
    assert_eq!(test("target = \"test\""), json!({ "target": "test", "timeout": "10m", "memory": "1GB" }));
    assert_eq!(
        test(
            "command = [\"npm\", \"test\"]\nenv = { DATABASE = \"memory\" }\ntimeout = \"1h\"\nmemory = \"2GB\""
        ),
        json!({ "command": ["npm", "test"], "env": { "DATABASE": "memory" }, "timeout": "1h", "memory": "2GB" })
    );
    let both = test("target = \"dev\"\ncommand = [\"npm\", \"test\"]");
    assert_eq!((&both["target"], &both["command"]), (&json!("dev"), &json!(["npm", "test"])));
}

#[test]
fn a_service_whose_dockerfile_havre_writes_has_a_command() {
    let text = "project = \"shop\"\n[services.api]\nport = 3000\n[services.api.test]\ncommand = [\"npm\", \"test\"]\n";
    assert!(understood(text).test(&name("api")).is_some());
    let told = refused("test = { target = \"test\" }");
    assert!(
        told.contains("`services.api.test.target` is a stage of a Dockerfile, and Havre writes that itself"),
        "{told}"
    );
}

#[test]
fn a_test_has_the_databases_it_names_as_the_file_describes_them() {
    let text = r#"
project = "shop"
[services.api]
dockerfile = "Dockerfile"
[services.api.test]
command = ["npm", "test"]
databases = ["cache", "db"]
[databases.db]
engine = "postgres"
version = 16
[databases.cache]
engine = "redis"
[databases.other]
engine = "valkey"
"#;
    let manifest = understood(text);
    let databases = &manifest.test(&name("api")).expect("has a test").databases;
    let named: Vec<String> =
        databases.iter().map(|one| format!("{} {}", one.name, one.reference())).collect();
    assert_eq!(named, ["cache redis:7", "db postgres:16"], "in the order of the test");
    // A service uses none because its tests have some.
    let specs = manifest.resolve(&"production".parse().expect("a name")).expect("is there");
    assert_eq!(specs[0].uses().len(), 0);
    let own = text.replace("databases = [", "env = { DATABASE_URL = \"x\" }\ndatabases = [");
    let told = parse(&own).expect_err("must be refused").to_string();
    assert!(told.contains("`services.api.test` sets DATABASE_URL itself"), "{told}");
}

#[test]
fn tests_and_paths_are_no_part_of_a_specification() {
    let plain = "project = \"shop\"\n[services.api]\ndockerfile = \"Dockerfile\"\n";
    let more = format!("{plain}paths = [\"apps/api\"]\n[services.api.test]\ntarget = \"test\"\n");
    let specs =
        |text: &str| understood(text).resolve(&"production".parse().expect("a name")).expect("is there");
    assert_eq!(specs(plain), specs(&more), "a release does not change with its tests");
    assert_eq!(understood(plain).test(&name("api")), None);
    assert_eq!(understood(plain).paths(&name("api")), None);
}

#[test]
fn what_a_test_cannot_say_is_refused() {
    for (lines, words) in [
        ("dockerfile = \"Dockerfile\"\n[services.api.test]", "`services.api.test` does not say what is run"),
        ("image = \"api:1\"\ntest = { command = [\"a\"] }", "this one runs a finished image"),
        (
            "dockerfile = \"Dockerfile\"\ntest = { command = \"npm test\" }",
            "is one text, expected a list of words",
        ),
        ("dockerfile = \"Dockerfile\"\ntest = { command = [] }", "a command is a list of 1 to 256 words"),
        ("dockerfile = \"Dockerfile\"\ntest = { target = \"a b\" }", "is not a valid build stage"),
        (
            "dockerfile = \"Dockerfile\"\ntest = { target = \"test\", memory = \"2GB\" }",
            "`services.api.test.memory` is about `command`, and here is none",
        ),
        (
            "dockerfile = \"Dockerfile\"\ntest = { target = \"test\", timeout = \"2h\" }",
            "`services.api.test.timeout` must be between 1s and 1h",
        ),
        (
            "dockerfile = \"Dockerfile\"\ntest = { target = \"test\", databases = {} }",
            "the steps of a stage run inside of the build, where no database can be reached",
        ),
        (
            "dockerfile = \"Dockerfile\"\ntest = { command = [\"a\"], databases = [\"db\"] }",
            "`db` is no database of this file",
        ),
        (
            "dockerfile = \"Dockerfile\"\ntest = { command = [\"a\"], databases = [\"db\", \"db\"] }",
            "`services.api.test.databases`: db is named twice",
        ),
        (
            "dockerfile = \"Dockerfile\"\ntest = { command = [\"a\"], secrets = [\"A\"] }",
            "`secrets` of `services.api.test` needs a later version of Havre",
        ),
        (
            "dockerfile = \"Dockerfile\"\ntest = { command = [\"a\"], env = { HAVRE_X = \"1\" } }",
            "Havre sets this variable itself",
        ),
        ("dockerfile = \"Dockerfile\"\ntest = { stage = \"test\" }", "did you mean `target`?"),
    ] {
        let told = refused(lines);
        assert!(told.contains(words), "{lines}: {told}");
    }
    let site = "project = \"shop\"\n[sites.web]\nroot = \"dist\"\nhosts = [\"a.example\"]\ntest = { target = \"test\" }\n";
    let told = parse(site).expect_err("must be refused").to_string();
    assert!(told.contains("`test` of `sites.web` needs a later version of Havre"), "{told}");
}

#[test]
fn services_and_sites_name_the_paths_that_matter() {
    let text = r#"
project = "shop"
[services.api]
dockerfile = "apps/api/Dockerfile"
paths = ["apps/api/**", "packages"]
paths_ignore = ["**/*.md"]
[sites.web]
root = "dist"
hosts = ["a.example"]
paths_ignore = ["docs"]
"#;
    let manifest = understood(text);
    let is_concerned = |service: &str, path: &str| {
        manifest.paths(&name(service)).expect("has paths").is_concerned(&[path.to_owned()])
    };
    assert!(is_concerned("api", "packages/log/index.ts") && is_concerned("api", "apps/api/src/main.ts"));
    assert!(!is_concerned("api", "apps/web/main.ts") && !is_concerned("api", "apps/api/README.md"));
    assert!(is_concerned("web", "dist/index.html") && !is_concerned("web", "docs/index.md"));
}

#[test]
fn patterns_that_are_none_are_refused() {
    for (lines, words) in [
        ("image = \"a:1\"\npaths = []", "`services.api.paths` names no path"),
        ("image = \"a:1\"\npaths = \"apps\"", "expected a list of patterns"),
        ("image = \"a:1\"\npaths = [\"\"]", "is not a pattern"),
        ("image = \"a:1\"\npaths_ignore = [\"[\"]", "is not a pattern"),
    ] {
        let told = refused(lines);
        assert!(told.contains(words), "{lines}: {told}");
    }
}

#[test]
fn submodules_are_fetched_where_the_file_says_so() {
    let file =
        |source: &str| format!("project = \"shop\"\n{source}[services.api]\ndockerfile = \"Dockerfile\"\n");
    assert!(!understood(&file("")).has_submodules());
    assert!(!understood(&file("[source]\nsubmodules = false\n")).has_submodules());
    assert!(understood(&file("[source]\nsubmodules = true\n")).has_submodules());
    for (source, words) in [
        ("[source]\nsubmodules = \"yes\"\n", "`source.submodules` is"),
        ("[source]\nsubmodule = true\n", "did you mean `submodules`?"),
    ] {
        let told = parse(&file(source)).expect_err("must be refused").to_string();
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn contents_of_git_lfs_are_fetched_where_the_file_says_so() {
    let file =
        |source: &str| format!("project = \"shop\"\n{source}[services.api]\ndockerfile = \"Dockerfile\"\n");
    assert!(!understood(&file("")).has_lfs());
    assert!(!understood(&file("[source]\nlfs = false\n")).has_lfs());
    let both = understood(&file("[source]\nlfs = true\nsubmodules = true\n"));
    assert!(both.has_lfs() && both.has_submodules());
    assert!(!understood(&file("[source]\nlfs = true\n")).has_submodules());
    for (source, words) in [
        ("[source]\nlfs = \"yes\"\n", "`source.lfs` is"),
        ("[source]\ngit_lfs = true\n", "did you mean `lfs`?"),
    ] {
        let told = parse(&file(source)).expect_err("must be refused").to_string();
        assert!(told.contains(words), "{told}");
    }
}

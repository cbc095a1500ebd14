//! `[jobs.<name>]` of `havre.toml`: what is understood, and the exact text of every refusal.

use havre_core::name::EnvironmentName;
use havre_core::service::spec::ServiceSpec;
use havre_manifest::parse;
use insta::assert_snapshot;
use serde_json::{Value, json};

const SERVICES: &str = "\
project = \"shop\"
[services.api]
image = \"api:1\"
[services.mail]
image = \"mail:1\"
[sites.web]
root = \"dist\"
hosts = [\"shop.example\"]
";

fn resolved(jobs: &str, environment: &str) -> Vec<ServiceSpec> {
    let text = format!("{SERVICES}{jobs}");
    let manifest = parse(&text).unwrap_or_else(|error| panic!("must be understood:\n{error}"));
    manifest.resolve(&environment.parse::<EnvironmentName>().expect("a name")).expect("is in the file")
}

fn jobs(specs: &[ServiceSpec], service: &str) -> Value {
    let found = specs.iter().find(|spec| spec.name.as_str() == service).expect("is in the file");
    serde_json::to_value(found).expect("JSON").get("jobs").cloned().unwrap_or(Value::Null)
}

/// What is wrong with these lines of a job of `api`.
fn refused(lines: &str) -> String {
    let text = format!("{SERVICES}[jobs.cleanup]\n{lines}\n");
    parse(&text).expect_err("must be refused").to_string()
}

#[test]
fn a_job_belongs_to_its_service() {
    let specs = resolved(
        r#"
[jobs.cleanup]
service = "api"
schedule = "0  3 * * *"
command = ["node", "dist/cleanup.js"]

[jobs.report]
service = "api"
schedule = "@weekly"
timezone = "Europe/Paris"
command = ["report"]
timeout = "2h"
retries = 3
missed = "skip"
keep = 5

[jobs.reindex]
service = "mail"
command = ["reindex"]
"#,
        "production",
    );
    let expected = json!({
        "cleanup": {
            "schedule": "0 3 * * *", "command": ["node", "dist/cleanup.js"], "timeout": "1h", "retries": 0,
            "missed": "run_once", "keep": 20,
        },
        "report": {
            "schedule": "@weekly", "timezone": "Europe/Paris", "command": ["report"], "timeout": "2h", "retries": 3,
            "missed": "skip", "keep": 5,
        },
    });
    assert_eq!(jobs(&specs, "api"), expected);
    let by_hand = json!({
        "reindex": { "command": ["reindex"], "timeout": "1h", "retries": 0, "missed": "run_once", "keep": 20 },
    });
    assert_eq!(jobs(&specs, "mail"), by_hand);
    assert_eq!(jobs(&specs, "web"), Value::Null, "a service without jobs is stored as before");
}

#[test]
fn an_environment_leaves_jobs_out() {
    let text = r#"
[jobs.cleanup]
service = "api"
command = ["cleanup"]
[jobs.report]
service = "api"
command = ["report"]
[environments.staging]
jobs = { cleanup = false, report = true }
"#;
    let names = |environment: &str| {
        let specs = resolved(text, environment);
        let api = specs.into_iter().find(|spec| spec.name.as_str() == "api").expect("is in the file");
        api.jobs.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names("production"), ["cleanup", "report"]);
    assert_eq!(names("staging"), ["report"]);

    let wrong =
        format!("{SERVICES}{}", text.replace("cleanup = false, report = true", "clean = false, report = 1"));
    assert_snapshot!(parse(&wrong).expect_err("must be refused"), @r"
    line 17, column 10: `environments.staging.jobs.clean` names no job of this file
      17 | jobs = { clean = false, report = 1 }
         |          ^^^^^
      did you mean `cleanup`?

    line 17, column 34: `environments.staging.jobs.report` is a whole number, expected true or false, without quotes
      17 | jobs = { clean = false, report = 1 }
         |                                  ^
    ");
}

#[test]
fn a_schedule_that_is_wrong_is_marked_where_it_is_wrong() {
    assert_snapshot!(refused("service = \"api\"\ncommand = [\"x\"]\nschedule = \"0 25 * * *\""), @r#"
    line 12, column 15: `jobs.cleanup.schedule`: `0 25 * * *` is not a schedule: 25 is no hour: they go from 0 to 23
      12 | schedule = "0 25 * * *"
         |               ^^
      such as 3 or 8-18
    "#);
    assert_snapshot!(refused("service = \"api\"\ncommand = [\"x\"]\nschedule = \"@dayly\""), @r#"
    line 12, column 13: `jobs.cleanup.schedule`: `@dayly` is not a schedule: there is no such name
      12 | schedule = "@dayly"
         |             ^^^^^^
      names are: @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually
    "#);
    // What stands in the file in another form than it is read is marked as a whole.
    let escaped = refused("service = \"api\"\ncommand = [\"x\"]\nschedule = \"0 25 \\u002a * *\"");
    assert!(escaped.starts_with("line 12, column 12: "), "{escaped}");
}

#[test]
fn what_a_job_needs_and_what_it_cannot_have() {
    let rows = [
        ("command = [\"x\"]", "`jobs.cleanup` does not say of which service it is"),
        ("service = \"api\"", "`jobs.cleanup` does not say what runs"),
        ("service = \"apy\"\ncommand = [\"x\"]", "`apy` is no service of this file\n"),
        (
            "service = \"web\"\ncommand = [\"x\"]",
            "`jobs.cleanup.service`: web is a site, which runs no tasks",
        ),
        (
            "service = \"api\"\ncommand = \"rm -rf /\"",
            "`jobs.cleanup.command` is one text, expected a list of words",
        ),
        (
            "service = \"api\"\ncommand = [\"x\"]\nmissed = \"skip\"",
            "`jobs.cleanup.missed` means nothing without `schedule`",
        ),
        (
            "service = \"api\"\ncommand = [\"x\"]\nschedule = \"@daily\"\ntimezone = \"Europe/Pari\"",
            "there is no time zone `Europe/Pari`",
        ),
        (
            "service = \"api\"\ncommand = [\"x\"]\nschedule = \"@daily\"\nmissed = \"twice\"",
            "`jobs.cleanup.missed`: `twice` is none of its values",
        ),
        (
            "service = \"api\"\ncommand = [\"x\"]\nretries = 11",
            "`jobs.cleanup.retries` must be a whole number between 0 and 10",
        ),
        (
            "service = \"api\"\ncommand = [\"x\"]\ntimeout = \"8d\"",
            "`jobs.cleanup.timeout` must be between 1s and 7d",
        ),
        (
            "service = \"api\"\ncommand = [\"x\"]\nkeep = 0",
            "`jobs.cleanup.keep` must be a whole number between 1 and 1000",
        ),
        ("service = \"api\"\ncommand = [\"x\"]\ncron = \"@daily\"", "did you mean `schedule`?"),
        ("service = \"api\"\ncommand = [\"x\"]\noverlap = true", "`overlap` is not a key of `jobs.cleanup`"),
    ];
    for (lines, expected) in rows {
        let found = refused(lines);
        assert!(found.contains(expected), "{found}");
        assert_eq!(found.matches(", column ").count(), 1, "one problem each: {found}");
    }
    let text = format!("{SERVICES}[jobs.\"Clean up\"]\nservice = \"api\"\ncommand = [\"x\"]\n");
    let found = parse(&text).expect_err("must be refused").to_string();
    assert!(found.contains("is not a valid job name"), "{found}");
}

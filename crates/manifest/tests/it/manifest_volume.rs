//! `volumes` of a service with what is promised for them: what is understood, and what is said of what is not.

use havre_core::backup::policy::{BackupPolicy, VolumeMode};
use havre_core::quantity::Span;
use havre_core::service::spec::VolumeSpec;
use havre_manifest::parse;

fn text(volumes: &str) -> String {
    format!("project = \"shop\"\n[services.api]\nimage = \"api:1\"\nvolumes = {volumes}\n")
}

fn understood(volumes: &str) -> Vec<VolumeSpec> {
    let manifest = parse(&text(volumes)).unwrap_or_else(|error| panic!("must be understood:\n{error}"));
    let services = manifest.resolve(&"production".parse().expect("a name")).expect("is in the file");
    services[0].tasks().expect("it has tasks").volumes.clone()
}

fn refused(volumes: &str) -> String {
    parse(&text(volumes)).expect_err("must be refused").to_string()
}

#[test]
fn a_path_alone_promises_nothing() {
    let found = understood("{ data = \"/data\" }");
    assert_eq!((found[0].path.as_str(), &found[0].backup), ("/data", &None));
    assert_eq!(understood("{ data = { path = \"/data\" } }"), found);
    assert_eq!(understood("{ data = { path = \"/data\", backup = false } }"), found);
}

#[test]
fn what_is_promised_is_complete() {
    let found = understood("{ data = { path = \"/data\", backup = true } }");
    let backup = found[0].backup.clone().expect("it is saved");
    assert_eq!((backup.mode, backup.policy), (VolumeMode::Plain, BackupPolicy::of_postgres()));
    let found = understood(
        "{ data = { path = \"/data\", backup = { mode = \"pause\", every = \"6h\", keep = { last = 3 }, targets = [\"disk\"] } } }",
    );
    let backup = found[0].backup.clone().expect("it is saved");
    assert_eq!((backup.mode, backup.policy.every), (VolumeMode::Pause, Span::seconds(6 * 3600)));
    assert_eq!((backup.policy.keep.last, backup.policy.keep.daily), (3, 0));
    assert_eq!(backup.policy.targets.len(), 1);
}

#[test]
fn what_is_wrong_is_said() {
    for (volumes, why) in [
        ("{ data = { backup = true } }", "has no `path`"),
        (
            "{ data = { path = \"/data\", backup = { mode = \"stop\" } } }",
            "does not stop a service to save its volume yet",
        ),
        (
            "{ data = { path = \"/data\", backup = { mode = \"freeze\" } } }",
            "`freeze` is no way to read a volume",
        ),
        ("{ data = { path = \"/data\", backup = { every = \"1m\" } } }", "every"),
        ("{ data = { path = \"/data\", backup = { keep = {} } } }", "keeps nothing"),
        ("{ data = { path = \"/data\", size = \"1GB\" } }", "size"),
        ("{ data = { path = \"/\" } }", "belongs to the system of every task"),
    ] {
        let said = refused(volumes);
        assert!(said.contains(why), "{volumes}: {said}");
    }
}

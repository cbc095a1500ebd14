//! The status of a commit, at each forge.

use havre_core::pipeline::status::CommitStatus;
use havre_core::source::forge::Forge;
use havre_forge::status::{Note, tell};
use serde_json::{Value, json};

use crate::{head, repository};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const LINK: &str = "https://havre.example.org/v1/pipelines/i7";

fn body(forge: Forge, status: CommitStatus, line: &str, link: Option<&str>) -> Value {
    let (commit, reference, environment) = (
        COMMIT.parse().expect("is a commit"),
        "refs/heads/feature/x".parse().expect("is a ref"),
        "production".parse().expect("is a name"),
    );
    let note = Note { commit: &commit, reference: &reference, environment: &environment, status, line, link };
    let call = tell(&repository(forge), &note);
    let (line, headers) = head(&call);
    let expected = match forge {
        Forge::GitHub => (
            format!("POST https://api.github.com/repos/acme/shop/statuses/{COMMIT}"),
            vec![
                "accept: application/vnd.github+json".to_owned(),
                "x-github-api-version: 2022-11-28".to_owned(),
                "authorization: Bearer TOKEN".to_owned(),
            ],
        ),
        Forge::GitLab => (
            format!("POST https://gitlab.example.org/api/v4/projects/acme%2Fweb%2Fshop/statuses/{COMMIT}"),
            vec!["accept: application/json".to_owned(), "private-token: TOKEN".to_owned()],
        ),
        Forge::Gitea => (
            format!("POST https://codeberg.org/api/v1/repos/acme/shop/statuses/{COMMIT}"),
            vec!["accept: application/json".to_owned(), "authorization: token TOKEN".to_owned()],
        ),
        Forge::Bitbucket => (
            format!(
                "POST https://api.bitbucket.org/2.0/repositories/acme/shop/commit/{COMMIT}/statuses/build"
            ),
            vec!["accept: application/json".to_owned(), "authorization: Bearer TOKEN".to_owned()],
        ),
    };
    assert_eq!((line, headers), expected);
    call.body.expect("a status has a body")
}

#[test]
fn each_forge_has_fields_of_its_own() {
    let (line, link) = ("i7: users of production get this commit", Some(LINK));
    let success = |forge| body(forge, CommitStatus::Success, line, link);
    let github =
        json!({ "state": "success", "context": "havre/production", "description": line, "target_url": LINK });
    assert_eq!(success(Forge::GitHub), github);
    assert_eq!(success(Forge::Gitea), github);
    assert_eq!(
        success(Forge::GitLab),
        json!({
            "state": "success", "name": "havre/production", "description": line, "ref": "feature/x",
            "target_url": LINK,
        })
    );
    assert_eq!(
        success(Forge::Bitbucket),
        json!({
            "state": "SUCCESSFUL", "key": "havre/production", "name": "havre/production", "description": line,
            "url": LINK,
        })
    );
}

#[test]
fn without_a_link_none_is_sent_but_where_it_must_be() {
    for forge in [Forge::GitHub, Forge::GitLab, Forge::Gitea] {
        assert!(body(forge, CommitStatus::Pending, "", None).get("target_url").is_none(), "{forge}");
    }
    let bitbucket = body(Forge::Bitbucket, CommitStatus::Pending, "", None);
    assert_eq!(bitbucket["url"], json!(format!("https://bitbucket.org/acme/shop/commits/{COMMIT}")));
}

#[test]
fn states_have_other_names_everywhere() {
    let all = [
        CommitStatus::Pending,
        CommitStatus::Running,
        CommitStatus::Success,
        CommitStatus::Failure,
        CommitStatus::Cancelled,
    ];
    for (forge, states) in [
        (Forge::GitHub, ["pending", "pending", "success", "failure", "error"]),
        (Forge::GitLab, ["pending", "running", "success", "failed", "canceled"]),
        (Forge::Gitea, ["pending", "pending", "success", "failure", "error"]),
        (Forge::Bitbucket, ["INPROGRESS", "INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"]),
    ] {
        assert_eq!(
            all.map(|status| body(forge, status, "", None)["state"].clone()),
            states.map(Value::from),
            "{forge}"
        );
    }
}

#[test]
fn a_line_is_cut_where_the_forge_would_refuse_it() {
    let long = "é".repeat(400);
    let length = |forge| {
        let body = body(forge, CommitStatus::Failure, &long, None);
        body["description"].as_str().expect("is text").chars().count()
    };
    assert_eq!(Forge::ALL.map(length), [140, 255, 255, 255]);
}

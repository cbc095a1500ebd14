//! The one comment of a pull request, at each forge.

use havre_core::source::forge::Forge;
use havre_decide::preview::comment::CommentId;
use havre_forge::comment::{Page, create, find, list, made, mark, update};
use serde_json::{Value, json};

use crate::{head, repository};

fn lines(forge: Forge) -> [String; 3] {
    let repository = repository(forge);
    let mark = mark(forge, "preview/web");
    let number = "12".parse().expect("is a number");
    let calls = [
        list(&repository, number, 2),
        create(&repository, number, &mark, "Hello"),
        update(&repository, number, CommentId(345), &mark, "Hello"),
    ];
    let text = format!("Hello\n\n{mark}\n");
    let body = match forge {
        Forge::Bitbucket => json!({ "content": { "raw": text } }),
        _ => json!({ "body": text }),
    };
    let bodies: Vec<Option<Value>> = calls.iter().map(|call| call.body.clone()).collect();
    assert_eq!(bodies, [None, Some(body.clone()), Some(body)], "{forge}");
    calls.map(|call| head(&call).0)
}

#[test]
fn where_comments_are() {
    let github = "https://api.github.com/repos/acme/shop/issues";
    assert_eq!(
        lines(Forge::GitHub),
        [
            format!("GET {github}/12/comments?per_page=100&page=2"),
            format!("POST {github}/12/comments"),
            format!("PATCH {github}/comments/345"),
        ]
    );
    let gitea = "https://codeberg.org/api/v1/repos/acme/shop/issues";
    assert_eq!(
        lines(Forge::Gitea),
        [
            format!("GET {gitea}/12/comments"),
            format!("POST {gitea}/12/comments"),
            format!("PATCH {gitea}/comments/345"),
        ]
    );
    let gitlab = "https://gitlab.example.org/api/v4/projects/acme%2Fweb%2Fshop/merge_requests/12/notes";
    assert_eq!(
        lines(Forge::GitLab),
        [
            format!("GET {gitlab}?per_page=100&page=2&order_by=created_at&sort=asc"),
            format!("POST {gitlab}"),
            format!("PUT {gitlab}/345"),
        ]
    );
    let bitbucket = "https://api.bitbucket.org/2.0/repositories/acme/shop/pullrequests/12/comments";
    assert_eq!(
        lines(Forge::Bitbucket),
        [
            format!("GET {bitbucket}?pagelen=100&page=2"),
            format!("POST {bitbucket}"),
            format!("PUT {bitbucket}/345"),
        ]
    );
}

#[test]
fn a_comment_that_was_made_says_its_number() {
    assert_eq!(made(br#"{"id":345,"body":"Hello"}"#), Some(CommentId(345)));
    for wrong in ["", "[]", "{}", r#"{"id":"345"}"#, r#"{"id":-1}"#] {
        assert_eq!(made(wrong.as_bytes()), None, "{wrong}");
    }
}

#[test]
fn the_mark_is_found() {
    for forge in Forge::ALL {
        let mark = mark(forge, "preview/web");
        let comment = |id: u64, text: &str| match forge {
            Forge::Bitbucket => json!({ "id": id, "content": { "raw": text }, "deleted": id == 2 }),
            _ => json!({ "id": id, "body": text }),
        };
        let page = |comments: Vec<Value>| match forge {
            Forge::Bitbucket => json!({ "values": comments, "next": "https://api.bitbucket.org/x" }),
            _ => json!(comments),
        };
        let search = |body: &Value| find(forge, body.to_string().as_bytes(), &mark);
        let ours = page(vec![comment(1, "Nice"), comment(7, &format!("Hello\n\n{mark}\n"))]);
        assert_eq!(search(&ours).map(|page| page.found), Ok(Some(CommentId(7))), "{forge}");
        let other = page(vec![comment(1, "havre preview/web"), comment(3, "")]);
        let has_more = forge == Forge::Bitbucket;
        assert_eq!(search(&other), Ok(Page { found: None, has_more }), "{forge}");
        let full = page((0..100).map(|id| comment(id + 10, "Nice")).collect());
        assert_eq!(search(&full).map(|page| page.has_more), Ok(forge != Forge::Gitea), "{forge}");
        for wrong in ["", "{}", "\"x\"", "{\"values\":1}"] {
            assert!(find(forge, wrong.as_bytes(), &mark).is_err(), "{forge} {wrong}");
        }
    }
    let mark = mark(Forge::Bitbucket, "x");
    let gone = json!({ "values": [{ "id": 2, "deleted": true, "content": { "raw": mark } }] });
    let page = find(Forge::Bitbucket, gone.to_string().as_bytes(), &mark);
    assert_eq!(page, Ok(Page { found: None, has_more: false }));
}

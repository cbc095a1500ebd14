//! `havre releases`. Tests at the end of the file.

use havre_api::release::{Release, ReleaseList};
use havre_core::artifact::Artifact;
use havre_core::name::ServiceName;
use havre_core::time::Timestamp;

use crate::exit::{CliError, Exit};
use crate::http::path;
use crate::invocation::Invocation;
use crate::output::{self, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Service; may be left out when the environment has only one
    service: Option<ServiceName>,
    /// Most entries
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let service = invocation.service(&client, &scope, options.service).await?;
    let target = path::query(&scope.service(&service, "/releases"), &[("limit", Some(&options.limit))]);
    let list: ReleaseList = client.get(&target).await?;
    if invocation.global.json {
        output::json(&list)?;
    } else {
        output::data(&render(&list.releases, time::now()))?;
    }
    Ok(Exit::Ok)
}

fn render(releases: &[Release], now: Timestamp) -> String {
    let mut rows = vec![table::row(["RELEASE", "", "MADE", "COMMIT", "ARTIFACT", "SIZE", "BUILD"])];
    for release in releases {
        let state = match (release.is_live, release.has_succeeded) {
            (true, _) => "live",
            (false, _) if release.files_removed => match release.artifact {
                Artifact::Site { .. } => "files removed",
                Artifact::Image { .. } => "image removed",
            },
            (false, true) => "",
            (false, false) => "never succeeded",
        };
        let commit: String = release.commit.chars().take(10).collect();
        let origin = match (&release.promoted_from, release.build) {
            (Some(from), _) => from.to_string(),
            (None, Some(build)) => build.to_string(),
            (None, None) => String::new(),
        };
        rows.push(table::row([
            &release.id.to_string(),
            state,
            &time::ago(release.created_at, now),
            &commit,
            &release.artifact.to_string(),
            &size(release),
            &origin,
        ]));
    }
    table::columns(&rows)
}

/// `180.3 MB +12.0 MB`: what it takes, and how much more that is than of the release before it.
fn size(release: &Release) -> String {
    let Some(bytes) = release.size_bytes else { return String::new() };
    let size = time::size(bytes);
    match release.size_change_bytes {
        Some(change) if change > 0 => format!("{size} +{}", time::size(change.unsigned_abs())),
        Some(change) if change < 0 => format!("{size} -{}", time::size(change.unsigned_abs())),
        _ => size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list() {
        let release = |id: &str, live: bool, succeeded: bool, at: &str| -> Release {
            serde_json::from_value(serde_json::json!({
                "id": id, "is_live": live, "has_succeeded": succeeded, "revision": 1, "build": "b4",
                "artifact": {"kind": "site", "digest": format!("sha256:{}", "a".repeat(64))},
                "spec": {"version": 1, "name": "web", "routes": [], "expose_release": true,
                    "work": {"kind": "site", "spa": true, "source": {"kind": "folder", "root": "dist"}}},
                "commit": "0123456789abcdef", "created_at": at,
            }))
            .expect("is a body")
        };
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        let mut list = [
            release("r9", false, false, "2026-11-24T11:59:00Z"),
            release("r8", true, true, "2026-11-24T11:00:00Z"),
            release("r7", false, true, "2026-11-20T11:00:00Z"),
            release("r6", false, true, "2026-11-20T11:00:00Z"),
        ];
        list[3].files_removed = true;
        (list[0].size_bytes, list[0].size_change_bytes) = (Some(150 << 20), Some(40 << 20));
        (list[1].size_bytes, list[1].size_change_bytes) = (Some(110 << 20), Some(-512));
        (list[2].size_bytes, list[2].build) = (Some((110 << 20) + 512), None);
        list[2].promoted_from =
            serde_json::from_value(serde_json::json!({ "environment": "staging", "release": "r5" }))
                .expect("is one");
        insta::assert_snapshot!(render(&list, now), @r"
        RELEASE                   MADE    COMMIT      ARTIFACT           SIZE               BUILD
        r9       never succeeded  1m ago  0123456789  site aaaaaaaaaaaa  150.0 MB +40.0 MB  b4
        r8       live             1h ago  0123456789  site aaaaaaaaaaaa  110.0 MB -512 B    b4
        r7                        4d ago  0123456789  site aaaaaaaaaaaa  110.0 MB           r5 of staging
        r6       files removed    4d ago  0123456789  site aaaaaaaaaaaa                     b4
        ");
    }
}

//! Which services of a commit are left as they are, because none of the paths that changed is theirs. Tests at the end of the file.
//!
//! In doubt a service is built: without a live release, where its configuration differs from that of the live one, where the commit
//! of that is not known or not there any more, and where too much has changed to be listed.

use havre_core::glob::Paths;
use havre_core::release::Release;
use havre_core::service::spec::{ImageSource, ServiceSpec, SiteSource, Work};
use havre_core::source::CommitId;

/// The commit whose changes up to the new one decide; `None` where the service is built whatever has changed.
pub fn compared_with(spec: &ServiceSpec, live: Option<&Release>) -> Option<CommitId> {
    let live = live.filter(|live| live.spec == *spec)?;
    live.commit.parse().ok()
}

/// Why a service is left as it is, for people; `None` where it is built. `changed` are the paths that differ between the commit of
/// the live release, `from`, and the new one; `None` where nobody can tell.
pub fn untouched(
    spec: &ServiceSpec,
    paths: &Paths,
    from: &CommitId,
    changed: Option<&[String]>,
) -> Option<String> {
    let changed = changed?;
    let is_dockerfile = |path: &String| dockerfile(spec).is_some_and(|dockerfile| dockerfile == path);
    if paths.is_concerned(changed) || changed.iter().any(is_dockerfile) {
        return None;
    }
    let from = from.short();
    Some(match changed.len() {
        0 => format!("nothing has changed since {from}, which is live"),
        1 => format!("the one path that changed since {from}, which is live, is not among its `paths`"),
        count => {
            format!(
                "none of the {count} paths that changed since {from}, which is live, is among its `paths`"
            )
        }
    })
}

/// The Dockerfile that `havre.toml` names: nobody has to name it twice.
fn dockerfile(spec: &ServiceSpec) -> Option<&str> {
    let source = match &spec.work {
        Work::Tasks(work) => match &work.source {
            ImageSource::Dockerfile(source) => source,
            ImageSource::Image { .. } => return None,
        },
        Work::Site(site) => match &site.source {
            SiteSource::Dockerfile { build, .. } => build,
            SiteSource::Folder { .. } => return None,
        },
    };
    source.written_for.is_none().then(|| source.dockerfile.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn spec(spa: bool) -> ServiceSpec {
        serde_json::from_value(serde_json::json!({
            "version": 1, "name": "web", "routes": [], "expose_release": true,
            "work": { "kind": "site", "spa": spa, "source": {
                "kind": "dockerfile", "context": ".", "dockerfile": "deploy/web.Dockerfile", "target": null, "args": {},
                "output": "/site",
            } },
        }))
        .expect("is a specification")
    }

    fn release(spec: ServiceSpec, commit: &str) -> Release {
        let digest = "a".repeat(64);
        let mut json = serde_json::json!({
            "id": "r1", "service": "s1", "artifact": { "kind": "site", "digest": format!("sha256:{digest}") },
            "revision": 1, "build": null, "commit": commit, "created_at": "2026-11-24T10:00:00Z",
        });
        json["spec"] = serde_json::to_value(spec).expect("JSON");
        serde_json::from_value(json).expect("is a release")
    }

    #[test]
    fn only_a_live_release_of_the_same_configuration_is_compared_with() {
        let commit: Option<CommitId> = Some(COMMIT.parse().expect("is a commit"));
        assert_eq!(compared_with(&spec(false), Some(&release(spec(false), COMMIT))), commit);
        assert_eq!(compared_with(&spec(true), Some(&release(spec(false), COMMIT))), None);
        assert_eq!(compared_with(&spec(false), Some(&release(spec(false), "v1.2"))), None);
        assert_eq!(compared_with(&spec(false), None), None);
    }

    #[test]
    fn a_service_is_left_where_nothing_of_it_has_changed() {
        let paths = Paths { include: vec!["apps/web".parse().expect("is a pattern")], exclude: Vec::new() };
        let from: CommitId = COMMIT.parse().expect("is a commit");
        let decide = |changed: Option<&[&str]>| {
            let changed: Option<Vec<String>> =
                changed.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
            untouched(&spec(false), &paths, &from, changed.as_deref())
        };
        assert_eq!(decide(None), None);
        assert_eq!(decide(Some(&["apps/web/a.ts", "apps/api/a.ts"])), None);
        assert_eq!(decide(Some(&["deploy/web.Dockerfile"])), None, "its Dockerfile is always its own");
        let text = |changed: &[&str]| decide(Some(changed)).expect("is left");
        assert_eq!(text(&[]), "nothing has changed since 0123456789ab, which is live");
        assert_eq!(
            text(&["apps/api/a.ts"]),
            "the one path that changed since 0123456789ab, which is live, is not among its `paths`"
        );
        assert_eq!(
            text(&["apps/api/a.ts", "README.md"]),
            "none of the 2 paths that changed since 0123456789ab, which is live, is among its `paths`"
        );
    }
}

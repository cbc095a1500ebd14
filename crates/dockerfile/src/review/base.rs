//! Rules about base images: a build of next year should begin where the one of today began.

use crate::file::{Instruction, Stage};
use crate::review::Findings;
use crate::review::quote::{plain, quote};
use crate::review::subject::{Subject, image_name};

/// Parts of tags that name no version. A tag made of nothing else moves by itself.
const MOVING: [&str; 16] = [
    "alpine", "current", "dev", "edge", "latest", "lts", "main", "mainline", "master", "nightly", "nonroot",
    "rolling", "slim", "stable", "testing", "unstable",
];

/// Versions to name where there is none: what is supported for long at the time of writing.
const VERSIONS: [(&str, &str); 16] = [
    ("alpine", "3.22"),
    ("caddy", "2.10-alpine"),
    ("composer", "2.8"),
    ("debian", "bookworm-slim"),
    ("eclipse-temurin", "21-jre"),
    ("golang", "1.25-bookworm"),
    ("httpd", "2.4-alpine"),
    ("nginx", "1.28-alpine"),
    ("node", "22-bookworm-slim"),
    ("oven/bun", "1.2-slim"),
    ("php", "8.4-fpm"),
    ("postgres", "17"),
    ("python", "3.13-slim-bookworm"),
    ("ruby", "3.4-slim-bookworm"),
    ("rust", "1.90-bookworm"),
    ("ubuntu", "24.04"),
];

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for stage in subject.stages.iter().filter(|stage| stage.parent.is_none()) {
        let Some(image) = stage.resolved.as_deref().filter(|image| is_pullable(image)) else { continue };
        if image.contains('@') {
            continue;
        }
        // `distroless/nodejs22-debian12` has its version in its name.
        let has_version = image_name(image).contains(|c: char| c.is_ascii_digit());
        match tag(image) {
            None if !has_version => unpinned(stage, image, "has no tag, which means `latest`", findings),
            Some(tag) if !has_version && tag.split('-').all(|part| MOVING.contains(&part)) => {
                let why = format!("has the tag {}, which names no version", quote(tag));
                unpinned(stage, image, &why, findings);
            }
            _ => {
                let message =
                    format!("{} is moved to a newer image now and then; a digest never moves", quote(image));
                let fix = format!(
                    "where builds must not differ: {}",
                    line(stage, &format!("{image}@sha256:<digest>"))
                );
                findings.note("base-digest", stage.from.line, message, fix);
            }
        }
    }
}

/// Whether it is an image at all.
fn is_pullable(image: &str) -> bool {
    !image.is_empty() && !image.eq_ignore_ascii_case("scratch")
}

/// What stands behind the last colon, unless that is the port of a registry.
fn tag(image: &str) -> Option<&str> {
    let (_, tag) = image.rsplit_once(':')?;
    (!tag.contains('/')).then_some(tag)
}

fn unpinned(stage: &Stage<'_>, image: &str, why: &str, findings: &mut Findings) {
    let name = image_name(image);
    let version =
        VERSIONS.iter().find(|(known, _)| *known == name).map_or("<version>", |(_, version)| *version);
    let untagged = tag(image).map_or(image, |tag| &image[..image.len() - tag.len() - 1]);
    let message = format!("{} {why}: the next build may begin from another version", quote(image));
    let fix = format!("name a version, such as {}", line(stage, &format!("{untagged}:{version}")));
    findings.warning("base-unpinned", stage.from.line, message, fix);
}

/// The `FROM` of a stage with another image.
fn line(stage: &Stage<'_>, image: &str) -> String {
    let platform = match platform(stage.from) {
        Some(platform) => format!("--platform={} ", plain(platform)),
        None => String::new(),
    };
    let name = match &stage.name {
        Some(name) => format!(" AS {}", plain(name)),
        None => String::new(),
    };
    format!("FROM {platform}{}{name}", plain(image))
}

fn platform(from: &Instruction) -> Option<&str> {
    from.flag("platform").filter(|platform| !platform.is_empty())
}

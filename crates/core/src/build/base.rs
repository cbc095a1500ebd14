//! Base images of a build, with the digest a tag meant then: read from the names BuildKit gives its steps, such as
//! `[1/4] FROM docker.io/library/node:22@sha256:…`. Tests at the end of the file.

use crate::artifact::ImageRef;

/// Most base images that are remembered of one build; a Dockerfile has a few.
pub const BASES_MAX: usize = 50;

/// The base image a step fetches, pinned by digest; `None` for every other step, and where the digest is not told: an image that
/// only this machine has.
pub fn resolved(step: &str) -> Option<ImageRef> {
    let words = match step.strip_prefix('[') {
        Some(rest) => rest.split_once("] ")?.1,
        None => step,
    };
    let name = words.strip_prefix("FROM ")?.split(' ').next()?;
    if !name.contains("@sha256:") {
        return None;
    }
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_that_fetch_a_pinned_image_name_one() {
        let pinned = format!("docker.io/library/node:22@sha256:{}", "a".repeat(64));
        for step in [
            format!("[1/4] FROM {pinned}"),
            format!("[linux/arm64 build 1/7] FROM {pinned}"),
            format!("FROM {pinned}"),
        ] {
            assert_eq!(resolved(&step).map(|image| image.to_string()), Some(pinned.clone()), "{step}");
        }
        for step in [
            "",
            "[1/2] FROM docker.io/library/node:22",
            "[1/2] FROM docker.io/library/node:22@sha256:12",
            "[2/4] RUN echo FROM x@sha256:1",
            "[internal] load metadata for docker.io/library/node:22",
            "[1/2",
        ] {
            assert_eq!(resolved(step), None, "{step}");
        }
    }
}

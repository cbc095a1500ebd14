//! Trims BuildKit's cache to a budget. Docker chooses what goes: what was used longest ago, and nothing that a build uses.
//! Images are not touched. Tests at the end of the file.

use std::time::Duration;

use bollard::query_parameters::PruneBuildOptionsBuilder;
use bollard::{BollardRequest, Docker};
use havre_core::quantity::ByteSize;

use super::image::from_docker;
use crate::builder::BuildError;

/// Longest wait: a large cache is many files.
const TRIM_MAX: Duration = Duration::from_secs(600);

/// What the client library calls the budget.
const NEW_NAME: &str = "reserved-space=";
/// What Docker called it before API 1.48; later ones take either.
const OLD_NAME: &str = "keep-storage=";

/// Trims, and answers what was freed.
pub(super) async fn trim(docker: &Docker, budget: ByteSize) -> Result<ByteSize, BuildError> {
    let what = "trim the cache of builds";
    let docker = docker.clone().with_request_modifier(by_either_name);
    let bytes = i64::try_from(budget.as_bytes()).unwrap_or(i64::MAX);
    let options = PruneBuildOptionsBuilder::default().reserved_space(bytes).build();
    let asked = tokio::time::timeout(TRIM_MAX, docker.prune_build(Some(options))).await;
    let answer = asked.map_err(|late| BuildError::failed(what, late))?;
    let answer = answer.map_err(|error| from_docker(what, error))?;
    let freed = answer.space_reclaimed.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
    Ok(ByteSize::bytes(freed))
}

/// Docker ignores what it does not know: without the name it knows, it would keep nothing at all.
fn by_either_name(mut request: BollardRequest) -> BollardRequest {
    if let Some(uri) = named_twice(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn named_twice(uri: &http::Uri) -> Option<http::Uri> {
    let text = uri.to_string();
    let (_, rest) = text.split_once(NEW_NAME)?;
    let digits = rest.split('&').next()?;
    format!("{text}&{OLD_NAME}{digits}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_docker_knows_the_budget() {
        let asked = "unix://2f646f636b6572/build/prune?reserved-space=10737418240";
        let uri = named_twice(&asked.parse().expect("is an address")).expect("has a budget");
        assert_eq!(uri.to_string(), format!("{asked}&keep-storage=10737418240"));
        assert_eq!(named_twice(&"unix://2f646f636b6572/info".parse().expect("is an address")), None);
    }
}

//! Paths of the API. Names have closed grammars, so that only free text needs escapes. Tests at the end of the file.

use std::fmt::{Display, Write as _};

use havre_core::name::{EnvironmentName, ProjectName, ServiceName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but what RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An environment.
pub(crate) fn environment(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("/v1/projects/{project}/environments/{environment}")
}

/// Something of a service; `rest` is empty or begins with a slash.
pub(crate) fn service(
    project: &ProjectName,
    environment_name: &EnvironmentName,
    service: &ServiceName,
    rest: &str,
) -> String {
    format!("{}/services/{service}{rest}", environment(project, environment_name))
}

/// Adds a query of the parameters that are there.
pub(crate) fn query(path: &str, parameters: &[(&str, Option<&dyn Display>)]) -> String {
    let mut text = path.to_owned();
    let mut separator = '?';
    for (key, value) in parameters {
        if let Some(value) = value {
            let value = value.to_string();
            let value = utf8_percent_encode(&value, ESCAPED);
            write!(text, "{separator}{key}={value}").expect("writing to a string cannot fail");
            separator = '&';
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_place() {
        let value = "a&b=c#d e/é";
        let text = query("/x", &[("one", Some(&1)), ("two", None), ("three", Some(&value))]);
        assert_eq!(text, "/x?one=1&three=a%26b%3Dc%23d%20e%2F%C3%A9");
    }
}

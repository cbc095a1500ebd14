//! What is known of Docker Hub and of no other registry: its names, and where it says how many pulls are left. The only place
//! that names its hosts. Tests at the end of the file.

use crate::quantity::Span;

/// The name image references give it. Those without a host mean it.
pub const HOST: &str = "docker.io";

/// Every name people and references have for it.
pub(super) const ALIASES: [&str; 5] =
    [HOST, "index.docker.io", "registry-1.docker.io", "hub.docker.com", "registry.hub.docker.com"];

/// How long each pull counts there.
pub const WINDOW: Span = Span::seconds(6 * 3600);

/// How Docker names it beside credentials.
pub const SERVER_ADDRESS: &str = "https://index.docker.io/v1/";

/// The host builds ask credentials for, and the one that answers requests.
pub const REGISTRY_HOST: &str = "registry-1.docker.io";

/// The host that gives tokens.
pub const TOKEN_HOST: &str = "auth.docker.io";

/// What is asked there: a token for reading the image below.
pub const TOKEN_TARGET: &str =
    "/token?service=registry.docker.io&scope=repository:ratelimitpreview/test:pull";

/// The manifest of the image it documents for asking about limits. A HEAD request for it counts as no pull.
pub const PREVIEW_TARGET: &str = "/v2/ratelimitpreview/test/manifests/latest";

#[cfg(test)]
mod tests {
    use crate::artifact::ImageRef;
    use crate::registry::RegistryHost;

    #[test]
    fn its_names_are_one() {
        for name in ["docker.io", "Docker.IO", "index.docker.io", "registry-1.docker.io", "hub.docker.com"] {
            assert_eq!(name.parse::<RegistryHost>(), Ok(RegistryHost::hub()), "{name}");
        }
        for reference in [
            "node",
            "node:22",
            "library/node",
            "team/app:1",
            "docker.io/library/node",
            "index.docker.io/team/app",
        ] {
            let reference: ImageRef = reference.parse().expect("a reference");
            assert!(RegistryHost::of(&reference).is_hub(), "{reference}");
        }
        for other in ["docker.io:443/a/b", "docker.io.example.org/a", "xdocker.io/a", "localhost/docker.io"] {
            let reference: ImageRef = other.parse().expect("a reference");
            assert!(!RegistryHost::of(&reference).is_hub(), "{reference}");
        }
    }
}

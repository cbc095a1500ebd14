//! Which registry a reference names, as laws over any references.

use havre_core::artifact::{Digest, ImageRef};
use havre_core::registry::event::Event;
use havre_core::registry::{Credentials, RegistryHost, RegistryUser, parse_password};
use proptest::prelude::*;
use serde_json::json;

proptest! {
    /// What names a host names that one, wherever the rest leads; and the host is one that can be set.
    #[test]
    fn a_named_host_is_the_registry(
        host in "[a-z0-9]{1,8}\\.[a-z0-9]{1,8}(\\.[a-z]{2,4})?(:[1-9][0-9]{0,3})?",
        path in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}",
        tag in "(:[a-z0-9.]{1,8})?",
    ) {
        prop_assume!(!tag.starts_with(":."));
        let reference: ImageRef = format!("{host}/{path}{tag}").parse().expect("a reference");
        let found = RegistryHost::of(&reference);
        let set: RegistryHost = host.parse().expect("a host");
        prop_assert_eq!(&found, &set);
        prop_assert_eq!(found.to_string(), host.clone());
        let json = serde_json::to_string(&found).expect("text");
        prop_assert_eq!(serde_json::from_str::<RegistryHost>(&json).expect("the same text"), found);
    }

    /// Without one, it is Docker Hub.
    #[test]
    fn without_a_host_it_is_the_hub(path in "[a-z0-9]{1,8}(/[a-z0-9.]{1,8})?", tag in "(:[a-z0-9]{1,8})?") {
        prop_assume!(!path.contains("/.") && !path.ends_with('.') && !path.starts_with("localhost/"));
        let reference: ImageRef = format!("{path}{tag}").parse().expect("a reference");
        prop_assert!(RegistryHost::of(&reference).is_hub());
    }

    /// Nothing that is not the host of the credentials gets them.
    #[test]
    fn no_other_registry_gets_credentials(
        own in "[a-z]{1,4}\\.[a-z]{1,4}",
        other in "[a-z]{1,4}(\\.[a-z]{1,4}){0,2}(:[1-9][0-9]{0,3})?",
    ) {
        prop_assume!(own != other);
        let credentials = Credentials {
            host: own.parse().expect("a host"),
            user: "ada".parse().expect("a user"),
            password: parse_password("planted".to_owned()).expect("a password"),
        };
        let reference: ImageRef = format!("{other}/{own}/app:1").parse().expect("a reference");
        prop_assert!(credentials.only_for(&reference).is_none());
    }
}

/// Events stay for years: this form is never changed.
#[test]
fn events_keep_their_form() {
    let host = RegistryHost::of(&"registry.example.org/a:1".parse().expect("a reference"));
    let reference: ImageRef = "registry.example.org/a:1".parse().expect("a reference");
    let image: Digest = "a".repeat(64).parse().expect("64 hex digits");
    let user: RegistryUser = "ada".parse().expect("a user");
    for (event, form) in [
        (
            Event::CredentialsSet { host: host.clone(), user },
            json!({ "type": "credentials_set", "host": "registry.example.org", "user": "ada" }),
        ),
        (
            Event::CredentialsRemoved { host: host.clone() },
            json!({ "type": "credentials_removed", "host": "registry.example.org" }),
        ),
        (
            Event::PresentImageUsed { reference, image: image.clone() },
            json!({
                "type": "present_image_used", "reference": "registry.example.org/a:1", "image": image.to_string(),
            }),
        ),
        (
            Event::FewPullsLeft { host, remaining: 19, limit: 100, window_ms: 21_600_000 },
            json!({
                "type": "few_pulls_left", "host": "registry.example.org", "remaining": 19, "limit": 100,
                "window_ms": 21_600_000,
            }),
        ),
    ] {
        assert_eq!(serde_json::to_value(&event).expect("JSON"), form);
        assert_eq!(serde_json::from_value::<Event>(form).expect("the same form"), event);
    }
}

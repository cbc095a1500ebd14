//! Whole calls as each forge wants them, and what follows from answers of the forms they have.

mod answer;
mod comment;
mod status;

use havre_core::source::forge::Forge;
use havre_forge::call::Call;
use havre_forge::repository::Repository;

/// A repository of each forge.
fn repository(forge: Forge) -> Repository {
    let url = match forge {
        Forge::GitHub => "https://github.com/acme/shop.git",
        Forge::GitLab => "https://gitlab.example.org/acme/web/shop.git",
        Forge::Gitea => "https://codeberg.org/acme/shop.git",
        Forge::Bitbucket => "https://bitbucket.org/acme/shop.git",
    };
    Repository::at(forge, &url.parse().expect("is an address")).expect("has an owner")
}

/// Method, address and place of the token; headers.
fn head(call: &Call) -> (String, Vec<String>) {
    let token = format!("{}: {}TOKEN", call.token.header, call.token.before);
    let headers = call.headers.iter().map(|(name, value)| format!("{name}: {value}"));
    (format!("{} {}", call.method.as_str(), call.url), headers.chain([token]).collect())
}

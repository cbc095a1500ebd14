//! Which environments follow a branch that moved, or why none does. Tests at the end of the file.

use havre_core::name::EnvironmentName;
use havre_core::pipeline::push::DEFAULT_BRANCH;
use havre_core::source::{BranchName, RefName};

use crate::Manifest;

/// Texts in a commit's message that ask for no pipeline, as other systems write them as well.
const SKIPS: [&str; 5] = ["[skip ci]", "[ci skip]", "[no ci]", "[skip cd]", "[skip havre]"];

/// Environments that follow `reference`, by name.
///
/// # Errors
/// Why there is none, for people.
pub fn environments(
    manifest: &Manifest,
    reference: &RefName,
    message: &str,
) -> Result<Vec<EnvironmentName>, String> {
    let Some(branch) = reference.branch() else {
        return Err("tags start nothing; environments follow branches".to_owned());
    };
    if let Some(skip) = skip(message) {
        return Err(format!("the commit's message says {skip}"));
    }
    let follows: Vec<EnvironmentName> = manifest
        .environments()
        .into_iter()
        .filter(|environment| followed(manifest, environment) == Some(branch.as_str()))
        .collect();
    if follows.is_empty() {
        return Err(no_environment(manifest, &branch));
    }
    Ok(follows)
}

/// The text in a commit's message that asks for no pipeline.
pub fn skip(message: &str) -> Option<&'static str> {
    let lower = message.to_lowercase();
    SKIPS.into_iter().find(|skip| lower.contains(*skip))
}

/// The branch an environment follows.
fn followed<'m>(manifest: &'m Manifest, environment: &EnvironmentName) -> Option<&'m str> {
    let is_production = *environment == EnvironmentName::production();
    manifest.branch(environment).or(if is_production { Some(DEFAULT_BRANCH) } else { None })
}

fn no_environment(manifest: &Manifest, branch: &BranchName) -> String {
    let known: Vec<String> = manifest
        .environments()
        .iter()
        .filter_map(|environment| Some(format!("{environment} follows {}", followed(manifest, environment)?)))
        .collect();
    format!("no environment of havre.toml follows the branch {branch}: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn decide(environments: &str, reference: &str, message: &str) -> Result<Vec<String>, String> {
        let text = format!("project = \"p\"\n[services.a]\nimage = \"a:1\"\n{environments}");
        let manifest = parse(&text).expect("is a manifest");
        let found = super::environments(&manifest, &reference.parse().expect("is a ref"), message)?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    const TWO: &str =
        "[environments.production]\nbranch = \"main\"\n[environments.staging]\nbranch = \"develop\"\n";

    #[test]
    fn branches_lead_to_their_environments() {
        assert_eq!(decide(TWO, "refs/heads/main", "x"), Ok(vec!["production".to_owned()]));
        assert_eq!(decide(TWO, "refs/heads/develop", "x"), Ok(vec!["staging".to_owned()]));
        assert_eq!(decide("", "refs/heads/main", "x"), Ok(vec!["production".to_owned()]));
        let trunk = "[environments.production]\nbranch = \"trunk\"\n[environments.eu]\nbranch = \"trunk\"\n";
        assert_eq!(
            decide(trunk, "refs/heads/trunk", "x"),
            Ok(vec!["eu".to_owned(), "production".to_owned()])
        );
        assert!(decide(trunk, "refs/heads/main", "x").is_err());
    }

    #[test]
    fn what_is_ignored_says_why() {
        let reason = decide(TWO, "refs/heads/feature/x", "x").expect_err("nobody follows it");
        assert_eq!(
            reason,
            "no environment of havre.toml follows the branch feature/x: production follows main, staging follows develop"
        );
        assert!(decide(TWO, "refs/tags/v1", "x").expect_err("is a tag").contains("tags"));
        let skipped = decide(TWO, "refs/heads/main", "docs\n\n[Skip CI] only words").expect_err("is skipped");
        assert_eq!(skipped, "the commit's message says [skip ci]");
    }
}

//! `havre repository show`.

use havre_api::repository::Repository;
use havre_core::time::Timestamp;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, time};
use crate::repository::path;

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let repository: Repository = invocation.client()?.get(&path(&project)).await?;
    if invocation.global.json {
        output::json(&repository)?;
        return Ok(Exit::Ok);
    }
    output::data(&text(&repository, time::now()))?;
    Ok(Exit::Ok)
}

fn text(repository: &Repository, now: Timestamp) -> String {
    let ago = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| time::ago(at, now));
    let size = match (repository.bytes, repository.refs) {
        (Some(bytes), Some(refs)) => format!("{}, {refs} branches and tags", time::size(bytes)),
        _ => "nothing was pushed yet".to_owned(),
    };
    let protected: Vec<&str> = repository.protected.iter().map(|branch| branch.as_str()).collect();
    let protected = if protected.is_empty() { "none".to_owned() } else { protected.join(", ") };
    format!(
        "{}: {size}\npushed to: {}\npacked: {}\nprotected branches: {protected}\n",
        repository.project,
        ago(repository.pushed_at),
        ago(repository.repacked_at),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_in_words() {
        let now = Timestamp::from_millis(100_000_000);
        let mut repository = Repository {
            project: "dropit".parse().unwrap(),
            bytes: None,
            refs: None,
            pushed_at: None,
            repacked_at: None,
            protected: Vec::new(),
        };
        let empty =
            "dropit: nothing was pushed yet\npushed to: never\npacked: never\nprotected branches: none\n";
        assert_eq!(text(&repository, now), empty);
        repository.bytes = Some(1536);
        repository.refs = Some(2);
        repository.pushed_at = Some(Timestamp::from_millis(99_000_000));
        repository.protected = vec!["a/b".parse().unwrap(), "main".parse().unwrap()];
        let full = "dropit: 1.5 KB, 2 branches and tags\npushed to: 16m ago\npacked: never\n\
            protected branches: a/b, main\n";
        assert_eq!(text(&repository, now), full);
    }
}

//! What goes into the context of a Dockerfile out of a commit: by its `.dockerignore`, and with the Dockerfile that was named,
//! found or written. What is written is decided by `havre_dockerfile`, as for `havre deploy`. Tests: `tests/it/pipeline.rs`.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::build::ignore::Ignore;
use havre_core::name::ProjectName;
use havre_core::service::spec::{DockerfileSource, OUTSIDE_DOCKERFILE};
use havre_dockerfile::stack::{
    self, Choice, NEVER_COPIED, PATHS_MAX, Snapshot, StackError, TEXT_MAX, wanted,
};
use havre_source::{PackPlan, SourceError, Tree, plan_context};

use super::checkout::CheckoutError;
use super::read;
use crate::world::World;

/// Largest `.dockerignore` or Dockerfile.
const FILE_MAX: u64 = 1024 * 1024;

/// A commit that is being read.
#[derive(Clone, Copy)]
pub(super) struct Commit<'a> {
    pub(super) world: &'a World,
    pub(super) project: &'a ProjectName,
    pub(super) tree: &'a Tree,
}

impl Commit<'_> {
    /// The context of a Dockerfile.
    pub(super) async fn of_dockerfile(
        self,
        source: &DockerfileSource,
        wants_site: bool,
    ) -> Result<PackPlan, CheckoutError> {
        if source.written_for.is_some() {
            return self.of_choice(source, wants_site).await;
        }
        self.of_file(source, source.dockerfile.as_str(), source.dockerfile_in_context()).await
    }

    /// The context of a Dockerfile at `path` of the repository, under `name` in the context. `<path>.dockerignore` where there
    /// is one, else `.dockerignore` of the context.
    async fn of_file(
        self,
        source: &DockerfileSource,
        path: &str,
        name: &str,
    ) -> Result<PackPlan, CheckoutError> {
        let ignore = match self.ignore(&format!("{path}.dockerignore"), "").await? {
            Some(ignore) => ignore,
            None => self.ignore(&self.in_context(source, ".dockerignore"), "").await?.unwrap_or_default(),
        };
        let Some(text) = self.text(path).await? else {
            return Err(CheckoutError::Commit(format!(
                "the commit holds no {path}; havre.toml names it as `dockerfile`; without that key Havre writes one"
            )));
        };
        Ok(plan_context(self.tree, &source.context, &ignore, vec![(name.to_owned(), text.into_bytes())])?)
    }

    /// The same where nobody named a Dockerfile.
    async fn of_choice(self, source: &DockerfileSource, wants_site: bool) -> Result<PackPlan, CheckoutError> {
        let outside = || {
            CheckoutError::Commit(
                "the folder of the program lies outside of its context; havre.toml names them as `root` and `context`"
                    .to_owned(),
            )
        };
        let root = source.root_in_context().ok_or_else(outside)?;
        let snapshot = self.snapshot(source, &root).await?;
        let written = match stack::choose(&snapshot, &root).map_err(refused)? {
            Choice::Own { path } => {
                return self.of_file(source, &self.in_context(source, &path), OUTSIDE_DOCKERFILE).await;
            }
            Choice::Written(mut written) => {
                written.check(&root, wants_site).map_err(refused)?;
                written.declare(source.args.keys());
                written
            }
        };
        let ignore = match self.ignore(&self.in_context(source, ".dockerignore"), NEVER_COPIED).await? {
            Some(ignore) => ignore,
            None => Ignore::parse(&written.ignore).map_err(CheckoutError::Commit)?,
        };
        let extra = vec![(OUTSIDE_DOCKERFILE.to_owned(), written.dockerfile.into_bytes())];
        Ok(plan_context(self.tree, &source.context, &ignore, extra)?)
    }

    /// The context as `havre_dockerfile` sees it; what its `.dockerignore` leaves out is not there, but for a Dockerfile.
    async fn snapshot(
        self,
        source: &DockerfileSource,
        root: &havre_core::name::RelativePath,
    ) -> Result<Snapshot, CheckoutError> {
        let ignore = self.ignore(&self.in_context(source, ".dockerignore"), "").await?.unwrap_or_default();
        let prefix = self.in_context(source, "");
        let own = if root.as_str() == "." { "Dockerfile".to_owned() } else { format!("{root}/Dockerfile") };
        let inside = self.tree.files().filter_map(|(path, _)| path.strip_prefix(prefix.as_str()));
        let kept = inside.filter(|path| *path == own || !ignore.is_ignored(path));
        let paths: BTreeSet<String> = kept.map(ToOwned::to_owned).collect();
        if paths.len() > PATHS_MAX {
            return Err(CheckoutError::Commit(format!(
                "the commit holds more than {PATHS_MAX} files; leave some out with a .dockerignore, or name a smaller \
                 folder as `context`"
            )));
        }
        let mut texts = BTreeMap::new();
        for name in wanted(&paths, root) {
            let full = self.in_context(source, &name);
            let is_small = self.tree.find(&full).is_some_and(|entry| entry.size <= TEXT_MAX);
            if is_small && let Some(text) = self.text(&full).await? {
                texts.insert(name, text);
            }
        }
        Ok(Snapshot { paths, texts })
    }

    /// A path of the context as a path of the repository.
    fn in_context(self, source: &DockerfileSource, path: &str) -> String {
        match source.context.as_str() {
            "." => path.to_owned(),
            folder => format!("{folder}/{path}"),
        }
    }

    async fn ignore(self, path: &str, more: &str) -> Result<Option<Ignore>, CheckoutError> {
        let Some(text) = self.text(path).await? else { return Ok(None) };
        let wrong = |why| CheckoutError::Commit(format!("{path} is wrong: {why}"));
        Ignore::parse(&format!("{text}\n{more}")).map(Some).map_err(wrong)
    }

    async fn text(self, path: &str) -> Result<Option<String>, SourceError> {
        read::text(self.world, self.project, self.tree, path, FILE_MAX).await
    }
}

fn refused(error: StackError) -> CheckoutError {
    CheckoutError::Commit(error.to_string())
}

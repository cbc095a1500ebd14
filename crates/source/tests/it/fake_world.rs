//! The stage around the fake.

use havre_core::name::ProjectName;
use havre_core::source::CommitId;
use havre_source::fake::{FakeFile, FakeSource};
use havre_source::source::Source;

use crate::world::{World, reference};

#[derive(Default)]
pub(crate) struct FakeWorld {
    fake: FakeSource,
}

impl World for FakeWorld {
    fn source(&self) -> &dyn Source {
        &self.fake
    }

    async fn commit(
        &self,
        repository: &ProjectName,
        parent: Option<&CommitId>,
        subject: &str,
        files: &[(&str, FakeFile)],
    ) -> CommitId {
        self.fake.commit(repository, parent, subject, files)
    }

    async fn set_ref(&self, repository: &ProjectName, name: &str, commit: &CommitId) {
        self.fake.set_ref(repository, &reference(name), Some(commit));
    }
}

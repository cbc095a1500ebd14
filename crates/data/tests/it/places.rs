//! Disks that come and go.

use havre_backup::fake::FakeRepository;

use crate::outward::FakePlaces;

impl FakePlaces {
    /// An empty place instead, as a mount point is whose disk is not there; what lay there before.
    pub(crate) fn unplug(&self, place: &str) -> FakeRepository {
        let before = self.at(place);
        self.put(place, FakeRepository::default());
        before
    }

    pub(crate) fn put(&self, place: &str, repository: FakeRepository) {
        self.0.lock().unwrap().insert(place.to_owned(), repository);
    }
}

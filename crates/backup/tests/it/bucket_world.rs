//! The real repository in a bucket: of a storage in memory that fails on demand, or of a server.

use std::sync::Arc;
use std::time::Duration;

use havre_backup::Repository;
use havre_backup::bucket::{Bucket, BucketKeys, BucketLocation, Limits};
use havre_backup::restic::{BucketRepository, open_bucket};
use havre_core::secret::Secret;
use tokio::runtime::Handle;

use crate::memory_storage::MemoryStorage;
use crate::world::{PASSWORD, World};

/// Keys nobody may see, which every storage here takes.
pub(crate) const KEY_ID: &str = "AKIAPLANTEDID";
pub(crate) const KEY: &str = "planted/secret+key";
pub(crate) const BUCKET: &str = "backups";

/// Limits for a storage on this machine that fails on purpose.
pub(crate) const QUICK: Limits = Limits {
    connect: Duration::from_secs(5),
    idle: Duration::from_secs(20),
    whole: Duration::from_secs(60),
    tries: 4,
    pause: Duration::from_millis(5),
};

pub(crate) struct BucketWorld {
    storage: Option<MemoryStorage>,
    bucket: Bucket,
    repository: BucketRepository,
}

impl BucketWorld {
    /// In memory, with limits for failures.
    pub(crate) fn in_memory() -> Self {
        Self::with_limits(QUICK)
    }

    /// In memory.
    pub(crate) fn with_limits(limits: Limits) -> Self {
        let storage = MemoryStorage::start();
        let mut world = Self::at(&storage.endpoint(), "servers/one", limits);
        world.storage = Some(storage);
        world
    }

    /// In the bucket of a storage that is there.
    pub(crate) fn at(endpoint: &str, prefix: &str, limits: Limits) -> Self {
        let location = BucketLocation {
            endpoint: endpoint.to_owned(),
            bucket: BUCKET.to_owned(),
            region: "us-east-1".to_owned(),
            prefix: Some(prefix.to_owned()),
            path_style: true,
        };
        let bucket = Bucket::new(&location, &keys()).expect("can be asked").with_limits(limits);
        let repository =
            BucketRepository::in_bucket(bucket.clone(), Secret::from(PASSWORD), Handle::current());
        Self { storage: None, bucket, repository }
    }

    /// What fails on demand.
    pub(crate) fn storage(&self) -> &MemoryStorage {
        self.storage.as_ref().expect("is in memory")
    }

    /// A second one that knows nothing of the first.
    pub(crate) fn afresh(&self) -> Arc<dyn Repository> {
        let fresh =
            BucketRepository::in_bucket(self.bucket.clone(), Secret::from(PASSWORD), Handle::current());
        Arc::new(fresh)
    }
}

/// Keys that every storage here takes.
pub(crate) fn keys() -> BucketKeys {
    BucketKeys { access_key_id: KEY_ID.to_owned(), secret_access_key: Secret::from(KEY), session_token: None }
}

/// A repository at the top of a bucket, for whoever has these keys.
pub(crate) fn with_keys(endpoint: &str, bucket: &str, keys: &BucketKeys) -> BucketRepository {
    let location = BucketLocation {
        endpoint: endpoint.to_owned(),
        bucket: bucket.to_owned(),
        region: "us-east-1".to_owned(),
        prefix: None,
        path_style: true,
    };
    open_bucket(&location, keys, Secret::from(PASSWORD), Handle::current()).expect("can be asked")
}

impl World for BucketWorld {
    fn repository(&self) -> Arc<dyn Repository> {
        Arc::new(self.repository.clone())
    }

    fn with_wrong_password(&self) -> Arc<dyn Repository> {
        let wrong =
            BucketRepository::in_bucket(self.bucket.clone(), Secret::from("wrong"), Handle::current());
        Arc::new(wrong)
    }
}

//! Opens repositories of backups by what their targets say. Wiring only.

use std::path::Path;
use std::sync::Arc;

use havre_backup::bucket::{BucketKeys, BucketLocation};
use havre_backup::restic::{BucketRepository, FolderRepository, SftpRepository, open_bucket, open_sftp};
use havre_backup::sftp::SftpLocation;
use havre_backup::{Repository, RepositoryError};
use havre_core::backup::credential::s3_keys;
use havre_core::backup::location::Location;
use havre_core::backup::target::OpenTarget;
use havre_core::secret::Secret;
use havre_reconcile::repositories::Repositories;
use tokio::runtime::Handle;

/// The places this Havre reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places;

impl Repositories for Places {
    fn at(&self, target: &OpenTarget) -> Result<Arc<dyn Repository>, RepositoryError> {
        open_repository(&target.location, target.password.clone(), target.credential.as_ref())
    }
}

/// The one place that knows kinds of repositories. Looks at nothing yet.
fn open_repository(
    location: &Location,
    password: Secret,
    credential: Option<&Secret>,
) -> Result<Arc<dyn Repository>, RepositoryError> {
    match location {
        Location::Folder { path } => Ok(Arc::new(FolderRepository::new(Path::new(path.as_str()), password))),
        Location::S3 { .. } => Ok(Arc::new(open_s3(location, password, credential)?)),
        Location::Sftp { .. } => Ok(Arc::new(open_other_machine(location, password, credential)?)),
    }
}

fn open_s3(
    location: &Location,
    password: Secret,
    credential: Option<&Secret>,
) -> Result<BucketRepository, RepositoryError> {
    let Location::S3 { endpoint, bucket, region, prefix, path_style } = location else {
        return Err(closed(location, "it is no bucket"));
    };
    let credential = credential.ok_or_else(|| closed(location, "it was set without its keys"))?;
    let keys = s3_keys(credential).map_err(|error| closed(location, &error.to_string()))?;
    let location_of = BucketLocation {
        endpoint: endpoint.to_string(),
        bucket: bucket.to_string(),
        region: region.to_string(),
        prefix: prefix.as_ref().map(ToString::to_string),
        path_style: *path_style,
    };
    let keys = BucketKeys {
        access_key_id: keys.access_key_id,
        secret_access_key: keys.secret_access_key,
        session_token: None,
    };
    open_bucket(&location_of, &keys, password, Handle::current())
        .map_err(|error| closed(location, &error.to_string()))
}

fn open_other_machine(
    location: &Location,
    password: Secret,
    credential: Option<&Secret>,
) -> Result<SftpRepository, RepositoryError> {
    let Location::Sftp { host, port, user, path, host_key } = location else {
        return Err(closed(location, "it is no other machine"));
    };
    let key = credential.ok_or_else(|| closed(location, "it was set without its private key"))?;
    let place = SftpLocation {
        host: host.clone(),
        port: *port,
        user: user.clone(),
        path: path.clone(),
        host_key: host_key.clone(),
    };
    open_sftp(&place, key, password, Handle::current()).map_err(|error| closed(location, &error.to_string()))
}

fn closed(location: &Location, reason: &str) -> RepositoryError {
    RepositoryError::Failed {
        doing: "open the repository",
        place: location.to_string(),
        reason: reason.to_owned(),
    }
}

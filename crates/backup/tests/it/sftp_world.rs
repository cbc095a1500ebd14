//! The real repository in a folder that sshd gives out, at once or with somebody in between who cuts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use havre_backup::Repository;
use havre_backup::bucket::Limits;
use havre_backup::restic::SftpRepository;
use havre_backup::sftp::Sftp;
use havre_core::secret::Secret;
use tokio::runtime::Handle;

use crate::cutting_proxy::CuttingProxy;
use crate::sftp_server::{SftpServer, repository};
use crate::world::World;

/// Limits for a machine that fails on purpose.
pub(crate) const QUICK: Limits = Limits {
    connect: Duration::from_secs(20),
    idle: Duration::from_secs(20),
    whole: Duration::from_secs(120),
    tries: 4,
    pause: Duration::from_millis(5),
};

pub(crate) struct SftpWorld {
    pub(crate) server: SftpServer,
    proxy: Option<CuttingProxy>,
    pub(crate) sftp: Sftp,
    repository: SftpRepository,
}

impl SftpWorld {
    pub(crate) async fn start() -> Self {
        let server = SftpServer::start().await;
        let sftp = server.sftp(server.port(), "servers/one", QUICK);
        Self { server, proxy: None, repository: repository(sftp.clone()), sftp }
    }

    /// With somebody in between.
    pub(crate) async fn start_behind_proxy(limits: Limits) -> Self {
        let server = SftpServer::start().await;
        let proxy = CuttingProxy::start(server.port()).await;
        let sftp = server.sftp(proxy.port(), "servers/one", limits);
        Self { server, proxy: Some(proxy), repository: repository(sftp.clone()), sftp }
    }

    pub(crate) fn proxy(&self) -> &CuttingProxy {
        self.proxy.as_ref().expect("somebody is in between")
    }

    /// Where the repository lies on the other machine, which is this one.
    pub(crate) fn root(&self) -> PathBuf {
        self.server.srv().join("servers/one")
    }

    /// A second one that knows nothing of the first.
    pub(crate) fn afresh(&self) -> Arc<dyn Repository> {
        Arc::new(repository(self.sftp.clone()))
    }
}

impl World for SftpWorld {
    fn repository(&self) -> Arc<dyn Repository> {
        Arc::new(self.repository.clone())
    }

    fn with_wrong_password(&self) -> Arc<dyn Repository> {
        let wrong = SftpRepository::over_sftp(self.sftp.clone(), Secret::from("wrong"), Handle::current());
        Arc::new(wrong)
    }
}

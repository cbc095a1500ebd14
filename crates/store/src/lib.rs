//! The store: SQLite behind one writer thread, one file per room; each write appends the events that explain it.
//!
//! A crate of its own because it enforces a ban: nobody else sees SQL. It decides nothing but what keeps rows
//! consistent: who owns a route, which address is free, whether a state may still be replaced.
//! What edges report is kept in memory only, on purpose: each edge posts again within two seconds.
//! Tests: `tests/it`, and at the end of the files that hold what those cannot reach.

pub mod backup;
pub mod build;
pub mod build_secret;
pub mod certificate;
pub mod comment;
pub mod copy;
pub mod database;
pub mod deploy_key;
pub mod deployment;
pub mod dns_provider;
pub mod environment;
pub mod error;
pub mod event;
pub mod forge;
pub mod image;
pub mod issuer;
pub mod job;
pub mod pipeline;
pub mod pool;
pub mod preview;
pub mod provider;
pub mod purge;
pub mod rebuild;
pub mod registry;
pub mod release;
pub mod remote;
pub mod repository;
pub mod route;
pub mod seal;
pub mod secret;
pub mod service;
pub mod site;
pub mod ssh_key;
pub mod swap;
pub mod task;
pub mod test_network;
pub mod token;
pub mod tunnel;
pub mod webhook;

mod edge;
mod export;
mod inspect;
mod lock;
mod migration;
mod open;
mod row;
mod signature;
mod store;
mod thread;
mod view;
mod waiting;

pub use backup::{NewDrill, NewRestore, NewStretch, NewVolumeRestore, VolumePause};
pub use build_secret::BuildSecretRow;
pub use certificate::Material;
pub use comment::{CommentRow, CommentSaying};
pub use copy::NewCopy;
pub use deploy_key::{DeployKeyRow, NewDeployKey};
pub use environment::Environment;
pub use error::StoreError;
pub use event::chain::Chain;
pub use forge::{StatusRow, TellingFailure, TellingSpec};
pub use inspect::inspect;
pub use issuer::AccountRow;
pub use job::LiveJobs;
pub use pipeline::{NewPipeline, RefRow};
pub use pool::AddressPool;
pub use preview::WishRow;
pub use provider::ProviderRow;
pub use purge::PurgeRow;
pub use rebuild::NewRecovery;
pub use registry::{LimitRow, RegistryRow};
pub use release::NewRelease;
pub use remote::{FetchRow, RemoteRow};
pub use repository::RepositoryRow;
pub use seal::{KeyError, MasterKey};
pub use secret::SecretRow;
pub use service::Applied;
pub use ssh_key::{NewSshKey, SshKeyRow};
pub use store::{OpenOptions, Store};
pub use swap::{NewSwap, Swapping};
pub use task::Failures;
pub use token::TokenRow;
pub use view::{Tx, View};
pub use waiting::WAITING_MAX;
pub use webhook::WebhookRow;

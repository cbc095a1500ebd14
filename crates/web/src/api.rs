//! Every endpoint with the permission it needs, the routers made of them, and the OpenAPI document.
//! Tests: `tests/it/access.rs` walks all of them, `tests/it/node.rs` compares the document.

use axum::Router;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::gate::{Door, Endpoint, Permission, guard};
use crate::state::AppState;
use crate::{
    access, backup, build, certificate, copy, database, deployment, dns_provider, edge, environment, event,
    git, issuer, job, node, pipeline, preview, project, registry, release, remote, repository, restore,
    secret, service, ssh_key, swap, task, tunnel, webhook,
};

/// The API on the TCP address: every request carries an access token, but for two, and for deliveries of webhooks, which prove
/// themselves.
pub fn public_api(state: &AppState) -> Router {
    guard(endpoints(), state, Door::Network)
}

/// The same API on the local socket: its file permissions say who may connect, and whoever may, may do everything.
pub fn local_api(state: &AppState) -> Router {
    guard(endpoints(), state, Door::Local)
}

/// What edges ask and tell, on a socket of their own with its own file permissions.
pub fn edge_api(state: &AppState) -> Router {
    guard(edge_endpoints(), state, Door::Edge)
}

/// What the program behind the server's sshd asks, on a socket of its own with its own file permissions: which key is whose, and
/// pushes to repositories that key is for.
pub fn ssh_api(state: &AppState) -> Router {
    guard(ssh_endpoints(), state, Door::Ssh)
}

/// The OpenAPI document of [`public_api`] and [`local_api`], as kept in `openapi.json`.
pub fn openapi() -> String {
    let mut router = OpenApiRouter::with_openapi(Document::openapi());
    for endpoint in endpoints() {
        router = router.routes(endpoint.routes);
    }
    let mut text = router.into_openapi().to_pretty_json().expect("a document is always JSON");
    text.push('\n');
    text
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Havre",
        description = "Runs a team's production on servers they own. Long actions answer 202 with an id to follow; \
            every refusal has one body shape with a stable code; streams are JSON lines.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(
        havre_api::error::StreamEnd,
        havre_api::task::SessionClient,
        havre_api::task::SessionServer,
        havre_api::tunnel::TunnelGrant,
    )),
    modifiers(&BearerToken),
    security(("token" = [])),
)]
struct Document;

struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("havre_...").build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

fn endpoints() -> Vec<Endpoint> {
    use Permission::{Change, Command, Machine, Public, Read};
    let mut endpoints = vec![
        Endpoint::quick(Public, routes!(node::health::health)),
        Endpoint::quick(Public, routes!(node::openapi::openapi)),
        Endpoint::quick(Read, routes!(node::status::status)),
        Endpoint::quick(Read, routes!(node::route_table::route_table)),
        Endpoint::quick(Read, routes!(node::traffic::traffic)),
        Endpoint::quick(Machine, routes!(access::list::list)),
        Endpoint::quick(Machine, routes!(access::create::create)),
        Endpoint::quick(Machine, routes!(access::revoke::revoke)),
        Endpoint::quick(Read, routes!(certificate::list::list)),
        Endpoint::quick(Read, routes!(certificate::get::get)),
        Endpoint::quick(Change, routes!(certificate::upload::upload)),
        Endpoint::quick(Change, routes!(certificate::renew::renew)),
        Endpoint::quick(Change, routes!(certificate::remove::remove)),
        Endpoint::quick(Read, routes!(issuer::list::list)),
        Endpoint::quick(Change, routes!(issuer::set::set)),
        Endpoint::quick(Change, routes!(issuer::remove::remove)),
        Endpoint::quick(Read, routes!(dns_provider::list::list)),
        Endpoint::quick(Change, routes!(dns_provider::set::set)),
        Endpoint::quick(Change, routes!(dns_provider::remove::remove)),
        Endpoint::quick(Read, routes!(registry::list::list)),
        Endpoint::quick(Change, routes!(registry::set::set)),
        Endpoint::quick(Change, routes!(registry::remove::remove)),
        Endpoint::quick(Read, routes!(project::list::list)),
        Endpoint::quick(Read, routes!(environment::get::get)),
        Endpoint::quick(Change, routes!(environment::apply::apply)),
        Endpoint::quick(Change, routes!(environment::destroy::destroy)),
        Endpoint::quick(Change, routes!(environment::promote::promote)),
        Endpoint::quick(Read, routes!(service::get::get)),
        Endpoint::quick(Change, routes!(service::scale::scale)),
        Endpoint::quick(Change, routes!(service::maintenance::maintenance)),
        Endpoint::quick(Change, routes!(service::destroy::destroy)),
        Endpoint::quick(Read, routes!(release::list::list)),
        Endpoint::quick(Read, routes!(deployment::list::list)),
        Endpoint::quick(Read, routes!(deployment::get::get)),
        Endpoint::quick(Change, routes!(deployment::create::create)),
        Endpoint::quick(Change, routes!(deployment::cancel::cancel)),
        Endpoint::quick(Change, routes!(deployment::rollback::rollback)),
        Endpoint::quick(Change, routes!(deployment::restart::restart)),
        Endpoint::quick(Read, routes!(job::list::list)),
        Endpoint::quick(Read, routes!(job::runs::runs)),
        Endpoint::quick(Change, routes!(job::create::create)),
        Endpoint::quick(Read, routes!(job::get::get)),
        Endpoint::quick(Change, routes!(job::cancel::cancel)),
        Endpoint::quick(Read, routes!(job::log::log)),
        Endpoint::quick(Read, routes!(event::list::list)),
        Endpoint::quick(Read, routes!(event::verify::verify)),
        Endpoint::quick(Read, routes!(task::logs::logs)),
        Endpoint::quick(Command, routes!(task::exec::exec)),
        Endpoint::quick(Command, routes!(task::run::run)),
    ];
    endpoints.extend(source_endpoints());
    endpoints.extend(repository_endpoints());
    endpoints.extend(backup_endpoints());
    endpoints.extend(restore_endpoints());
    endpoints
}

/// From a commit to artifacts, and who announces one.
fn source_endpoints() -> Vec<Endpoint> {
    use Permission::{Change, Command, Public, Read, Tunnel};
    vec![
        Endpoint::quick(Read, routes!(build::list::list)),
        Endpoint::quick(Read, routes!(build::get::get)),
        Endpoint::quick(Read, routes!(build::log::log)),
        Endpoint::quick(Change, routes!(build::cancel::cancel)),
        Endpoint::long(Change, routes!(build::create::create)),
        Endpoint::quick(Read, routes!(build::secret::list::list)),
        Endpoint::quick(Change, routes!(build::secret::set::set)),
        Endpoint::quick(Change, routes!(build::secret::remove::remove)),
        Endpoint::quick(Read, routes!(pipeline::list::list)),
        Endpoint::quick(Read, routes!(pipeline::get::get)),
        Endpoint::quick(Change, routes!(pipeline::rerun::rerun)),
        Endpoint::quick(Change, routes!(pipeline::cancel::cancel)),
        Endpoint::quick(Read, routes!(preview::list::list)),
        Endpoint::quick(Change, routes!(preview::open::open)),
        Endpoint::quick(Change, routes!(preview::close::close)),
        Endpoint::quick(Read, routes!(remote::get::get)),
        Endpoint::quick(Change, routes!(remote::set::set)),
        Endpoint::quick(Change, routes!(remote::remove::remove)),
        Endpoint::quick(Change, routes!(remote::rotate::rotate)),
        Endpoint::quick(Change, routes!(remote::confirm::confirm)),
        Endpoint::quick(Read, routes!(database::list::list)),
        Endpoint::quick(Read, routes!(database::get::get)),
        Endpoint::quick(Read, routes!(database::logs::logs)),
        Endpoint::quick(Read, routes!(database::insight::insight)),
        Endpoint::quick(Change, routes!(database::destroy::destroy)),
        Endpoint::quick(Change, routes!(database::rotate::rotate)),
        Endpoint::quick(Command, routes!(database::console::console)),
        Endpoint::quick(Tunnel, routes!(tunnel::open::open)),
        Endpoint::quick(Tunnel, routes!(tunnel::connect::connect)),
        Endpoint::quick(Read, routes!(swap::list::list)),
        Endpoint::quick(Read, routes!(swap::get::get)),
        Endpoint::quick(Change, routes!(swap::create::create)),
        Endpoint::quick(Change, routes!(swap::cancel::cancel)),
        Endpoint::quick(Read, routes!(copy::list::list)),
        Endpoint::quick(Read, routes!(copy::get::get)),
        Endpoint::quick(Change, routes!(copy::create::create)),
        Endpoint::quick(Change, routes!(copy::cancel::cancel)),
        Endpoint::quick(Command, routes!(copy::dump::dump)),
        Endpoint::long(Command, routes!(copy::import::import)),
        Endpoint::quick(Command, routes!(copy::export::export)),
        Endpoint::long(Command, routes!(copy::erase::erase)),
        Endpoint::quick(Read, routes!(secret::list::list)),
        Endpoint::quick(Read, routes!(secret::history::history)),
        Endpoint::quick(Change, routes!(secret::set::set)),
        Endpoint::quick(Change, routes!(secret::remove::remove)),
        Endpoint::quick(Command, routes!(secret::reveal::reveal)),
        Endpoint::quick(Change, routes!(secret::rotate::rotate)),
        Endpoint::quick(Read, routes!(secret::provider::list::list)),
        Endpoint::quick(Change, routes!(secret::provider::set::set)),
        Endpoint::quick(Change, routes!(secret::provider::remove::remove)),
        Endpoint::quick(Change, routes!(secret::provider::test::test)),
        Endpoint::quick(Read, routes!(webhook::list::list)),
        Endpoint::quick(Change, routes!(webhook::set::set)),
        Endpoint::quick(Change, routes!(webhook::remove::remove)),
        Endpoint::long(Public, routes!(webhook::receive::receive)),
        Endpoint::long(Read, routes!(git::refs::refs)),
        Endpoint::long(Read, routes!(git::exchange::fetch)),
        Endpoint::long(Change, routes!(git::exchange::push)),
    ]
}

/// Who may push, and to what, and the server of Git LFS beside each repository.
fn repository_endpoints() -> Vec<Endpoint> {
    use Permission::{Change, Contents, Machine, Read};
    vec![
        Endpoint::quick(Contents, routes!(git::lfs::batch::batch)),
        Endpoint::quick(Contents, routes!(git::lfs::verify::verify)),
        Endpoint::long(Contents, routes!(git::lfs::content::put)),
        Endpoint::long(Read, routes!(git::lfs::content::get)),
        Endpoint::quick(Contents, routes!(git::lfs::lock::list)),
        Endpoint::quick(Contents, routes!(git::lfs::lock::create)),
        Endpoint::quick(Contents, routes!(git::lfs::lock::verify)),
        Endpoint::quick(Contents, routes!(git::lfs::lock::remove)),
        Endpoint::quick(Read, routes!(repository::get::get)),
        Endpoint::quick(Change, routes!(repository::protect::protect)),
        Endpoint::quick(Machine, routes!(ssh_key::list::list)),
        Endpoint::quick(Machine, routes!(ssh_key::add::add)),
        Endpoint::quick(Machine, routes!(ssh_key::remove::remove)),
    ]
}

/// Where backups lie, what ran, and what is missing.
fn backup_endpoints() -> Vec<Endpoint> {
    use Permission::{Change, Machine, Read};
    vec![
        Endpoint::quick(Read, routes!(backup::target::list::list)),
        // A target holds everything there is: who may say where backups go may have them.
        Endpoint::quick(Machine, routes!(backup::target::set::set)),
        Endpoint::quick(Machine, routes!(backup::target::remove::remove)),
        Endpoint::quick(Machine, routes!(backup::target::kit::kit)),
        Endpoint::quick(Read, routes!(backup::run::list::list)),
        Endpoint::quick(Read, routes!(backup::run::get::get)),
        Endpoint::quick(Change, routes!(backup::run::create::create)),
        Endpoint::quick(Change, routes!(backup::run::cancel::cancel)),
        Endpoint::quick(Read, routes!(backup::status::status)),
        Endpoint::quick(Read, routes!(backup::check::check)),
    ]
}

/// What comes back, and what was tried.
fn restore_endpoints() -> Vec<Endpoint> {
    use Permission::{Change, Command, Read};
    vec![
        Endpoint::quick(Read, routes!(restore::points::points)),
        Endpoint::quick(Read, routes!(restore::list::list)),
        Endpoint::quick(Read, routes!(restore::get::get)),
        Endpoint::quick(Change, routes!(restore::create::create)),
        // Everything that is in a database: for whoever may also look into it.
        Endpoint::long(Command, routes!(restore::dump::dump)),
        Endpoint::quick(Read, routes!(restore::volume::points::points)),
        Endpoint::quick(Read, routes!(restore::volume::list::list)),
        Endpoint::quick(Read, routes!(restore::volume::get::get)),
        Endpoint::quick(Change, routes!(restore::volume::create::create)),
        Endpoint::long(Command, routes!(restore::volume::dump::dump)),
        Endpoint::quick(Read, routes!(restore::drill::list::list)),
        Endpoint::quick(Read, routes!(restore::drill::get::get)),
        Endpoint::quick(Read, routes!(restore::drill::report::report)),
        Endpoint::quick(Change, routes!(restore::drill::create::create)),
    ]
}

fn edge_endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::long(Permission::Edge, routes!(edge::table::table)),
        Endpoint::long(Permission::Edge, routes!(edge::table::changes)),
        Endpoint::quick(Permission::Edge, routes!(edge::report::report)),
        Endpoint::quick(Permission::Edge, routes!(certificate::material::material)),
    ]
}

fn ssh_endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::quick(Permission::Sshd, routes!(ssh_key::authorized::authorized)),
        Endpoint::long(Permission::Repository, routes!(git::refs::refs)),
        Endpoint::long(Permission::Repository, routes!(git::exchange::push)),
        Endpoint::quick(Permission::Repository, routes!(git::lfs::grant::grant)),
    ]
}

//! Where users find a route. Tests at the end of the file.

use std::net::SocketAddr;

use havre_api::node::NodeStatus;
use havre_core::service::spec::RouteSpec;

use crate::exit::CliError;
use crate::http::Client;

/// Where the edges listen.
pub(crate) async fn listeners(client: &Client) -> Result<Vec<SocketAddr>, CliError> {
    let node: NodeStatus = client.get("/v1/status").await?;
    Ok(node.edges.into_iter().filter(|edge| edge.is_fresh).flat_map(|edge| edge.listeners).collect())
}

/// The address people type. The port is named where the edge does not listen on the usual one.
pub(crate) fn url(route: &RouteSpec, listeners: &[SocketAddr]) -> String {
    let is_usual = listeners.is_empty() || listeners.iter().any(|listener| listener.port() == 80);
    match listeners.first() {
        Some(first) if !is_usual => format!("http://{}:{}{}", route.host, first.port(), route.path),
        _ => format!("http://{}{}", route.host, route.path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_named_where_needed() {
        let route =
            RouteSpec { host: "a.example".parse().expect("a host"), path: "/api".parse().expect("a path") };
        let at = |ports: &[u16]| {
            let listeners: Vec<SocketAddr> = ports.iter().map(|port| ([0, 0, 0, 0], *port).into()).collect();
            url(&route, &listeners)
        };
        assert_eq!(at(&[]), "http://a.example/api");
        assert_eq!(at(&[8080, 80]), "http://a.example/api");
        assert_eq!(at(&[8080]), "http://a.example:8080/api");
    }
}

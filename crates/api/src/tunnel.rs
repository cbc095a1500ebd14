//! Tunnels: one person's way from elsewhere into a database, without an open port. Both paths are WebSockets that speak the protocol of
//! [`crate::task`]. `GET .../databases/{database}/tunnel` holds a tunnel open: behind `started`, standard output carries one line, a
//! [`TunnelGrant`], and nothing more until it ends; closing the connection is its end. `GET /v1/tunnels/{tunnel}/connection` is one connection
//! to the server through it: standard input and output are its bytes, `exit` says that the server closed it.

use havre_core::database::spec::Kind;
use havre_core::id::TunnelId;
use havre_core::name::DatabaseName;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// First frame of `GET .../databases/{database}/tunnel`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TunnelRequest {
    /// How long it lasts at most, 1 to 24; 8 hours when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<u8>,
}

/// What somebody needs to use a tunnel; told once. Its `Debug` form hides the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TunnelGrant {
    /// The tunnel.
    #[schema(value_type = String, example = "n5")]
    pub id: TunnelId,
    /// The database it leads to: its name inside of the server as well.
    #[schema(value_type = String, example = "db")]
    pub database: DatabaseName,
    /// Which server it is.
    #[schema(value_type = String, example = "postgres")]
    pub engine: Kind,
    /// Its role, which nobody else has.
    #[schema(example = "havre_n5")]
    pub role: String,
    /// Password of the role; worth nothing after the end of the tunnel.
    pub password: String,
    /// When it ends at the latest.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// Connections through it at once, at most.
    pub connections_max: u32,
}

impl std::fmt::Debug for TunnelGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TunnelGrant").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

impl TunnelGrant {
    /// Where clients connect to, through something that listens there on this machine. The password needs no quoting.
    pub fn url(&self, port: u16) -> String {
        let Self { database, engine, role, password, .. } = self;
        match engine {
            Kind::Postgres => format!("postgresql://{role}:{password}@127.0.0.1:{port}/{database}"),
            Kind::Mariadb => format!("mysql://{role}:{password}@127.0.0.1:{port}/{database}"),
            Kind::Redis | Kind::Valkey => format!("redis://{role}:{password}@127.0.0.1:{port}"),
        }
    }
}

/// First frame of `GET /v1/tunnels/{tunnel}/connection`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TunnelConnection {}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(engine: Kind) -> TunnelGrant {
        TunnelGrant {
            id: TunnelId::new(5),
            database: "db".parse().expect("a name"),
            engine,
            role: "havre_n5".to_owned(),
            password: "s3cret".to_owned(),
            until: Timestamp::from_millis(0),
            connections_max: 10,
        }
    }

    #[test]
    fn an_address_and_no_password_elsewhere() {
        let grant = grant(Kind::Postgres);
        assert_eq!(grant.url(5433), "postgresql://havre_n5:s3cret@127.0.0.1:5433/db");
        assert_eq!(self::grant(Kind::Mariadb).url(3307), "mysql://havre_n5:s3cret@127.0.0.1:3307/db");
        assert_eq!(self::grant(Kind::Valkey).url(6380), "redis://havre_n5:s3cret@127.0.0.1:6380");
        assert!(!format!("{grant:?}").contains("s3cret"));
    }
}

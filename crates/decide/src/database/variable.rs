//! What a service is told of the databases it uses: variables beside those of its specification. Tests at the end of the file.

use std::collections::BTreeMap;

use havre_core::database::role::RoleName;
use havre_core::database::spec::Kind;
use havre_core::name::{DatabaseName, EnvKey};
use havre_core::secret::Secret;

/// A database a service uses, and how it gets in.
#[derive(Debug, Clone)]
pub struct Link {
    /// The database: the host it answers to as well.
    pub database: DatabaseName,
    /// Which server it is.
    pub engine: Kind,
    /// The role of the service.
    pub role: RoleName,
    /// Its password, one of ours: it needs no quoting.
    pub password: Secret,
}

/// Every variable for databases, in the order a service names them: the first PostgreSQL or MariaDB is `DATABASE_URL`, the first PostgreSQL is
/// `PG...`, the first MariaDB is `MYSQL_...`, the first Redis or Valkey is `REDIS_URL`, and each one has a variable after its own name.
pub fn variables(links: &[Link]) -> BTreeMap<EnvKey, Secret> {
    let mut found = BTreeMap::new();
    let mut add = |name: &str, value: Secret| {
        // What came first stays: a database called `database` must not take the name of the first one.
        found.entry(key(name)).or_insert(value);
    };
    let first = |engines: &[Kind]| links.iter().find(|link| engines.contains(&link.engine));
    if let Some(link) = first(&[Kind::Postgres, Kind::Mariadb]) {
        add("DATABASE_URL", url(link));
    }
    let families = [
        (Kind::Postgres, ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"]),
        (Kind::Mariadb, ["MYSQL_HOST", "MYSQL_PORT", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"]),
    ];
    for (engine, [host, port, user, password, database]) in families {
        let Some(link) = first(&[engine]) else { continue };
        add(host, Secret::from(link.database.as_str()));
        add(port, Secret::from(link.engine.port().to_string()));
        add(user, Secret::from(link.role.to_string()));
        add(password, link.password.clone());
        add(database, Secret::from(link.database.as_str()));
    }
    if let Some(link) = first(&[Kind::Redis, Kind::Valkey]) {
        add("REDIS_URL", url(link));
    }
    for link in links {
        add(&own_name(&link.database), url(link));
    }
    found
}

/// Names of these variables, for whoever must not set them.
pub fn names(uses: &[(DatabaseName, Kind)]) -> Vec<EnvKey> {
    let role: RoleName = "a_a".parse().expect("is a role");
    let link = |(database, engine): &(DatabaseName, Kind)| Link {
        database: database.clone(),
        engine: *engine,
        role: role.clone(),
        password: Secret::from(""),
    };
    let links: Vec<Link> = uses.iter().map(link).collect();
    variables(&links).into_keys().collect()
}

/// What logs show in place of the password of a role: `MY_DB_PASSWORD` of `my-db`.
pub fn password_name(database: &DatabaseName) -> EnvKey {
    key(&format!("{}_PASSWORD", in_capitals(database)))
}

/// `MY_DB_URL` of `my-db`.
fn own_name(database: &DatabaseName) -> String {
    format!("{}_URL", in_capitals(database))
}

fn in_capitals(database: &DatabaseName) -> String {
    database.as_str().to_ascii_uppercase().replace('-', "_")
}

fn key(name: &str) -> EnvKey {
    name.parse().expect("a name of a database with capitals and _ is a name of a variable")
}

fn url(link: &Link) -> Secret {
    let Link { database, engine, role, password } = link;
    let password = password.expose_text().unwrap_or_default();
    let port = engine.port();
    Secret::from(match engine {
        Kind::Postgres => format!("postgresql://{role}:{password}@{database}:{port}/{database}"),
        Kind::Mariadb => format!("mysql://{role}:{password}@{database}:{port}/{database}"),
        Kind::Redis | Kind::Valkey => format!("redis://{role}:{password}@{database}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(database: &str, engine: Kind) -> Link {
        Link {
            database: database.parse().expect("is a name"),
            engine,
            role: "api_a".parse().expect("is a role"),
            password: Secret::from("s3cret"),
        }
    }

    fn text(links: &[Link]) -> String {
        let line =
            |(key, value): (EnvKey, Secret)| format!("{key}={}\n", value.expose_text().expect("is text"));
        variables(links).into_iter().map(line).collect()
    }

    #[test]
    fn first_ones_have_the_usual_names() {
        let links = [link("db", Kind::Postgres), link("my-log", Kind::Postgres), link("cache", Kind::Valkey)];
        insta::assert_snapshot!(text(&links), @r"
        CACHE_URL=redis://api_a:s3cret@cache:6379
        DATABASE_URL=postgresql://api_a:s3cret@db:5432/db
        DB_URL=postgresql://api_a:s3cret@db:5432/db
        MY_LOG_URL=postgresql://api_a:s3cret@my-log:5432/my-log
        PGDATABASE=db
        PGHOST=db
        PGPASSWORD=s3cret
        PGPORT=5432
        PGUSER=api_a
        REDIS_URL=redis://api_a:s3cret@cache:6379
        ");
    }

    #[test]
    fn a_mariadb_has_names_of_its_own_beside_a_postgres() {
        let links = [link("shop", Kind::Mariadb), link("db", Kind::Postgres)];
        insta::assert_snapshot!(text(&links), @r"
        DATABASE_URL=mysql://api_a:s3cret@shop:3306/shop
        DB_URL=postgresql://api_a:s3cret@db:5432/db
        MYSQL_DATABASE=shop
        MYSQL_HOST=shop
        MYSQL_PASSWORD=s3cret
        MYSQL_PORT=3306
        MYSQL_USER=api_a
        PGDATABASE=db
        PGHOST=db
        PGPASSWORD=s3cret
        PGPORT=5432
        PGUSER=api_a
        SHOP_URL=mysql://api_a:s3cret@shop:3306/shop
        ");
    }

    #[test]
    fn a_database_called_database_takes_no_name_away() {
        let links = [link("db", Kind::Postgres), link("database", Kind::Postgres)];
        assert!(text(&links).contains("DATABASE_URL=postgresql://api_a:s3cret@db:"));
        assert!(names(&[]).is_empty());
        assert_eq!(names(&[("cache".parse().unwrap(), Kind::Redis)]).len(), 2);
    }
}

//! Reads `[sites.<name>]`. Tests: `tests/it/manifest.rs`.

use crate::manifest::problem::Code;
use crate::manifest::read::{Fields, Reader, Value};
use crate::manifest::{Found, Kind, edge, route, schema, source};
use crate::name::ServiceName;
use crate::service::spec::{SPEC_VERSION, ServiceSpec, SiteSource, SiteWork, Work};

/// Reads one site; `None` when it has problems that leave no whole specification.
pub(super) fn read(reader: &mut Reader<'_>, name: ServiceName, value: &Value<'_>) -> (Kind, Option<Found>) {
    let Some(fields) = reader.table(&schema::SITE, value) else { return (Kind::Site, None) };
    let mut routes = match fields.find("hosts") {
        Some(hosts) => route::read_hosts(reader, &hosts),
        None => Vec::new(),
    };
    let edge = edge::read(reader, &fields, &mut routes);
    refuse_task_keys(reader, &fields);
    let mut flag =
        |key, default| fields.find(key).and_then(|value| reader.boolean(&value)).unwrap_or(default);
    let (spa, expose_release) = (flag("spa", false), flag("expose_release", true));
    let found = read_source(reader, &fields).map(|source| Found {
        spec: ServiceSpec {
            version: SPEC_VERSION,
            name,
            routes: routes.iter().map(|route| route.spec.clone()).collect(),
            expose_release,
            edge,
            work: Work::Site(SiteWork { source, spa }),
        },
        routes,
        at: value.key_at.clone(),
        replicas_at: value.key_at.clone(),
    });
    (Kind::Site, found)
}

/// A site has no tasks that these could be about.
fn refuse_task_keys(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    let Some(edge) = fields.find("edge") else { return };
    let Some(table) = reader.any_table(&edge) else { return };
    let table = Fields::open(&edge.path, edge.at(), table);
    for key in ["strip_prefix", "request_headers", "sticky", "timeouts", "hold", "compress", "max_body"] {
        if let Some(value) = table.find(key) {
            let message = format!("`{}` is about tasks, and a site has none", value.path);
            reader.report(Code::Conflict, value.key_at.clone(), message, "remove it");
        }
    }
}

fn read_source(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<SiteSource> {
    match (fields.find("dockerfile"), fields.find("root")) {
        (Some(_), Some(root)) => {
            let message = format!("`{}` has both `dockerfile` and `root`", fields.path);
            let hint = "keep `root` for finished files, or `dockerfile` and `output` for files a build makes";
            reader.report(Code::Conflict, root.key_at.clone(), message, hint);
            None
        }
        (Some(dockerfile), None) => {
            let build = source::read_dockerfile(reader, fields, &dockerfile);
            let Some(output) = fields.find("output") else {
                let message = format!("`{}` does not say where the built files are", fields.path);
                let hint = "add output = \"/site\": the folder of the files inside the image";
                reader.report(Code::MissingKey, dockerfile.key_at.clone(), message, hint);
                return None;
            };
            let output = reader.parsed(&output);
            Some(SiteSource::Dockerfile { build: build?, output: output? })
        }
        (None, Some(root)) => {
            source::refuse_build_keys(reader, fields, &["context", "target", "args", "output"], "root");
            Some(SiteSource::Folder { root: source::read_path(reader, &root)? })
        }
        (None, None) => {
            let message = format!("`{}` does not say where its files come from", fields.path);
            let hint = "add root = \"dist\" for finished files, or `dockerfile` and `output` to build them";
            reader.report(Code::MissingKey, fields.at.clone(), message, hint);
            None
        }
    }
}

//! Reads `[sites.<name>]`. Tests: `tests/it/manifest.rs`.

use havre_core::suggest::nearest;
use std::collections::BTreeMap;

use crate::problem::Code;
use crate::read::{Fields, Reader, Value};
use crate::{Found, Kind, edge, https, paths, route, schema, source};
use havre_core::name::ServiceName;
use havre_core::quantity::Span;
use havre_core::service::spec::{SPEC_VERSION, ServiceSpec, SiteSource, SiteWork, Work};
use havre_core::site::purge::{PurgeBody, PurgeMethod, PurgeSpec};
use havre_core::site::settings::{self, CdnSpec, CleanUrls, SiteSettings, TagHeader, TrailingSlash};

/// Where a Dockerfile that Havre writes puts the files of a site.
const WRITTEN_OUTPUT: &str = "/site";

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
    let settings = read_settings(reader, &fields);
    let https = https::read(reader, &fields);
    let paths = paths::read(reader, &fields);
    let found = read_source(reader, &fields).map(|source| Found {
        spec: ServiceSpec {
            version: SPEC_VERSION,
            name,
            routes: routes.iter().map(|route| route.spec.clone()).collect(),
            expose_release,
            edge,
            https,
            work: Work::Site(Box::new(SiteWork { source, spa, settings })),
            jobs: BTreeMap::new(),
        },
        test: None,
        paths,
        uses: Vec::new(),
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

/// Each setting that has a problem keeps its default; the problem is reported.
fn read_settings(reader: &mut Reader<'_>, fields: &Fields<'_>) -> SiteSettings {
    let mut settings = SiteSettings::default();
    let clean = [("serve", CleanUrls::Serve), ("redirect", CleanUrls::Redirect), ("off", CleanUrls::Off)];
    let slash =
        [("auto", TrailingSlash::Auto), ("always", TrailingSlash::Always), ("never", TrailingSlash::Never)];
    if let Some(chosen) = read_word(reader, fields, "clean_urls", &clean) {
        settings.clean_urls = chosen;
    }
    if let Some(chosen) = read_word(reader, fields, "trailing_slash", &slash) {
        settings.trailing_slash = chosen;
    }
    if let Some(value) = fields.find("keep_assets")
        && let Some(keep) = reader.span(&value, Span::seconds(0)..=settings::KEEP_ASSETS_MAX)
    {
        settings.keep_assets = keep;
    }
    if let Some(value) = fields.find("releases")
        && let Some(count) = reader.integer(&value, 1..=settings::RELEASES_KEPT_MAX)
    {
        settings.releases_kept = count;
    }
    settings.cdn = fields.find("cdn").and_then(|value| read_cdn(reader, &value));
    settings
}

fn read_cdn(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<CdnSpec> {
    let fields = reader.table(&schema::CDN, value)?;
    let words = [
        ("surrogate-key", TagHeader::SurrogateKey),
        ("cache-tag", TagHeader::CacheTag),
        ("cdn-tag", TagHeader::CdnTag),
    ];
    if fields.find("tags").is_none() {
        let message = format!("`{}` has no `tags`", fields.path);
        let hint =
            "add tags = \"surrogate-key\" (Fastly), \"cache-tag\" (Cloudflare) or \"cdn-tag\" (bunny.net)";
        reader.report(Code::MissingKey, fields.at.clone(), message, hint);
    }
    let tags = read_word(reader, &fields, "tags", &words);
    let hold = match fields.find("hold") {
        Some(value) => Some(reader.span(&value, Span::seconds(1)..=settings::HOLD_MAX)?),
        None => None,
    };
    let purge = match fields.find("purge") {
        Some(value) => Some(Box::new(read_purge(reader, &value)?)),
        None => None,
    };
    Some(CdnSpec { tags: tags?, hold, purge })
}

fn read_purge(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<PurgeSpec> {
    let fields = reader.table(&schema::PURGE, value)?;
    for (key, hint) in [
        ("url", "add url = \"https://api.example.org/purge/{tag}\", as the CDN's documentation says"),
        ("header", "add header = \"Authorization\": the header that carries the secret"),
        ("secret", "add secret = \"cdn\": the name of a secret on the server, never the secret itself"),
    ] {
        if fields.find(key).is_none() {
            let message = format!("`{}` has no `{key}`", fields.path);
            reader.report(Code::MissingKey, fields.at.clone(), message, hint);
        }
    }
    let methods = [("POST", PurgeMethod::Post), ("PURGE", PurgeMethod::Purge)];
    let method = match fields.find("method") {
        Some(_) => read_word(reader, &fields, "method", &methods),
        None => Some(PurgeMethod::default()),
    };
    let body = match fields.find("body") {
        Some(value) => reader.parsed(&value),
        None => Some(PurgeBody::default()),
    };
    let url = fields.find("url").and_then(|value| reader.parsed(&value));
    let header = fields.find("header").and_then(|value| reader.parsed(&value));
    let secret = fields.find("secret").and_then(|value| reader.parsed(&value));
    Some(PurgeSpec { url: url?, method: method?, header: header?, secret: secret?, body: body? })
}

/// One of a few words.
pub(super) fn read_word<T: Copy>(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    key: &str,
    words: &[(&'static str, T)],
) -> Option<T> {
    let value = fields.find(key)?;
    let text = reader.text(&value, "text in quotes")?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let shown: String = text.chars().take(32).flat_map(char::escape_debug).collect();
        let message = format!("`{}`: `{shown}` is none of its values", value.path);
        let hint = match nearest(text, &names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("values are: {}", names.join(", ")),
        };
        reader.report(Code::WrongValue, value.at(), message, hint);
    }
    found.map(|(_, chosen)| *chosen)
}

fn read_source(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<SiteSource> {
    let build = fields.find("build");
    let is_built = build.as_ref().and_then(|build| reader.boolean(build)).unwrap_or(false);
    match (fields.find("dockerfile"), fields.find("root")) {
        (Some(_), _) if is_built => {
            let message = format!("`{}` has both `dockerfile` and build = true", fields.path);
            let hint = "remove `dockerfile` to have Havre write one, or `build`";
            reader.report(
                Code::Conflict,
                build.map_or(fields.at.clone(), |build| build.key_at),
                message,
                hint,
            );
            None
        }
        (None, _) if is_built => {
            let build = source::read_written(reader, fields, &["target", "output"])?;
            let output = WRITTEN_OUTPUT.parse().expect("it is an absolute path");
            Some(SiteSource::Dockerfile { build, output })
        }
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
            let keys = ["context", "target", "args", "build_secrets", "output"];
            source::refuse_build_keys(reader, fields, &keys, "root");
            Some(SiteSource::Folder { root: source::read_path(reader, &root)? })
        }
        (None, None) => {
            let message = format!("`{}` does not say where its files come from", fields.path);
            let hint = "add root = \"dist\" for finished files; with build = true Havre builds them from a folder such \
                        as root = \"web\"; or name `dockerfile` and `output`";
            reader.report(Code::MissingKey, fields.at.clone(), message, hint);
            None
        }
    }
}

import shutil,os
exec(open('/tmp/c1d/sub.py').read())
shutil.copy('/tmp/c1d/s4/purge.rs','crates/core/src/site/purge.rs')
shutil.copy('/tmp/c1d/s4/store_purge.rs','crates/store/src/purge.rs')
os.makedirs('crates/reconcile/src/purge',exist_ok=True)
shutil.copy('/tmp/c1d/s4/reconcile_purge.rs','crates/reconcile/src/purge/mod.rs')
shutil.copy('/tmp/c1d/s4/reconcile_purge_http.rs','crates/reconcile/src/purge/http.rs')
sub('crates/core/src/site/mod.rs',('pub mod pattern;\n','pub mod pattern;\npub mod purge;\n'))
sub('crates/core/src/site/settings.rs',('''    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold: Option<Span>,
}''','''    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold: Option<Span>,
    /// How to tell it to forget pages after a switch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub purge: Option<PurgeSpec>,
}'''),('use crate::quantity::Span;','use crate::quantity::Span;\nuse crate::site::purge::PurgeSpec;'))
sub('crates/core/src/site/event.rs',('''        releases: Vec<ReleaseId>,
    },
}''','''        releases: Vec<ReleaseId>,
    },
    /// The CDN was told to forget pages.
    Purged {
        /// Which release had gone live.
        release: ReleaseId,
        /// What it answered.
        status: u16,
    },
    /// The CDN could not be told.
    PurgeFailed {
        /// Which release had gone live.
        release: ReleaseId,
        /// How often it was tried.
        tries: u32,
        /// Why not.
        reason: String,
        /// When it is tried again; never when absent.
        next_at: Option<Timestamp>,
    },
}'''),('''        let Self::FilesRemoved { digest, releases } = self;
        let releases: Vec<String> = releases.iter().map(ToString::to_string).collect();
        write!(f, "files of {} removed (site {})", releases.join(", "), digest.short())''','''        match self {
            Self::FilesRemoved { digest, releases } => {
                let releases: Vec<String> = releases.iter().map(ToString::to_string).collect();
                write!(f, "files of {} removed (site {})", releases.join(", "), digest.short())
            }
            Self::Purged { release, status } => {
                write!(f, "CDN forgot the pages before {release} (it answered {status})")
            }
            Self::PurgeFailed { release, tries, reason, next_at: Some(_) } => {
                write!(f, "CDN not told of {release} (try {tries}, another follows): {reason}")
            }
            Self::PurgeFailed { release, tries, reason, next_at: None } => {
                write!(f, "CDN not told of {release} after {tries} tries: {reason}; purge it by hand")
            }
        }'''),('use crate::id::ReleaseId;','use crate::id::ReleaseId;\nuse crate::time::Timestamp;'))
sub('crates/core/src/manifest/schema.rs',('''    known: &["tags", "hold"],
    later: &[],
    meant: &[("ttl", "hold"), ("max_age", "hold"), ("header", "tags")],
};
''','''    known: &["tags", "hold", "purge"],
    later: &[],
    meant: &[("ttl", "hold"), ("max_age", "hold"), ("header", "tags")],
};

/// `purge = { ... }` of a CDN.
pub const PURGE: Keys = Keys {
    table: "sites.<name>.cdn.purge",
    known: &["url", "method", "header", "secret", "body"],
    later: &[],
    meant: &[("token", "secret"), ("key", "secret"), ("address", "url")],
};
'''),('[&Keys; 7] = [&ROOT, &SERVICE, &HEALTH, &CHECK, &SITE, &CDN, &ENVIRONMENT]','[&Keys; 8] = [&ROOT, &SERVICE, &HEALTH, &CHECK, &SITE, &CDN, &PURGE, &ENVIRONMENT]'))
sub('crates/core/src/manifest/site.rs',('''    Some(CdnSpec { tags: tags?, hold })
}''','''    let purge = match fields.find("purge") {
        Some(value) => Some(read_purge(reader, &value)?),
        None => None,
    };
    Some(CdnSpec { tags: tags?, hold, purge })
}

fn read_purge(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<PurgeSpec> {
    let fields = reader.table(&schema::PURGE, value)?;
    for (key, hint) in [
        ("url", "add url = \\"https://api.example.org/purge/{tag}\\""),
        ("header", "add header = \\"Authorization\\": the header that carries the secret"),
        ("secret", "add secret = \\"cdn\\": the name of a file in the server's folder of secrets"),
    ] {
        if fields.find(key).is_none() {
            let message = format!("`{}` has no `{key}`", fields.path);
            reader.report(Code::MissingKey, fields.at.clone(), message, hint);
        }
    }
    let method = match fields.find("method") {
        Some(_) => read_word(reader, &fields, "method", &[("POST", PurgeMethod::Post), ("PURGE", PurgeMethod::Purge)])?,
        None => PurgeMethod::Post,
    };
    let body = match fields.find("body") {
        Some(value) => reader.parsed(&value)?,
        None => PurgeBody::default(),
    };
    let url = fields.find("url").and_then(|value| reader.parsed(&value));
    let secret = fields.find("secret").and_then(|value| reader.parsed(&value));
    let header = fields.find("header").and_then(|value| reader.parsed(&value));
    Some(PurgeSpec { url: url?, method, header: header?, secret: secret?, body })
}'''),('use crate::site::settings::{self,','use crate::site::purge::{PurgeBody, PurgeMethod, PurgeSpec};\nuse crate::site::settings::{self,'))
sub('crates/core/src/site/header.rs',('''impl TryFrom<String> for Text {''','''impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::try_from(name.to_owned())
    }
}

impl TryFrom<String> for Text {'''))
sub('docs/havre-toml.md',('''
## `environments.<name>`
''','''| `purge` | table | none | How to tell the CDN to forget them after each switch, see below. |

## `sites.<name>.cdn.purge`

After a switch, once every edge serves the new release, the server calls this address: tried again after 10 s, 30 s, 1, 5, 15, 30 and 60 minutes, for about a
day. `havre events` shows how it went. `{tag}` stands for `<project>-<environment>-<site>-pages`.

| key | type | default | meaning |
|---|---|---|---|
| `url` | text | must be there | `https://` address. Private addresses and `http://` are refused unless the server allows them (`purge_private` in `havred.toml`). |
| `method` | text | `"POST"` | `"POST"` or `"PURGE"`. |
| `header` | text | must be there | Header that carries the secret, such as `"Fastly-Key"` or `"Authorization"`. |
| `secret` | text | must be there | Name of the secret: a file in the server's folder `purge_secrets` (`havred.toml`), whose one line is the header's value. The value is in no file of the repository, no row and no log. |
| `body` | text | none | JSON to send, such as `'{"tags": ["{tag}"]}'`. |

## `environments.<name>`
'''))
sub('crates/store/src/lib.rs',('pub mod route;\n','pub mod purge;\npub mod route;\n'),('pub use pool::AddressPool;\n','pub use pool::AddressPool;\npub use purge::PurgeRow;\n'))
sub('crates/store/src/site.rs',('''            self.forget_left(to)?;
        }''','''            self.forget_left(to)?;
            self.request_purge(to)?;
        }'''))
sub('crates/store/src/service.rs',('''            "DELETE FROM site_releases WHERE''','''            "DELETE FROM purges WHERE service = ?1",
            "DELETE FROM site_releases WHERE'''))
import glob
m=[p for p in glob.glob('crates/store/migrations/*site_releases.sql')][0]
open(m,'a').write('''
-- Calls to CDNs that are still to be made.
CREATE TABLE purges (
    service INTEGER PRIMARY KEY REFERENCES services (id),
    release INTEGER NOT NULL REFERENCES releases (id),
    tries   INTEGER NOT NULL CHECK (tries >= 0),
    next_at INTEGER NOT NULL
) STRICT;
''')
sub('crates/reconcile/src/lib.rs',('pub mod public;\n','pub mod public;\npub mod purge;\n'))
sub('crates/reconcile/src/world.rs',('''    /// Asks the public listener.
    pub public: Arc<dyn PublicProbe>,
    /// Places''','''    /// Asks the public listener.
    pub public: Arc<dyn PublicProbe>,
    /// Calls CDNs.
    pub purger: Arc<dyn Purger>,
    /// Places'''),('            public: seams.public,\n','            public: seams.public,\n            purger: seams.purger,\n'),('''    /// Asks the public listener.
    pub public: Arc<dyn PublicProbe>,
}''','''    /// Asks the public listener.
    pub public: Arc<dyn PublicProbe>,
    /// Calls CDNs.
    pub purger: Arc<dyn Purger>,
}'''),('use crate::public::PublicProbe;','use crate::public::PublicProbe;\nuse crate::purge::Purger;'))
sub('crates/reconcile/src/purge/mod.rs',('''    let now = world.now();
    let due = world''','''    // One call may take a while, and the loops do not wait for it.
    let Ok(_turn) = world.purging.try_lock() else { return Ok(()) };
    let now = world.now();
    let due = world'''))
sub('crates/reconcile/src/world.rs',('''    pub(crate) building: crate::build::Running,''','''    pub(crate) purging: Arc<tokio::sync::Mutex<()>>,
    pub(crate) building: crate::build::Running,'''),('''            building: Arc::default(),''','''            purging: Arc::default(),
            building: Arc::default(),'''))
sub('crates/reconcile/src/runner.rs',('''    let services = match world.store.read(list_services).await {''','''    if which == Which::All {
        let world = world.clone();
        world.clone().tracker.spawn(async move {
            if let Err(error) = purge::activate(&world).await {
                tracing::error!(error = %chain(&error), "could not look for calls to CDNs");
            }
        });
    }
    let services = match world.store.read(list_services).await {'''),('use crate::{build, route, service, site};','use crate::{build, purge, route, service, site};'))
sub('crates/daemon/src/control.rs',('Seams { engine, builder, clock: Arc::new(SystemClock), public: Arc::new(HttpProbe) }','''Seams {
        engine,
        builder,
        clock: Arc::new(SystemClock),
        public: Arc::new(HttpProbe),
        purger: Arc::new(HttpPurger::new(PurgeSettings {
            secrets_dir: config.purge_secrets.clone(),
            allow_private: config.purge_private,
        })),
    }'''),('use havre_reconcile::public::HttpProbe;','use havre_reconcile::public::HttpProbe;\nuse havre_reconcile::purge::{HttpPurger, PurgeSettings};'))
sub('crates/daemon/src/config.rs',('''    /// Builds at once. Default 1.
    pub(crate) builds: usize,
}''','''    /// Builds at once. Default 1.
    pub(crate) builds: usize,
    /// Secrets for calls to CDNs, one file each. Default `/etc/havre/purge`.
    pub(crate) purge_secrets: PathBuf,
    /// Calls to CDNs may go to private addresses and over plain HTTP. Default false.
    pub(crate) purge_private: bool,
}'''),('            builds: 1,\n','            builds: 1,\n            purge_secrets: PathBuf::from("/etc/havre/purge"),\n            purge_private: false,\n'))
sub('crates/reconcile/tests/it/world.rs',('            public: Arc::clone(&self.edge) as _,\n','            public: Arc::clone(&self.edge) as _,\n            purger: Arc::clone(&self.cdn) as _,\n'),
('''    /// Exit code of release commands.
    pub(crate) command_exit: Arc<AtomicI64>,
}''','''    /// Exit code of release commands.
    pub(crate) command_exit: Arc<AtomicI64>,
    pub(crate) cdn: Arc<FakeCdn>,
}

/// A CDN: what it was told, and how often it fails first.
#[derive(Debug, Default)]
pub(crate) struct FakeCdn {
    pub(crate) told: Mutex<Vec<String>>,
    pub(crate) fails: AtomicI64,
}

#[async_trait]
impl Purger for FakeCdn {
    async fn purge(&self, spec: &PurgeSpec, tag: &str) -> Result<u16, PurgeError> {
        if self.fails.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Err(PurgeError("cdn.example: answered 503".to_owned()));
        }
        self.told.lock().unwrap().push(format!("{} {}", spec.method.as_str(), spec.url.target(tag)));
        Ok(200)
    }
}'''),('            command_exit: Arc::default(),\n','            command_exit: Arc::default(),\n            cdn: Arc::default(),\n'),
('use havre_reconcile::public::{PublicAnswer, PublicError, PublicProbe};','use havre_core::site::purge::PurgeSpec;\nuse havre_reconcile::public::{PublicAnswer, PublicError, PublicProbe};\nuse havre_reconcile::purge::{PurgeError, Purger};'))
s=open('crates/reconcile/tests/it/site.rs').read()
s+='''
fn with_purge() -> SiteSettings {
    serde_json::from_value(serde_json::json!({
        "cdn": { "tags": "cache-tag", "hold": "1h", "purge": {
            "url": "https://cdn.example/purge/{tag}", "header": "X-Key", "secret": "cdn",
        } },
    }))
    .unwrap()
}

#[tokio::test]
async fn a_cdn_is_told_after_each_switch_and_again_until_it_listens() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(spec(with_purge())).await;
    deploy(&control, id).await;
    purge::activate(&control.world).await.unwrap();
    let told = || outside.cdn.told.lock().unwrap().clone();
    let call = "POST /purge/dropit-production-web-pages".to_owned();
    assert_eq!(told(), [call.clone()]);
    purge::activate(&control.world).await.unwrap();
    assert_eq!(told().len(), 1, "once is enough");

    outside.cdn.fails.store(2, Ordering::SeqCst);
    deploy(&control, id).await;
    purge::activate(&control.world).await.unwrap();
    purge::activate(&control.world).await.unwrap();
    assert_eq!(told().len(), 1, "it failed, and waits");
    for pause in [10, 30] {
        outside.clock.advance(Span::seconds(pause).duration());
        purge::activate(&control.world).await.unwrap();
    }
    assert_eq!(told(), [call.clone(), call]);
    assert_eq!(control.world.store.read(|view| view.list_purges()).await.unwrap(), []);
    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    let events = events.iter().map(|event| event.kind.to_string()).filter(|text| text.starts_with("CDN"));
    assert_eq!(
        events.collect::<Vec<_>>(),
        [
            "CDN forgot the pages before r1 (it answered 200)",
            "CDN not told of r2 (try 1, another follows): cdn.example: answered 503",
            "CDN not told of r2 (try 2, another follows): cdn.example: answered 503",
            "CDN forgot the pages before r2 (it answered 200)",
        ]
    );
}

#[tokio::test]
async fn a_cdn_that_never_listens_is_given_up_and_people_are_told() {
    let outside = Outside::new();
    let control = outside.control();
    let id = control.apply(spec(with_purge())).await;
    outside.cdn.fails.store(1000, Ordering::SeqCst);
    deploy(&control, id).await;
    for _ in 0..30 {
        purge::activate(&control.world).await.unwrap();
        outside.clock.advance(Span::seconds(3600).duration());
    }
    assert_eq!(outside.cdn.fails.load(Ordering::SeqCst), 1000 - 24);
    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    let last = events.last().unwrap().kind.to_string();
    assert_eq!(last, "CDN not told of r1 after 24 tries: cdn.example: answered 503; purge it by hand");
}
'''
s=s.replace('use havre_reconcile::site;','use havre_reconcile::{purge, site};').replace('use havre_core::artifact','use std::sync::atomic::Ordering;\n\nuse havre_core::artifact',1)
open('crates/reconcile/tests/it/site.rs','w').write(s)
s=open('crates/core/tests/it/site.rs').read()
s+='''
#[test]
fn addresses_to_call_are_closed() {
    for (text, authority, port, target) in [
        ("https://api.example.org/purge/{tag}", "api.example.org", 443, "/purge/web-pages"),
        ("https://api.example.org:8443?tag={tag}", "api.example.org:8443", 8443, "/?tag=web-pages"),
        ("http://[::1]:6081/", "[::1]:6081", 6081, "/"),
        ("http://10.0.0.5/x", "10.0.0.5", 80, "/x"),
    ] {
        let url: PurgeUrl = text.parse().expect(text);
        assert_eq!((url.authority(), url.port(), url.target("web-pages").as_str()), (authority, port, target));
        assert!(!url.host().contains(['[', ':']) || url.host() == "::1", "{}", url.host());
    }
    for text in [
        "", "ftp://a/", "https://", "https:///x", "https://a b/", "https://user@a.example/", "https://a.example/#x",
        "https://a.example/\\r\\nX: y", "https://a.example:0/", "https://a.example:99999/", "https://{tag}/", "https://A.example/",
        "https://[::1/", "//a.example/",
    ] {
        assert!(text.parse::<PurgeUrl>().is_err(), "{text}");
    }
    for text in ["", "../x", "a/b", "-a", "A", "a b"] {
        assert!(text.parse::<SecretName>().is_err(), "{text}");
    }
    assert!("{\\"a\\":".parse::<PurgeBody>().is_err());
    let body: PurgeBody = "{\\"tags\\":[\\"{tag}\\"]}".parse().unwrap();
    assert_eq!(body.filled("web-pages"), "{\\"tags\\":[\\"web-pages\\"]}");
}

#[test]
fn calls_are_tried_again_for_about_a_day() {
    let mut now = minutes(0);
    let mut tries = 0;
    while let Some(next) = next_try(tries + 1, now) {
        assert!(next > now);
        (now, tries) = (next, tries + 1);
    }
    assert_eq!((tries, now), (23, minutes(17 * 60 + 51) .after(Span::seconds(40).duration())));
}
'''
s=s.replace('use havre_core::site::redirects::{self, Outcome};','use havre_core::site::purge::{PurgeBody, PurgeUrl, SecretName, next_try};\nuse havre_core::site::redirects::{self, Outcome};')
open('crates/core/tests/it/site.rs','w').write(s)
sub('Cargo.toml',('[workspace.lints.rust]','[workspace.lints.rust]'))

//! BIND with a small world of names, for one test: it is the resolver and every zone's own server at once, and takes updates.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use havre_acme::dns::{Dns as _, DnsClient, DnsSettings};
use havre_core::dns::provider::{Provider, ProviderKind};
use havre_core::secret::Secret;

use crate::program::{Program, free_port, listens, unpacked};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SECRET: &str = "c2l4dGVlbiBieXRlcyBhbmQgbW9yZSBvZiB0aGVtIQ==";

/// The start of each zone.
const HEAD: &str =
    "$TTL 1\n@ SOA ns.example.test. ops.example.test. 1 3600 600 86400 1\n@ NS ns.example.test.\n";
const ZONES: [(&str, &str); 4] = [
    (".", "ns.example.test. A 127.0.0.1\n"),
    ("test", "ns.example.test. A 127.0.0.1\n"),
    (
        "example.test",
        "ns A 127.0.0.1\n@ A 203.0.113.7\nhere A 203.0.113.7\nhere AAAA 2001:db8::7\nthere A 198.51.100.1\nempty TXT nothing\n\
         alias CNAME here\nfar CNAME www.delegated.test.\nloop CNAME loop2\nloop2 CNAME loop\n\
         @ CAA 0 issue \"pretended.test\"\n_acme-challenge.far CNAME far.delegated.test.\n",
    ),
    ("delegated.test", "www A 203.0.113.7\n"),
];

pub(crate) struct Bind {
    pub(crate) dns: DnsClient,
    pub(crate) address: SocketAddr,
    _program: Program,
    _folder: tempfile::TempDir,
}

impl Bind {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port(HERE);
        let mut config = format!(
            "key platform {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
             options {{ directory \"{}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion yes; \
             allow-recursion {{ 127.0.0.1; }}; dnssec-validation no; \
             pid-file none; session-keyfile none; }};\ncontrols {{ }};\n",
            folder.path().display()
        );
        for (name, records) in ZONES {
            let file = format!("{}.zone", if name == "." { "root" } else { name });
            std::fs::write(folder.path().join(&file), format!("{HEAD}{records}")).unwrap();
            config += &format!(
                "zone \"{name}\" {{ type master; file \"{file}\"; update-policy {{ grant platform zonesub ANY; }}; }};\n"
            );
        }
        std::fs::write(folder.path().join("named.conf"), config).unwrap();
        let program = Program::start(
            Command::new(unpacked("bind9/usr/sbin/named"))
                .args(["-g", "-c"])
                .arg(folder.path().join("named.conf"))
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(folder.path().join("log")).unwrap()),
        );
        let address = SocketAddr::new(HERE, port);
        listens(address).await;
        let settings = DnsSettings {
            patience: Duration::from_secs(2),
            allow_private: true,
            authoritative_port: port,
            ..DnsSettings::new(vec![address])
        };
        let dns = DnsClient::new(settings);
        // It listens before it has read its zones, and says SERVFAIL until then.
        let is_ready = async || {
            let views = dns.addresses(&"here.example.test".parse().unwrap()).await;
            views.iter().all(|view| view.answer.is_ok())
        };
        while !is_ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { dns, address, _program: program, _folder: folder }
    }

    /// The way to write records here.
    pub(crate) fn provider(&self) -> Provider {
        self.provider_with("platform", SECRET)
    }

    pub(crate) fn provider_with(&self, key: &str, secret: &str) -> Provider {
        let fields =
            [("server", self.address.to_string()), ("key", key.to_owned()), ("secret", secret.to_owned())];
        let fields = fields.map(|(name, value)| (name.to_owned(), Secret::from(value)));
        Provider::parse(ProviderKind::Rfc2136, fields.into()).unwrap()
    }
}

//! Providers of DNS that Havre can write records at, and what each wants to know: one closed table, read by the
//! configuration, the API and the docs. Talking to them is done in `havre-acme`. Tests at the end of the file.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::secret::Secret;
use crate::text::text_json;

/// Something a provider wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Key in the configuration.
    pub name: &'static str,
    /// Whether it can be left out.
    pub is_optional: bool,
    /// Whether it is a secret: never shown again once it is set.
    pub is_secret: bool,
}

const fn secret(name: &'static str) -> Field {
    Field { name, is_optional: false, is_secret: true }
}

const fn open(name: &'static str) -> Field {
    Field { name, is_optional: false, is_secret: false }
}

const fn optional(name: &'static str) -> Field {
    Field { name, is_optional: true, is_secret: false }
}

const TOKEN: &[Field] = &[secret("token")];
const KEY_AND_SECRET: &[Field] = &[secret("key"), secret("secret")];
const USER_AND_PASSWORD: &[Field] = &[open("user"), secret("password")];
const USER_AND_KEY: &[Field] = &[open("user"), secret("key")];

// One macro, because the enum, its names and its fields must not drift apart.
macro_rules! providers {
    ($($name:ident $text:literal $title:literal $fields:expr;)*) => {
        /// A provider of DNS.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ProviderKind {
            $(#[doc = $title] $name,)*
        }

        impl ProviderKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Its name for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What it wants to know.
            pub const fn fields(self) -> &'static [Field] {
                match self { $(Self::$name => const { $fields },)* }
            }
        }
    };
}

providers! {
    Infomaniak "infomaniak" "Infomaniak" TOKEN;
    Rfc2136 "rfc2136" "a server of your own, by RFC 2136 with TSIG (BIND, Knot, PowerDNS)"
        &[open("server"), open("key"), secret("secret"), optional("algorithm")];
    Bunny "bunny" "bunny.net" TOKEN;
    Cloudflare "cloudflare" "Cloudflare" TOKEN;
    ClouDns "cloudns" "ClouDNS" &[open("auth-id"), secret("password")];
    Desec "desec" "deSEC" TOKEN;
    DigitalOcean "digitalocean" "DigitalOcean" TOKEN;
    DnsMadeEasy "dnsmadeeasy" "DNS Made Easy" KEY_AND_SECRET;
    Dnsimple "dnsimple" "DNSimple" &[secret("token"), open("account")];
    Domeneshop "domeneshop" "Domeneshop" KEY_AND_SECRET;
    Exoscale "exoscale" "Exoscale" KEY_AND_SECRET;
    Gandi "gandi" "Gandi LiveDNS" TOKEN;
    Gcore "gcore" "Gcore" TOKEN;
    Glesys "glesys" "GleSYS" USER_AND_KEY;
    Godaddy "godaddy" "GoDaddy" KEY_AND_SECRET;
    Hetzner "hetzner" "Hetzner" TOKEN;
    HostingDe "hostingde" "hosting.de" TOKEN;
    Hostinger "hostinger" "Hostinger" TOKEN;
    Inwx "inwx" "INWX" USER_AND_PASSWORD;
    Ionos "ionos" "IONOS" TOKEN;
    Linode "linode" "Linode" TOKEN;
    LuaDns "luadns" "LuaDNS" &[open("user"), secret("token")];
    MythicBeasts "mythicbeasts" "Mythic Beasts" USER_AND_PASSWORD;
    NameDotCom "namedotcom" "name.com" &[open("user"), secret("token")];
    Netcup "netcup" "netcup" &[open("customer"), secret("key"), secret("password")];
    Netlify "netlify" "Netlify" TOKEN;
    Ns1 "ns1" "NS1" TOKEN;
    Ovh "ovh" "OVHcloud"
        &[secret("application-key"), secret("application-secret"), secret("consumer-key"), optional("region")];
    Porkbun "porkbun" "Porkbun" KEY_AND_SECRET;
    PowerDns "powerdns" "PowerDNS, by its HTTP API" &[open("url"), secret("key"), optional("server")];
    Route53 "route53" "Amazon Route 53"
        &[open("access-key-id"), secret("secret-access-key"), optional("region"), optional("zone-id")];
    Scaleway "scaleway" "Scaleway" TOKEN;
    SimplyCom "simply" "Simply.com" USER_AND_KEY;
    TransIp "transip" "TransIP" &[open("user"), secret("private-key")];
    Vercel "vercel" "Vercel" &[secret("token"), optional("team")];
    Vultr "vultr" "Vultr" TOKEN;
    ZoneEu "zoneeu" "Zone.eu" USER_AND_KEY;
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ProviderKind {
    type Err = ProviderError;

    fn from_str(text: &str) -> Result<Self, ProviderError> {
        Self::ALL.iter().find(|kind| kind.as_str() == text).copied().ok_or_else(|| ProviderError::Unknown {
            text: text.chars().take(48).collect(),
            near: near_kind(text),
        })
    }
}

text_json! { ProviderKind }

fn near_kind(text: &str) -> Option<ProviderKind> {
    let (kind, likeness) = ProviderKind::ALL
        .iter()
        .map(|kind| (*kind, strsim::jaro_winkler(text, kind.as_str())))
        .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    (likeness > 0.8).then_some(kind)
}

/// What is wrong with the settings of a provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No such provider.
    #[error("`{text}` is not a DNS provider Havre knows{}", near.map(|kind| format!("; did you mean `{kind}`?")).unwrap_or_default())]
    Unknown {
        /// What was given.
        text: String,
        /// The nearest one.
        near: Option<ProviderKind>,
    },
    /// A field is missing or empty.
    #[error("the DNS provider {kind} also needs `{field}`", kind = kind.as_str())]
    Missing {
        /// The provider.
        kind: ProviderKind,
        /// The field.
        field: &'static str,
    },
    /// A field it does not have.
    #[error("the DNS provider {kind} has no `{field}`; it takes {takes}", kind = kind.as_str(), takes = field_names(*kind))]
    NoSuchField {
        /// The provider.
        kind: ProviderKind,
        /// The field.
        field: String,
    },
    /// A value that cannot be right: not text, with control characters, or too long.
    #[error("`{field}` of the DNS provider {kind} is not a line of text of at most 8192 characters", kind = kind.as_str())]
    BadValue {
        /// The provider.
        kind: ProviderKind,
        /// The field.
        field: &'static str,
    },
}

fn field_names(kind: ProviderKind) -> String {
    let names: Vec<String> = kind.fields().iter().map(|field| format!("`{}`", field.name)).collect();
    names.join(", ")
}

/// A provider with everything it wants to know. All values are held as secrets, so that none can be printed.
#[derive(Debug, Clone)]
pub struct Provider {
    kind: ProviderKind,
    values: BTreeMap<&'static str, Secret>,
}

impl Provider {
    /// Checks that every field is known and every needed one is there.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(kind: ProviderKind, given: BTreeMap<String, Secret>) -> Result<Self, ProviderError> {
        let mut values = BTreeMap::new();
        for (name, value) in given {
            let Some(field) = kind.fields().iter().find(|field| field.name == name) else {
                return Err(ProviderError::NoSuchField { kind, field: name.chars().take(48).collect() });
            };
            // A private key in PEM has lines; nothing else may.
            let is_text = value.expose_text().is_some_and(|text| {
                text.len() <= 8192
                    && text.chars().all(|c| !c.is_control() || (c == '\n' && name == "private-key"))
            });
            if !is_text {
                return Err(ProviderError::BadValue { kind, field: field.name });
            }
            if !value.is_empty() {
                values.insert(field.name, value);
            }
        }
        match kind.fields().iter().find(|field| !field.is_optional && !values.contains_key(field.name)) {
            Some(missing) => Err(ProviderError::Missing { kind, field: missing.name }),
            None => Ok(Self { kind, values }),
        }
    }

    /// Which one.
    pub const fn kind(&self) -> ProviderKind {
        self.kind
    }

    /// The value of a field; empty where an optional one was left out.
    pub fn value(&self, field: &str) -> &str {
        self.values.get(field).and_then(Secret::expose_text).unwrap_or_default()
    }

    /// Every value with its field, for sealing them.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        self.values.iter().map(|(name, value)| (*name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, fields: &[(&str, &str)]) -> Result<Provider, ProviderError> {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(*value))).collect();
        Provider::parse(kind.parse()?, fields)
    }

    #[test]
    fn names_are_unique_and_read_back() {
        for kind in ProviderKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert!(kind.fields().iter().any(|field| field.is_secret), "{kind} without a credential");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |kind, fields: &[(&str, &str)]| parse(kind, fields).expect_err("wrong").to_string();
        let lines = [
            said("infomanik", &[]),
            said("acme", &[]),
            said("infomaniak", &[]),
            said("infomaniak", &[("token", "")]),
            said("infomaniak", &[("token", "x"), ("key", "y")]),
            said("infomaniak", &[("token", "x\r\nhost: y")]),
            said("ovh", &[("application-key", "a"), ("application-secret", "b")]),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn the_page_of_providers_is_this_table() {
        let page = include_str!("../../../../docs/dns-providers.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let field = |field: &Field| {
            format!("`{}`{}", field.name, if field.is_optional { " (can be left out)" } else { "" })
        };
        let wanted: Vec<String> = ProviderKind::ALL
            .iter()
            .map(|kind| {
                let fields: Vec<String> = kind.fields().iter().map(field).collect();
                format!("| `{kind}` | {} | {} |", kind.title(), fields.join(", "))
            })
            .collect();
        assert_eq!(rows, wanted);
    }

    #[test]
    fn nothing_of_it_can_be_printed() {
        let provider =
            parse("rfc2136", &[("server", "192.0.2.1"), ("key", "k"), ("secret", "hunter2")]).unwrap();
        assert_eq!(provider.value("secret"), "hunter2");
        assert_eq!(provider.value("algorithm"), "");
        assert!(!format!("{provider:?}").contains("hunter2"));
    }
}

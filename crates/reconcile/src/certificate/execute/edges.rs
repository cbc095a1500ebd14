//! What edges do with our answers, looked at where an issuer would look: files over plain HTTP, certificates in a handshake.
//! Also makes the certificates they try. Chooses nothing. Tests: `tests/it/certificate`.

use std::net::SocketAddr;

use havre_core::certificate::Side;
use havre_core::certificate::challenge::Proof;
use havre_core::name::HostName;
use havre_core::route::EdgeView;
use havre_core::route::https::Challenge;
use havre_decide::certificate::conclude::Outcome;
use havre_decide::certificate::seen::Look;
use havre_decide::certificate::serve;
use havre_store::{Material, StoreError};
use havre_x509::challenge::{challenge_certificate, check_answer, digest_of, read_answer};
use havre_x509::inspect::leaf_der;

use super::{Site, failed};
use crate::deployment::chain;

/// What a certificate must answer for a host.
struct Expected {
    host: HostName,
    answer: [u8; 32],
}

impl Site<'_> {
    /// Makes a certificate for each host that answers what its file would. No issuer has asked for it.
    pub(super) async fn make_trial(&self) -> Result<(), StoreError> {
        let (mut proofs, mut materials) = (Vec::new(), Vec::new());
        for file in serve::answers(self.row) {
            match self.handshake(file.host, digest_of(&file.answer)) {
                Ok((proof, material)) => {
                    proofs.push(proof);
                    materials.push(material);
                }
                Err(outcome) => return self.store(outcome, Vec::new()).await,
            }
        }
        self.store(Outcome::TrialMade { proofs }, materials).await
    }

    /// The certificate that proves control over `host`, and what is kept of it.
    pub(super) fn handshake(&self, host: HostName, answer: [u8; 32]) -> Result<(Proof, Material), Outcome> {
        let made = challenge_certificate(&host, answer, self.world.now());
        let made = made.map_err(|error| failed(Side::Ours, chain(&error)))?;
        let digest = made.digest().parse().expect("a digest is one");
        let material = Material { digest, chain: made.chain, key: made.key };
        Ok((Proof::Handshake { host, digest: material.digest.clone() }, material))
    }

    /// Asks every edge for every answer it was given, each at one of its listeners.
    pub(super) async fn ask_edges(&self) -> Result<(), StoreError> {
        let seen = match self.expected().await? {
            Some(expected) => self.ask_each(&expected).await,
            None => Err("the certificate they should present is not kept any more".to_owned()),
        };
        let look = Look { at: self.world.now(), seen };
        self.world.certificates.look(self.row.id, |sight| sight.gave = Some(look));
        Ok(())
    }

    /// What the certificates that were made answer; `None` where one is not there.
    async fn expected(&self) -> Result<Option<Vec<Expected>>, StoreError> {
        let mut all = Vec::new();
        for proof in self.row.state.proofs() {
            let Proof::Handshake { host, digest } = proof else { continue };
            let digest = digest.clone();
            let kept = self.world.store.read(move |view| view.find_chain(&digest)).await?;
            let leaf = kept.and_then(|chain| leaf_der(&chain));
            let Some(answer) = leaf.and_then(|leaf| read_answer(&leaf).ok()) else { return Ok(None) };
            all.push(Expected { host: host.clone(), answer });
        }
        Ok(Some(all))
    }

    async fn ask_each(&self, expected: &[Expected]) -> Result<(), String> {
        let now = self.world.now();
        let edges = self.world.store.edges();
        let mut gave = Err("no edge reports any more".to_owned());
        for edge in edges.iter().filter(|edge| edge.is_fresh(now)) {
            gave = self.ask_edge(edge, expected).await.map_err(|why| format!("edge {}: {why}", edge.edge));
            if gave.is_err() {
                break;
            }
        }
        gave
    }

    async fn ask_edge(&self, edge: &EdgeView, expected: &[Expected]) -> Result<(), String> {
        for file in serve::answers(self.row) {
            self.fetch(&edge.listeners, &file).await?;
        }
        for one in expected {
            self.shake(&edge.https, one).await?;
        }
        Ok(())
    }

    async fn fetch(&self, listeners: &[SocketAddr], file: &Challenge) -> Result<(), String> {
        let mut last = "it listens nowhere".to_owned();
        let path = format!("/.well-known/acme-challenge/{}", file.token);
        for listener in listeners {
            match self.world.public.fetch(*listener, &file.host, &path).await {
                Ok((200, body)) if body == file.answer => return Ok(()),
                Ok((status, _)) => last = format!("{listener} answered {status} for {}{path}", file.host),
                Err(error) => last = chain(&error),
            }
        }
        Err(last)
    }

    async fn shake(&self, listeners: &[SocketAddr], expected: &Expected) -> Result<(), String> {
        let host = &expected.host;
        let mut last =
            "it listens nowhere for HTTPS, which tls-alpn-01 needs: set `https` of `[edge]` in havred.toml"
                .to_owned();
        for listener in listeners {
            match self.world.public.shake(*listener, host).await {
                Ok(leaf) => match check_answer(&leaf, host, &expected.answer) {
                    Ok(()) => return Ok(()),
                    Err(error) => {
                        last = format!("{listener} presents the wrong certificate for {host}: {error}");
                    }
                },
                Err(error) => last = chain(&error),
            }
        }
        Err(last)
    }
}

//! One measurement: a cell on a proxy for a while, with what it cost. It judges nothing. Tests: none of its own; every
//! answer is checked by the load.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::cell::{Body, Cell, Work};
use super::peers::{FILES_HOST, HOST, Proxy, havre};
use super::report::Measurement;
use super::{Upstream, h2load, ratio};
use crate::http::answer::Wanted;
use crate::http::exchange::{Exchange, get};
use crate::load::tally::Tally;
use crate::load::{Plan, Tls, run};
use crate::process::{CpuTimes, with_descendants};

/// Load before each measurement, which opens the connections on both sides.
const WARM_UP: Duration = Duration::from_millis(300);
/// Priority under SCHED_RR for latency.
const PRIORITY: &str = "10";
/// New connections at the same time.
const HANDSHAKES: usize = 16;

/// Everything that runs.
pub(super) struct Bench {
    pub(super) proxies: Vec<Proxy>,
    pub(super) upstream: Upstream,
    pub(super) seconds: Duration,
    pub(super) is_realtime: bool,
}

impl Bench {
    /// One cell on every proxy that can do it, in the order of this round.
    pub(super) fn round(
        &self,
        cell: Cell,
        round: usize,
        measurements: &mut Vec<Measurement>,
    ) -> anyhow::Result<()> {
        let able: Vec<&Proxy> = self
            .proxies
            .iter()
            .filter(|proxy| proxy.hosts == cell.work.hosts() && (proxy.has_files || !cell.work.needs_files()))
            .collect();
        for place in ratio::order(able.len(), round) {
            let proxy = able[place];
            let pids = with_descendants(&[proxy.child.id()])?;
            let everybody: Vec<u32> =
                pids.iter().copied().chain([self.upstream.child.id(), std::process::id()]).collect();
            let is_realtime = cell.is_realtime && self.is_realtime;
            if is_realtime {
                schedule(&everybody, &["--rr"], PRIORITY)?;
            }
            let result = match cell.work {
                Work::Http2 => self.measure_http2(proxy, &pids),
                _ => self.measure(cell, proxy, &pids),
            };
            if is_realtime {
                schedule(&everybody, &["--other"], "0")?;
            }
            let measurement = result.with_context(|| format!("measure {} at {}", cell.name, proxy.name))?;
            measurements.push(Measurement { cell: cell.name, round, proxy: proxy.name, ..measurement });
        }
        Ok(())
    }

    fn measure(&self, cell: Cell, proxy: &Proxy, pids: &[u32]) -> anyhow::Result<Measurement> {
        let (plan, body) = plan(cell.work, proxy)?;
        let end = Instant::now() + WARM_UP;
        run(&plan, |now| now >= end, |_| {})?;
        let before = CpuTimes::read(pids);
        let end = Instant::now() + self.seconds;
        let tally = run(&plan, |now| now >= end, |_| {})?;
        let cpu = CpuTimes::read(pids).since(&before);
        let report = tally.report();
        let is_short = tally.body_bytes != tally.ok * body;
        check_handshakes(cell.work, &tally)?;
        Ok(Measurement {
            cell: cell.name,
            round: 0,
            proxy: proxy.name,
            per_second: report.ok_per_second,
            cpu_us: cpu.as_secs_f64() * 1e6 / (tally.ok.max(1) as f64),
            p50_ms: report.latency_ms.p50,
            p99_ms: report.latency_ms.p99,
            requests: tally.requests,
            failed: tally.failures.total() + u64::from(is_short),
            not_started: tally.not_started,
            load: Some(report),
        })
    }

    fn measure_http2(&self, proxy: &Proxy, pids: &[u32]) -> anyhow::Result<Measurement> {
        h2load::run(proxy.secure, HOST, "/200", WARM_UP)?;
        let before = CpuTimes::read(pids);
        let outcome = h2load::run(proxy.secure, HOST, "/200", self.seconds)?;
        let cpu = CpuTimes::read(pids).since(&before);
        ensure!(outcome.ok > 0, "not one request was answered well");
        Ok(Measurement {
            cell: "",
            round: 0,
            proxy: proxy.name,
            per_second: outcome.per_second,
            cpu_us: cpu.as_secs_f64() * 1e6 / (outcome.ok as f64),
            p50_ms: 0.0,
            p99_ms: 0.0,
            requests: outcome.ok + outcome.failed,
            failed: outcome.failed,
            not_started: 0,
            load: None,
        })
    }
}

/// The load of a cell on a proxy, and the bytes of each good answer.
fn plan(work: Work, proxy: &Proxy) -> anyhow::Result<(Plan, u64)> {
    match work {
        Work::Get { path, body, is_secure, connections, pace } => {
            let host = if work.needs_files() { FILES_HOST } else { HOST };
            let extra = if body == Body::Brotli { "Accept-Encoding: gzip, deflate, br\r\n" } else { "" };
            let request = get(host, path, extra);
            let bytes = match body {
                Body::Bytes(bytes) => bytes,
                Body::Brotli => compressed(proxy, &request)?,
            };
            let target = if is_secure { proxy.secure } else { proxy.plain };
            let mut plan = Plan { connections, pace, ..Plan::get(target, host, path) };
            plan.kept_requests = vec![request];
            plan.tls = is_secure.then(|| tls(host, true)).transpose()?;
            Ok((plan, bytes))
        }
        Work::Handshake { is_resumed } => {
            let mut plan = Plan::get(proxy.secure, HOST, "/200");
            plan.connections = HANDSHAKES;
            plan.fresh_share = 1.0;
            plan.tls = Some(tls(HOST, is_resumed)?);
            Ok((plan, 200))
        }
        Work::Upload { bytes } => {
            let head = format!("POST /200 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {bytes}\r\n\r\n");
            let mut request = head.into_bytes();
            request.resize(request.len() + bytes, b'u');
            let mut plan = Plan { connections: 4, ..Plan::get(proxy.plain, HOST, "/200") };
            plan.kept_requests = vec![request];
            Ok((plan, 200))
        }
        Work::Hosts { count } => {
            let mut plan = Plan { connections: 64, ..Plan::get(proxy.plain, HOST, "/200") };
            plan.kept_requests = (0..count).map(|number| get(&havre::host(number), "/200", "")).collect();
            Ok((plan, 200))
        }
        Work::Http2 => bail!("HTTP/2 is h2load's"),
    }
}

/// Length of the brotli form. That it is shorter than the text shows that it really is one.
fn compressed(proxy: &Proxy, request: &[u8]) -> anyhow::Result<u64> {
    let ask = |request: &[u8]| -> anyhow::Result<u64> {
        let mut exchange = Exchange::connect(proxy.plain, Duration::from_secs(5))?;
        let answer = exchange.ask(request, Wanted::default(), |_| {})?;
        ensure!(answer.status == 200, "status {} for the file", answer.status);
        Ok(answer.body_bytes)
    };
    let (plain, brotli) = (ask(&get(FILES_HOST, "/text.js", ""))?, ask(request)?);
    ensure!(brotli * 2 < plain, "{} serves {brotli} bytes of {plain}: no brotli form", proxy.name);
    Ok(brotli)
}

/// A resumed handshake that was a full one would be a figure for something else. Some servers give one ticket for each
/// connection, so that not all can be resumed.
fn check_handshakes(work: Work, tally: &Tally) -> anyhow::Result<()> {
    let Work::Handshake { is_resumed } = work else { return Ok(()) };
    let share = tally.resumed as f64 / (tally.ok.max(1) as f64);
    let is_right = if is_resumed { share > 0.5 } else { tally.resumed == 0 };
    ensure!(is_right, "{:.0} % of the handshakes were resumed", share * 100.0);
    Ok(())
}

/// TLS 1.3 with X25519, trusting everything: what is measured is ours.
pub(super) fn tls(host: &str, may_resume: bool) -> anyhow::Result<Tls> {
    let provider =
        CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAll))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !may_resume {
        config.resumption = Resumption::disabled();
    }
    Ok(Tls { config: Arc::new(config), name: ServerName::try_from(host.to_owned())? })
}

#[derive(Debug)]
struct TrustAll;

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256]
    }
}

/// Changes how the kernel schedules all threads of `pids`.
fn schedule(pids: &[u32], policy: &[&str], priority: &str) -> anyhow::Result<()> {
    for pid in pids {
        let mut command = Command::new("chrt");
        command.args(policy).args(["--all-tasks", "--pid", priority, &pid.to_string()]);
        let output = command.output().context("start chrt")?;
        if !output.status.success() {
            bail!(
                "change the scheduling of process {pid} (--no-realtime goes without): {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
    }
    Ok(())
}

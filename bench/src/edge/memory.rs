//! `havre-bench edge-memory`: what proxies hold when nothing happens, with many idle connections, and (ours) with many hosts.
//! Tests: none of its own; the sums are those of `process`.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;

use super::measure::tls;
use super::peers::{self, HOST, Proxy, Site, havre};
use super::{Folder, ProgramArguments, Upstream, files, wait_ready};
use crate::http::exchange::get;
use crate::process::{memory, with_descendants};

const MB: f64 = 1_000_000.0;

/// Arguments of `havre-bench edge-memory`.
#[derive(Debug, Args)]
pub(crate) struct MemoryArguments {
    #[command(flatten)]
    programs: ProgramArguments,
    /// Idle connections, each after one request.
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Hosts with a certificate each, on an edge of our own.
    #[arg(long, default_value_t = 10_000)]
    hosts: usize,
    /// Fail when our own edge holds more than this with: nothing, idle connections, idle TLS connections, many hosts.
    #[arg(long, value_delimiter = ',', default_values_t = [10.0, 16.0, 32.0, 80.0])]
    limits_mb: Vec<f64>,
}

/// Measures and prints a table; `false` when our own edge holds more than the limits.
pub(crate) fn run_command(arguments: &MemoryArguments) -> anyhow::Result<bool> {
    ensure!(arguments.limits_mb.len() == 4, "four limits are needed");
    let folder = Folder::create()?;
    let pem = files::certificate(&[HOST.to_owned(), peers::FILES_HOST.to_owned()])?;
    let www = files::write(&folder.0, &pem)?;
    let upstream = Upstream::start()?;
    let site =
        Site { folder: &folder.0, www: &www, pem: &pem, upstream: upstream.address, core: None, workers: 1 };
    let programs = arguments.programs.programs();
    println!("| PSS in MB | idle | {0} plain | {0} TLS |\n| --- | --- | --- | --- |", arguments.connections);
    let mut is_within = true;
    for proxy in peers::start(&programs, &site, &[])? {
        wait_ready(&proxy, &folder.0)?;
        std::thread::sleep(Duration::from_secs(1));
        let idle = pss(&proxy)?;
        let plain = with_plain(&proxy, arguments.connections)?;
        let secure = with_tls(&proxy, arguments.connections)?;
        println!("| {} | {idle:.1} | {plain:.1} | {secure:.1} |", proxy.name);
        if proxy.name == "havre" {
            is_within &=
                [idle, plain, secure].iter().zip(&arguments.limits_mb).all(|(held, limit)| held <= limit);
        }
    }
    if let Some(program) = &programs.havred {
        let proxy = havre::start_with_hosts(program, &site, arguments.hosts)?;
        wait_ready(&proxy, &folder.0)?;
        std::thread::sleep(Duration::from_secs(1));
        let idle = pss(&proxy)?;
        let asked = handshakes(&proxy, arguments.hosts)?;
        println!(
            "\n{} hosts with a certificate each: {idle:.1} MB after the start, {asked:.1} MB after a handshake for each",
            arguments.hosts
        );
        is_within &= asked.max(idle) <= arguments.limits_mb[3];
    }
    if !is_within {
        eprintln!("PROBLEM our edge holds more than {:?} MB", arguments.limits_mb);
    }
    Ok(is_within)
}

fn pss(proxy: &Proxy) -> anyhow::Result<f64> {
    let mut sum = 0;
    for pid in with_descendants(&[proxy.child.id()])? {
        sum += memory(pid)?.pss;
    }
    Ok(sum as f64 / MB)
}

fn with_plain(proxy: &Proxy, count: usize) -> anyhow::Result<f64> {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = connect(proxy.plain)?;
        ask(&mut stream, HOST)?;
        open.push(stream);
    }
    std::thread::sleep(Duration::from_secs(1));
    let held = pss(proxy);
    drop(open);
    std::thread::sleep(Duration::from_secs(1));
    held
}

fn with_tls(proxy: &Proxy, count: usize) -> anyhow::Result<f64> {
    let tls = tls(HOST, false)?;
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        let session = rustls::ClientConnection::new(Arc::clone(&tls.config), tls.name.clone())?;
        let mut stream = rustls::StreamOwned::new(session, connect(proxy.secure)?);
        ask(&mut stream, HOST)?;
        open.push(stream);
    }
    std::thread::sleep(Duration::from_secs(1));
    pss(proxy)
}

/// One handshake and request for each host, connection by connection.
fn handshakes(proxy: &Proxy, count: usize) -> anyhow::Result<f64> {
    for number in 0..count {
        let host = havre::host(number);
        let tls = tls(&host, false)?;
        let session = rustls::ClientConnection::new(tls.config, tls.name)?;
        let mut stream = rustls::StreamOwned::new(session, connect(proxy.secure)?);
        ask(&mut stream, &host)?;
    }
    std::thread::sleep(Duration::from_secs(1));
    pss(proxy)
}

fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).context("connect")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a small request and reads until its 200 bytes have come.
fn ask(stream: &mut (impl std::io::Read + std::io::Write), host: &str) -> anyhow::Result<()> {
    stream.write_all(&get(host, "/200", "")).context("write a request")?;
    let mut bytes = [0; 4096];
    let mut length = 0;
    while body_length(&bytes[..length]) != Some(200) {
        let more = stream.read(&mut bytes[length..]).context("read the answer")?;
        ensure!(more > 0, "the answer ends early: {}", String::from_utf8_lossy(&bytes[..length]));
        length += more;
    }
    ensure!(
        bytes.starts_with(b"HTTP/1.1 200 "),
        "the answer is {}",
        String::from_utf8_lossy(&bytes[..length])
    );
    Ok(())
}

/// Bytes after the head.
fn body_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(bytes.len() - end - 4)
}

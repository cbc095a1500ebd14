//! Repository checks: the rules of this house that neither Cargo, rustc nor clippy can see. Run one with
//! `cargo run -q -p xtask -- NAME`, all of them with `all`; `script/test` does.
//!
//! It changes nothing and needs no network. Each check is a plain function from what it reads to a list of findings,
//! so that its tests can plant a violation and see it found. Tests: at the end of each file.

mod dependency;
mod graph;
mod lockfile;
mod naming;
mod size;
mod tree;
mod vocabulary;

use std::process::ExitCode;

use anyhow::{Context, Result};

use graph::Graph;
use tree::Tree;

/// A rule that is broken: where, and what to do about it.
type Finding = String;

const USAGE: &str = "usage: cargo run -q -p xtask -- CHECK

  deps        who may depend on whom; banned crates; a line in docs/dependencies.md for each direct dependency
  sizes       no source file over 600 lines and no crate over 15,000, tests aside
  names       no file called utils, helpers, common, manager or misc; every Rust file says what it is for
  vocabulary  no term of the `do not say` column of docs/vocabulary.md in what users read
  lockfiles   no package-lock.json that names a registry or a folder of somebody's machine
  all         all of these";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let checks: &[&str] = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["all"] => &["deps", "sizes", "names", "vocabulary", "lockfiles"],
        ["deps"] => &["deps"],
        ["sizes"] => &["sizes"],
        ["names"] => &["names"],
        ["vocabulary"] => &["vocabulary"],
        ["lockfiles"] => &["lockfiles"],
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(checks) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(count) => {
            eprintln!("xtask: {count} findings");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the checks, prints their findings, returns how many there are.
fn run(checks: &[&str]) -> Result<usize> {
    let root = &tree::root().context("find the repository")?;
    let tree = Tree::load(root).context("read the repository")?;
    let mut count = 0;
    for check in checks {
        let findings = match *check {
            "deps" => dependency::check(&Graph::of_workspace(root)?, &tree),
            "sizes" => size::check(&tree),
            "names" => naming::check(&tree),
            "vocabulary" => vocabulary::check(&tree)?,
            _ => lockfile::check(&tree)?,
        };
        println!(
            "{check}: {}",
            if findings.is_empty() { "ok".to_owned() } else { format!("{} findings", findings.len()) }
        );
        for finding in &findings {
            println!("  {finding}");
        }
        count += findings.len();
    }
    Ok(count)
}

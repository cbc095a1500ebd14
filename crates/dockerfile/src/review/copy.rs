//! Rules about `ADD`, which fetches and unpacks what `COPY` would only copy.

use crate::file::Keyword;
use crate::review::Findings;
use crate::review::quote::{plain, quote};
use crate::review::subject::{Subject, is_remote};

/// Ends of files that `ADD` unpacks.
const ARCHIVES: [&str; 11] =
    [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".gz"];

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for step in &subject.steps {
        let instruction = step.instruction;
        let Some(copied) = instruction.copied().filter(|_| instruction.keyword == Keyword::Add) else {
            continue;
        };
        let line = instruction.line;
        let fetched = copied.sources.iter().find(|source| is_remote(source) && !is_repository(source));
        if let Some(source) = fetched {
            if instruction.flag("checksum").is_none() {
                let message = format!(
                    "ADD takes whatever {} holds at that moment, and keeps it in a layer",
                    quote(source)
                );
                let fix = format!(
                    "RUN curl -fsSLo <file> {} && echo '<sha256>  <file>' | sha256sum -c, or ADD --checksum=sha256:<sha256>",
                    plain(source)
                );
                findings.warning("add-url", line, message, fix);
            }
            continue;
        }
        let needs_add = |source: &String| is_remote(source) || source.contains('$') || is_archive(source);
        if !copied.sources.iter().any(needs_add) {
            let message = "ADD does more than copy: it unpacks archives and fetches addresses, which nothing here needs";
            let rest = instruction.raw.trim_start().get(3..).unwrap_or_default();
            findings.warning("add-copy", line, message, format!("COPY{}", plain(rest)));
        }
    }
}

/// What `ADD` fetches with git.
fn is_repository(source: &str) -> bool {
    source.starts_with("git@")
        || source.starts_with("git://")
        || source.ends_with(".git")
        || source.contains(".git#")
}

/// A pattern at the end may stand for an archive.
fn is_archive(source: &str) -> bool {
    let source = source.to_lowercase();
    source.ends_with('*') || ARCHIVES.iter().any(|end| source.ends_with(end))
}

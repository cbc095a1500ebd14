//! Rules about what a BuildKit does not know yet. Debian 12 has Docker 20.10 with BuildKit 0.8, which knows neither
//! heredocs nor `--link`. A `# syntax` line brings a newer reader along, and pulls it with every build.

use crate::file::{Directive, Instruction};
use crate::review::Findings;
use crate::review::quote::quote;
use crate::review::subject::Subject;

/// The language of BuildKit 0.8 is 1.2, that of 0.10 is 1.4, and so on.
const AHEAD: u32 = 6;
/// What Debian 12 has.
const OLDEST: u32 = 2;
/// Stands for whatever is newest.
const NEWEST: u32 = u32::MAX;

/// Flags, the instructions that have them, and the version 1.x of the language that began to know them.
const FLAGS: [(&str, &[&str], u32); 6] = [
    ("chmod", &["ADD", "COPY"], 2),
    ("link", &["ADD", "COPY"], 4),
    ("checksum", &["ADD"], 6),
    ("unpack", &["ADD"], 17),
    ("exclude", &["ADD", "COPY"], 19),
    ("parents", &["COPY"], 20),
];

/// Something an instruction needs.
struct Need {
    what: String,
    /// Version 1.x of the language.
    minor: u32,
    /// How to do without.
    instead: &'static str,
}

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let syntax = subject.file.directive("syntax");
    let known = match syntax {
        Some(directive) => Some(language(&directive.value)),
        None => own_language(subject),
    };
    let mut most = 0;
    for instruction in &subject.file.instructions {
        let Some(need) = need(instruction) else { continue };
        most = most.max(need.minor);
        let newer = need.minor + AHEAD;
        let message = format!("{} needs BuildKit 0.{newer} or newer", need.what);
        match known {
            Some(known) if known >= need.minor => {}
            Some(_) => {
                let message = format!("{message}, and what builds here is older: the build fails");
                findings.error("buildkit-feature", instruction.line, message, need.instead);
            }
            None if need.minor > OLDEST => {
                let message = format!("{message}; Debian 12 has 0.8");
                findings.note("buildkit-feature", instruction.line, message, need.instead);
            }
            None => {}
        }
    }
    if let Some(directive) = syntax {
        frontend(subject, directive, most, findings);
    }
}

/// Version 1.x of the language that the BuildKit knows by itself.
fn own_language(subject: &Subject<'_>) -> Option<u32> {
    let (major, minor) = subject.context.buildkit?;
    Some(if major > 0 { NEWEST } else { minor.saturating_sub(AHEAD) })
}

/// The newest thing an instruction needs.
fn need(instruction: &Instruction) -> Option<Need> {
    let mut needs = Vec::new();
    let has_heredoc = |instruction: &Instruction| !instruction.heredocs.is_empty();
    if has_heredoc(instruction) || instruction.trigger.as_deref().is_some_and(has_heredoc) {
        let instead = "write the commands in one RUN, joined by && and continued with a backslash";
        needs.push(Need { what: "a heredoc".to_owned(), minor: 4, instead });
    }
    for (name, keywords, minor) in FLAGS {
        if instruction.flag(name).is_some() && keywords.contains(&instruction.keyword.as_str()) {
            let what = format!("{} --{name}", instruction.keyword.as_str());
            needs.push(Need { what, minor, instead: instead_of(name) });
        }
    }
    needs.into_iter().max_by_key(|need| need.minor)
}

fn instead_of(flag: &str) -> &'static str {
    match flag {
        "link" => "leave --link out: it only makes layers independent of each other",
        "checksum" => {
            "fetch and check in one RUN: curl -fsSLo file <address> && echo '<sha256>  file' | sha256sum -c"
        }
        "unpack" => "unpack with tar in a RUN",
        "exclude" => "name what is left out in .dockerignore",
        "parents" => "a COPY for each folder",
        _ => "leave the flag out, and set the mode in a RUN",
    }
}

/// Version 1.x of the language a `# syntax` line names.
fn language(value: &str) -> u32 {
    let (image, _) = value.split_once('@').unwrap_or((value, ""));
    let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    let number = tag.split('-').next().unwrap_or_default();
    match number.split_once('.') {
        Some(("1", rest)) => {
            let minor = rest.split('.').next().unwrap_or_default();
            minor.parse().unwrap_or(NEWEST)
        }
        _ => NEWEST,
    }
}

fn frontend(subject: &Subject<'_>, directive: &Directive, most: u32, findings: &mut Findings) {
    let image = quote(&directive.value);
    let message = format!(
        "each build asks a registry for {image} before it begins, and fails where that cannot be reached or limits us"
    );
    let fix = if own_language(subject).unwrap_or(OLDEST) >= most {
        "take the line out: nothing in this file needs it".to_owned()
    } else {
        format!("keep it, or build with BuildKit 0.{} or newer and take it out", most.saturating_add(AHEAD))
    };
    findings.note("syntax-image", directive.line, message, fix);
}

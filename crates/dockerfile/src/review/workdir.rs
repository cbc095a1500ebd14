//! Rule about `WORKDIR`: a relative folder depends on what the base image says.

use crate::file::{Keyword, words};
use crate::review::Findings;
use crate::review::quote::plain;
use crate::review::subject::Subject;

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    // Whether a stage, as it ends, has an absolute folder that the file names.
    let mut is_known: Vec<bool> = Vec::with_capacity(subject.stages.len());
    for stage in &subject.stages {
        let mut is_absolute = stage.parent.and_then(|parent| is_known.get(parent)).copied().unwrap_or(false);
        for instruction in
            stage.instructions.iter().filter(|instruction| instruction.keyword == Keyword::Workdir)
        {
            let folder = words(&instruction.arguments, instruction.escape).into_iter().next();
            let folder = folder.map(|word| word.text).unwrap_or_default();
            // What a variable holds is taken for absolute, and so is a drive of Windows.
            let is_drive = folder.chars().nth(1) == Some(':');
            if folder.starts_with(['/', '\\', '$']) || is_drive {
                is_absolute = true;
            } else if !is_absolute && !folder.is_empty() {
                let message =
                    "a relative WORKDIR continues the one of the base image, which may change with it";
                let fix = format!("WORKDIR /{}", plain(folder.trim_start_matches("./")));
                findings.warning("workdir-relative", instruction.line, message, fix);
                // One is enough: what follows continues this one.
                is_absolute = true;
            }
        }
        is_known.push(is_absolute);
    }
}

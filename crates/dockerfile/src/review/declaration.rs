//! Notes about what an image says of itself. Nothing depends on it here; others who run the image may look at it.

use crate::file::Keyword;
use crate::review::Findings;
use crate::review::subject::Subject;

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(last) = subject.last_stage().filter(|_| subject.has_program()) else { return };
    let line = last.from.line;
    if subject.effective(&Keyword::Expose).is_none() {
        let message = "the image does not say which port it listens on; `havre init` asks EXPOSE for it";
        findings.note("expose", line, message, "EXPOSE <port>; a program that listens on none needs no line");
    }
    if subject.effective(&Keyword::Healthcheck).is_none() {
        let message = "the image does not say how to ask whether it works. Havre asks `health` of havre.toml and needs \
                       nothing here; others see only whether the process is there";
        findings.note("healthcheck", line, message, "HEALTHCHECK CMD [\"<program>\", \"<argument>\"]");
    }
}

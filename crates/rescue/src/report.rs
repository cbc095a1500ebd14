//! The report of a drill: what stays of it for somebody who was not there. One report has one text, and that text is signed by the
//! installation that wrote it. Tests at the end of the file.

use serde::{Deserialize, Serialize};

use crate::drill::{Drill, Method, State, Verdict};
use havre_core::backup::manifest::Manifest;
use havre_core::id::DrillId;
use havre_core::name::TargetName;
use havre_core::time::Timestamp;

/// Version of the form below. A reader refuses what it does not know.
const FORM: u32 = 2;
/// The form of before: it had dumps only, and said neither how nor what would have been lost.
const OF_DUMPS: u32 = 1;

/// What a drill found. Its fields are declared in the order of the alphabet, which is their order in the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The instant whose data came back; absent in the form of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// When it began.
    pub began_at: Timestamp,
    /// The drill.
    pub drill: DrillId,
    /// When nothing was left of its server.
    pub ended_at: Timestamp,
    /// Version of this form.
    pub form: u32,
    /// What the copy had to be.
    pub manifest: Manifest,
    /// How its database was brought back; absent in the form of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// What would have been lost when it began: how far the newest second lay behind that could be brought back in this way; absent in the form
    /// of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_measured_ms: Option<u64>,
    /// Which server it was restored into, such as `postgres 15`.
    pub server: String,
    /// Where the snapshot lies.
    pub target: TargetName,
    /// What it came to.
    pub verdict: Verdict,
}

/// Text that is not a report this version reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a report: {reason}")]
pub struct ReportError {
    reason: String,
}

impl Report {
    /// Of a drill that is cleaned up at `now`; `None` while it has no verdict.
    pub fn new(drill: &Drill, now: Timestamp) -> Option<Self> {
        let State::Cleaning { verdict, .. } = &drill.state else { return None };
        Some(Self {
            at: Some(drill.at()),
            began_at: drill.created_at,
            drill: drill.id,
            ended_at: now,
            form: FORM,
            manifest: drill.manifest.clone(),
            method: Some(drill.method()),
            rpo_measured_ms: Some(drill.rpo_measured_ms()),
            server: format!("{} {}", drill.spec.engine, drill.spec.version),
            target: drill.target.clone(),
            verdict: verdict.clone(),
        })
    }

    /// The one text of this report: JSON without spaces, fields in a fixed order. What is signed are these bytes.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).expect("all keys are texts and no value can fail to be written")
    }

    /// Reads a report back.
    ///
    /// # Errors
    /// The text has another form, or says the same in another way than [`Report::canonical`] does.
    pub fn parse(text: &str) -> Result<Self, ReportError> {
        let fail = |reason: String| ReportError { reason };
        let report: Self = serde_json::from_str(text).map_err(|error| fail(error.to_string()))?;
        if report.form != FORM && report.form != OF_DUMPS {
            return Err(fail(format!("its form is {}, this version reads up to {FORM}", report.form)));
        }
        let said = [report.at.is_some(), report.method.is_some(), report.rpo_measured_ms.is_some()];
        if said != [report.form == FORM; 3] {
            return Err(fail("it does not say what a report of its form says".to_owned()));
        }
        if report.canonical() != text {
            return Err(fail("it is not written in the one way reports are written".to_owned()));
        }
        Ok(report)
    }

    /// Whether the snapshot restores.
    pub const fn has_passed(&self) -> bool {
        matches!(self.verdict, Verdict::Passed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::super::aim::Aim;
    use super::super::drill::tests::drill;
    use super::super::line::Recovery;
    use super::super::proof::tests::{AT, findings};
    use super::*;

    fn report() -> Report {
        let mut drill = drill();
        assert_eq!(Report::new(&drill, AT), None, "it has no verdict");
        let verdict = Verdict::Passed { findings: findings(), rto_measured_ms: 60_000 };
        drill.state = State::Cleaning { since: AT, verdict };
        Report::new(&drill, AT).expect("has a verdict")
    }

    #[test]
    fn one_report_has_one_text() {
        let text = report().canonical();
        let manifest = report().manifest.canonical();
        let expected = format!(
            r#"{{"at":"2025-11-24T10:00:00.000Z","began_at":"2025-11-24T10:00:00.000Z","drill":"x3","ended_at":"2025-11-24T10:00:00.000Z","form":2,"manifest":{manifest},"method":"dump","rpo_measured_ms":0,"server":"postgres 15","target":"disk","verdict":{{"verdict":"passed","findings":{{"rows":{{"public.orders":7,"public.users":2}},"structure":{{"structure":"sound"}}}},"rto_measured_ms":60000}}}}"#
        );
        assert_eq!(text, expected);
        assert_eq!(Report::parse(&text), Ok(report()));
        assert!(report().has_passed());
    }

    #[test]
    fn a_report_of_before_is_read_as_it_was_signed() {
        let now = report();
        let before = Report { at: None, form: OF_DUMPS, method: None, rpo_measured_ms: None, ..now.clone() };
        let text = before.canonical();
        assert!(text.starts_with(r#"{"began_at":"2025-11-24T10:00:00.000Z","drill":"x3","#), "{text}");
        assert!(!text.contains("method") && !text.contains("rpo_measured_ms"), "{text}");
        assert_eq!(Report::parse(&text), Ok(before));
        let half = Report { method: None, ..now };
        assert!(Report::parse(&half.canonical()).is_err());
    }

    #[test]
    fn one_to_a_second_says_which() {
        let mut drill = drill();
        let source = "db".parse().expect("a name");
        let later = |millis| Timestamp::from_millis(AT.as_millis() + millis);
        let recovery = Recovery { at: later(5), source, stretches: Vec::new() };
        drill.aim = Some(Aim { newest: later(60_000), recovery });
        drill.created_at = later(85_000);
        let verdict = Verdict::Passed { findings: findings(), rto_measured_ms: 60_000 };
        drill.state = State::Cleaning { since: drill.created_at, verdict };
        let text = Report::new(&drill, drill.created_at).expect("has a verdict").canonical();
        assert!(text.starts_with(r#"{"at":"2025-11-24T10:00:00.005Z","#), "{text}");
        assert!(text.contains(r#""method":"point_in_time","rpo_measured_ms":25000,"#), "{text}");
        assert!(Report::parse(&text).is_ok());
    }

    #[test]
    fn another_text_is_refused() {
        let text = report().canonical();
        let form = |number: &str| {
            text.replace("\"form\":2,\"manifest\"", &format!("\"form\":{number},\"manifest\""))
        };
        assert!(Report::parse(&form("3")).is_err());
        assert!(Report::parse(&form("1")).is_err(), "that form did not say how");
        assert!(Report::parse(&text.replace(":60000", ": 60000")).is_err());
        assert!(Report::parse(&text[1..]).is_err());
    }
}

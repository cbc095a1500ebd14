//! A Dockerfile: what is read lies within the text, and reviewing it finds things on lines that are there.
#![no_main]

use havre_dockerfile::file;
use havre_dockerfile::review::{Context, IgnoreFile, review};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Half of the inputs are reviewed as for Debian 12, with themselves as `.dockerignore`.
    let context = if text.len().is_multiple_of(2) {
        Context { ignore: IgnoreFile::Text(text), buildkit: Some((0, 8)), ..Context::default() }
    } else {
        Context::default()
    };
    let lines = u32::try_from(text.split('\n').count()).unwrap_or(u32::MAX);
    let mut last = 0;
    for finding in review(text, &context) {
        assert!((1..=lines).contains(&finding.line), "{finding:?} is outside of {lines} lines");
        assert!(finding.line >= last, "{finding:?} comes too late");
        assert!(!finding.message.is_empty() && !finding.fix.is_empty(), "{finding:?} says nothing");
        last = finding.line;
    }
    let Ok(file) = file::parse(text) else { return };
    let mut end = 0;
    for instruction in &file.instructions {
        assert!(
            instruction.line > end && instruction.end_line >= instruction.line,
            "{instruction:?} overlaps"
        );
        end = instruction.end_line;
        instruction.words();
        instruction.copied();
        instruction.assignments();
    }
    assert!(end <= lines, "an instruction ends behind the text");
    for stage in file.stages() {
        assert!(stage.parent.is_none_or(|parent| parent < stage.index), "{stage:?} is based on a later one");
    }
});

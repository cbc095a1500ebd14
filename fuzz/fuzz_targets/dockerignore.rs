//! `.dockerignore`: a folder is passed over only when nothing inside could be taken back, and the last word decides.
#![no_main]

use havre_core::build::ignore::Ignore;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // A path of the context in the first line, the file behind it.
    let (path, text) = text.split_once('\n').unwrap_or((text, ""));
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return;
    }
    let Ok(ignore) = Ignore::parse(text) else { return };
    let is_out = ignore.is_ignored(path);
    for (at, _) in path.match_indices('/') {
        let folder = &path[..at];
        if ignore.is_ignored(folder) && !ignore.may_keep_below(folder) {
            assert!(is_out, "{folder} is passed over, and {path} belongs into the context");
        }
    }
    let with = |more: &str| Ignore::parse(&format!("{text}\n{more}"));
    // One pattern more can be one too many.
    if let (Ok(comment), Ok(all), Ok(none)) = (with("# all\n\n"), with("**"), with("!**")) {
        assert_eq!(comment.is_ignored(path), is_out, "a comment says nothing");
        assert!(all.is_ignored(path) && !none.is_ignored(path), "the last word decides");
    }
});

//! Tests of `context.rs`: what goes in, in which order, and what is refused.

use super::*;

const FILE: EntryKind = EntryKind::File { is_executable: false };
const SCRIPT: EntryKind = EntryKind::File { is_executable: true };

fn entry(path: impl AsRef<[u8]>, kind: EntryKind, size: u64) -> TreeEntry {
    let object = "ab".repeat(20).parse().expect("is an id");
    TreeEntry { path: path.as_ref().to_vec(), kind, size, object }
}

fn tree_of(entries: Vec<TreeEntry>) -> Tree {
    let commit = "cd".repeat(20).parse().expect("is a commit");
    Tree::new(commit, Timestamp::from_millis(1_700_000_000_000), entries)
}

/// Files of these paths, with their folders.
fn tree(paths: &[&str]) -> Tree {
    let mut entries = Vec::new();
    let mut folders = std::collections::BTreeSet::new();
    for path in paths {
        folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        entries.push(entry(path, FILE, 1));
    }
    entries.extend(folders.iter().map(|path| entry(path, EntryKind::Folder, 0)));
    tree_of(entries)
}

fn plan(tree: &Tree, context: &str, ignore: &str) -> Result<PackPlan, SourceError> {
    let ignore = Ignore::parse(ignore).expect("parses");
    plan_context(tree, &context.parse().expect("is a path"), &ignore, Vec::new())
}

fn names(plan: &PackPlan) -> Vec<&str> {
    plan.entries.iter().map(|entry| entry.path.as_str()).collect()
}

#[test]
fn one_order_and_dockers_rules() {
    let tree = tree(&["b/x", "a/y", "a.txt", "node_modules/z", "apps/node_modules/q/r", "Dockerfile"]);
    let plan = plan(&tree, ".", "**/node_modules\nDockerfile\n").expect("is planned");
    assert_eq!(names(&plan), ["a", "a/y", "a.txt", "apps", "b", "b/x"]);
    assert_eq!(plan.modified, Timestamp::from_millis(1_700_000_000_000));
}

#[test]
fn what_is_taken_back_brings_its_folders() {
    let tree = tree(&["apps/api/src/main.js", "apps/web/main.js", "apps-old/x", "other/x"]);
    let plan = plan(&tree, ".", "*\n!apps/api/src\n").expect("is planned");
    assert_eq!(names(&plan), ["apps", "apps/api", "apps/api/src", "apps/api/src/main.js"]);
}

#[test]
fn a_folder_as_context() {
    let tree = tree(&["apps/api/a", "apps/api/b/c", "apps/api2/x", "apps/api.txt"]);
    for context in ["apps/api", "./apps/./api"] {
        assert_eq!(names(&plan(&tree, context, "").expect("is planned")), ["a", "b", "b/c"]);
    }
    for missing in ["apps/none", "apps/api/a", "api"] {
        let error = plan(&tree, missing, "").expect_err("is not there");
        assert!(matches!(&error, SourceError::PathMissing { path, .. } if path == missing), "{error}");
    }
}

#[test]
fn modes_and_kinds() {
    let entries =
        vec![entry("run", SCRIPT, 2), entry("dir", EntryKind::Folder, 0), entry("to", EntryKind::Link, 3)];
    let plan = plan(&tree_of(entries), ".", "").expect("is planned");
    let seen: Vec<(&str, u32)> = plan.entries.iter().map(|e| (e.path.as_str(), e.mode)).collect();
    assert_eq!(seen, [("dir", 0o755), ("run", 0o755), ("to", 0o777)]);
    assert!(matches!(plan.entries[0].kind, PackKind::Folder));
    assert!(matches!(plan.entries[1].kind, PackKind::Object { size: 2, .. }));
    assert!(matches!(plan.entries[2].kind, PackKind::Link { size: 3, .. }));
}

#[test]
fn a_submodule_is_named_unless_it_stays_out() {
    let tree = tree_of(vec![entry("lib", EntryKind::Folder, 0), entry("lib/x", EntryKind::Submodule, 0)]);
    let error = plan(&tree, ".", "").expect_err("is refused");
    assert!(matches!(&error, SourceError::Submodule { path } if path == "`lib/x`"), "{error}");
    assert_eq!(names(&plan(&tree, ".", "lib/x").expect("is planned")), ["lib"]);
    assert!(plan(&tree, ".", "lib\n!lib/x/keep").is_err(), "something of it is wanted");
}

#[test]
fn names_that_cannot_travel() {
    let long = "a/".repeat(600) + "b";
    let part = "a".repeat(256);
    let deep = "a/".repeat(64) + "b";
    let table: [(&[u8], &str); 6] = [
        (b"a\nb", "line break"),
        (b"a\x1b[31m", "control character"),
        (b"\xff", "UTF-8"),
        (long.as_bytes(), "1024 bytes"),
        (part.as_bytes(), "255 bytes"),
        (deep.as_bytes(), "64 folders"),
    ];
    for (path, why) in table {
        let tree = tree_of(vec![entry(path, FILE, 1), entry("x", FILE, 1)]);
        let error = plan(&tree, ".", "").expect_err("is refused");
        assert!(matches!(error, SourceError::NameInvalid { .. }), "{error}");
        assert!(error.to_string().contains(why) && !error.to_string().contains('\n'), "{error}");
        assert_eq!(names(&plan(&tree, ".", "*\n!x").expect("is planned")), ["x"]);
    }
    let fine = ["-x", "--upload-pack=x", "a b", "é", "a\\b", "$(id)", "*"];
    assert_eq!(names(&plan(&tree(&fine), ".", "").expect("is planned")).len(), fine.len());
}

#[test]
fn a_path_named_twice_is_refused() {
    let tree = tree_of(vec![
        entry("a", EntryKind::Link, 1),
        entry("a", EntryKind::Folder, 0),
        entry("a/b", FILE, 1),
    ]);
    let error = plan(&tree, ".", "").expect_err("is refused");
    assert!(error.to_string().contains("names the path `a` twice"), "{error}");
}

#[test]
fn limits() {
    let big = |size| tree_of(vec![entry("data", EntryKind::Folder, 0), entry("data/raw", FILE, size)]);
    let limit = CONTEXT_MAX.as_bytes();
    assert!(plan(&big(limit), ".", "").is_ok());
    let error = plan(&big(limit + 1), ".", "").expect_err("is too large");
    assert_eq!(
        error.to_string(),
        "the context of commit cdcdcdcdcdcd with 513MB (`data`: 513MB) is too large: the limit is 512MB; leave some out \
         with a .dockerignore"
    );
    assert!(plan(&big(u64::MAX), ".", "data").is_ok());
    let many = |count: usize, kind| tree_of((0..count).map(|n| entry(format!("{n:06}"), kind, 0)).collect());
    assert!(plan(&many(ENTRIES_MAX, FILE), ".", "").is_ok());
    for tree in [many(ENTRIES_MAX + 1, FILE), many(LINKS_MAX + 1, EntryKind::Link)] {
        let error = plan(&tree, ".", "").expect_err("is too large");
        assert!(matches!(error, SourceError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn files_of_our_own() {
    let tree = tree(&["Dockerfile", "a/b"]);
    let root = ".".parse().expect("is a path");
    let with = |path: &str| {
        let ignore = Ignore::parse("Dockerfile").expect("parses");
        plan_context(&tree, &root, &ignore, vec![(path.to_owned(), b"FROM x".to_vec())])
    };
    let plan = with("Dockerfile").expect("is planned");
    assert_eq!(names(&plan), ["a", "a/b", "Dockerfile"]);
    assert_eq!(plan.entries[2].kind, PackKind::Bytes(b"FROM x".to_vec()));
    let plan = with("a/b").expect("is planned");
    assert_eq!(names(&plan), ["a", "a/b"]);
    assert_eq!(plan.entries[1].kind, PackKind::Bytes(b"FROM x".to_vec()));
    for wrong in ["a", "a/b/c"] {
        assert!(matches!(with(wrong), Err(SourceError::Refused { .. })), "{wrong}");
    }
    for wrong in ["../x", "/x", "", "a\nb"] {
        assert!(matches!(with(wrong), Err(SourceError::NameInvalid { .. })), "{wrong:?}");
    }
}

#[test]
fn links() {
    let at = "node_modules/.bin/vite";
    for right in ["../vite/bin/vite.js", "vite.js", "../../x", "./a/b", "a//b"] {
        assert!(check_link(at, right.as_bytes()).is_ok(), "{right} stays inside");
    }
    for wrong in ["/bin/sh", "../../../x", "a/../b", "..//../..", "", "\0"] {
        assert!(check_link(at, wrong.as_bytes()).is_err(), "{wrong:?} must be refused");
    }
    assert!(check_link("x", b"\xff").is_err());
    let error = check_link("x", b"..").expect_err("leads out").to_string();
    assert!(error.starts_with("the link `x` leads to `..`, outside of the context"), "{error}");
}

/// The file that takes the place of a pointer.
fn local(size: u64) -> LocalFile {
    LocalFile { path: "/srv/content".into(), size }
}

#[test]
fn files_of_this_machine_take_the_place_of_blobs() {
    let entries = vec![entry("a", FILE, 130), entry("b", SCRIPT, 130), entry("c", FILE, POINTER_MAX)];
    let plan = plan(&tree_of(entries), ".", "").expect("is planned");
    assert_eq!(plan.small_files().map(|(path, _)| path).collect::<Vec<_>>(), ["a", "b"]);
    let files = BTreeMap::from([("b".to_owned(), local(7)), ("z".to_owned(), local(9))]);
    let filled = plan.clone().fill(&files).expect("is small");
    assert_eq!(filled.entries[0], plan.entries[0]);
    assert_eq!(filled.entries[1], PackEntry { kind: PackKind::Local(local(7)), ..plan.entries[1].clone() });
    assert_eq!(filled.entries[1].mode, 0o755);
    assert_eq!(filled.small_files().map(|(path, _)| path).collect::<Vec<_>>(), ["a"]);
    assert_eq!(filled.entries.len(), 3);
}

#[test]
fn what_is_filled_in_counts() {
    let most = CONTEXT_MAX.as_bytes();
    let plan =
        plan(&tree_of(vec![entry("a", FILE, 130), entry("b", FILE, 130)]), ".", "").expect("is planned");
    let fill = |size: u64| plan.clone().fill(&BTreeMap::from([("a".to_owned(), local(size))]));
    assert!(fill(most - 130).is_ok());
    let error = fill(most - 129).expect_err("is too large").to_string();
    assert!(error.starts_with("the context with 513MB, 512MB of them of Git LFS is too large"), "{error}");
    assert!(fill(u64::MAX).is_err());
}

proptest::proptest! {
    #[test]
    fn what_goes_in_stays_inside_and_is_not_ignored(
        paths in proptest::collection::btree_set("[ab]{1,2}(/[ab.]{1,2}){0,2}", 1..10),
        ignore in "([!]?[ab*]{1,2}(/[ab*]{1,2}){0,2}\n){0,4}",
    ) {
        let Ok(rules) = Ignore::parse(&ignore) else { return Ok(()) };
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let tree = tree(&paths);
        let Ok(plan) = plan_context(&tree, &".".parse().expect("is a path"), &rules, Vec::new()) else {
            return Ok(());
        };
        let seen = names(&plan);
        for entry in &plan.entries {
            if let Some((folder, _)) = entry.path.rsplit_once('/') {
                proptest::prop_assert!(seen.contains(&folder), "{folder} comes with {}", entry.path);
            }
            if entry.kind != PackKind::Folder {
                proptest::prop_assert!(!rules.is_ignored(&entry.path), "{}", entry.path);
            }
        }
        for path in paths {
            let is_in = seen.contains(&path);
            proptest::prop_assert!(is_in || rules.is_ignored(path), "{path} belongs in");
        }
    }
}

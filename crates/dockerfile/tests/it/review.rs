//! The rules: each is found on its line, and not in what only looks like it; sound files have none; no message tells a
//! secret.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use havre_dockerfile::file::TEXT_MAX;
use havre_dockerfile::review::Severity::{self, Error, Note, Warning};
use havre_dockerfile::review::{Context, FINDINGS_MAX, Finding, IgnoreFile, review};
use proptest::prelude::*;

use crate::review_cases::{BASES, COMMANDS, IMAGE, ORDER, SECRETS, STRUCTURE};

/// Lines and severities of what one rule finds.
fn of_rule(rule: &str, text: &str, context: &Context<'_>) -> Vec<(u32, Severity)> {
    let findings = review(text, context).into_iter().filter(|finding| finding.rule == rule);
    findings.map(|finding| (finding.line, finding.severity)).collect()
}

fn only(rule: &str, text: &str, context: &Context<'_>) -> Finding {
    let mut findings: Vec<Finding> =
        review(text, context).into_iter().filter(|finding| finding.rule == rule).collect();
    assert_eq!(findings.len(), 1, "{rule} in {text:?}: {findings:#?}");
    findings.remove(0)
}

fn paths(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What a rule finds in a sound text.
const NONE: [(u32, Severity); 0] = [];

#[test]
fn every_rule_is_found_on_its_line_and_not_beside_it() {
    for (rule, severity, line, wrong, right) in [STRUCTURE, BASES, ORDER, SECRETS, COMMANDS, IMAGE].concat() {
        let found = of_rule(rule, wrong, &Context::default());
        assert_eq!(found, [(line, severity)], "{rule} in {wrong:?}");
        for near in right {
            let found = of_rule(rule, near, &Context::default());
            assert_eq!(found, NONE, "{rule} in {near:?}");
        }
    }
}

#[test]
fn every_rule_is_in_the_table_for_people_and_has_a_case() {
    let page = include_str!("../../../../docs/rooms/dockerfile.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let listed: BTreeSet<&str> = rows.map(|(rule, _)| rule).collect();
    let cases = [STRUCTURE, BASES, ORDER, SECRETS, COMMANDS, IMAGE].concat();
    let mut tried: BTreeSet<&str> = cases.iter().map(|(rule, ..)| *rule).collect();
    // These need to know more than the text.
    tried.extend(["dockerignore", "target-unknown"]);
    assert_eq!(listed, tried);
}

const GOOD: &str = "\
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci
COPY . .
RUN npm run build && npm prune --omit=dev

FROM node:22-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
EXPOSE 3000
USER node
HEALTHCHECK CMD [\"node\", \"dist/health.js\"]
CMD [\"node\", \"dist/main.js\"]
";

#[test]
fn sound_files_have_notes_at_most() {
    let files =
        paths(&["package.json", "package-lock.json", "src/main.ts", ".git/", ".env", "node_modules/"]);
    let context = Context {
        ignore: IgnoreFile::Text(".git\nnode_modules\n.env*\n"),
        paths: Some(&files),
        buildkit: Some((0, 8)),
        ..Context::default()
    };
    let found: Vec<(u32, &str)> =
        review(GOOD, &context).iter().map(|finding| (finding.line, finding.rule)).collect();
    assert_eq!(found, [(1, "base-digest"), (8, "base-digest")]);
    for text in [
        include_str!("../../../../examples/dropit/apps/api/Dockerfile"),
        include_str!("../../../../examples/dropit/apps/web/Dockerfile"),
        include_str!("../../../../examples/faults/Dockerfile"),
    ] {
        let found: Vec<Finding> = review(text, &Context::default())
            .into_iter()
            .filter(|finding| finding.severity != Note)
            .collect();
        assert!(found.is_empty(), "{text}\n{found:#?}");
    }
}

#[test]
fn a_file_as_people_write_it() {
    let text = "FROM node\nWORKDIR /app\nCOPY . .\nRUN npm install\nENV API_TOKEN=abc123def\nCMD npm start\n";
    let found: Vec<String> = review(text, &Context::default())
        .iter()
        .map(|finding| format!("{} {} {}", finding.line, finding.severity, finding.rule))
        .collect();
    assert_eq!(
        found,
        [
            "1 warning base-unpinned",
            "1 warning root-user",
            "1 note expose",
            "1 note healthcheck",
            "3 warning cache-order",
            "4 warning dev-dependencies",
            "5 error secret-env",
            "6 warning shell-form",
        ]
    );
}

#[test]
fn fixes_are_lines_to_write() {
    let fix = |rule: &str, text: &str| only(rule, text, &Context::default()).fix;
    assert_eq!(fix("shell-form", "FROM a:1\nCMD node 'a b'\n"), "CMD [\"node\", \"a b\"]");
    assert_eq!(fix("shell-form", "FROM a:1\nCMD node --port $PORT\n"), "CMD exec node --port $PORT");
    assert_eq!(
        fix("shell-exec", "FROM a:1\nCMD [\"sh\", \"-c\", \"node $X\"]\n"),
        "CMD [\"sh\", \"-c\", \"exec node $X\"]"
    );
    assert_eq!(fix("exec-form-json", "FROM a:1\nCMD ['node', 'x']\n"), "CMD [\"node\", \"x\"]");
    assert_eq!(fix("add-copy", "FROM a:1\nADD --chown=1 a b\n"), "COPY --chown=1 a b");
    assert_eq!(
        fix("npm-ci", "FROM a:1\nCOPY package-lock.json ./\nRUN npm install --omit=dev\n"),
        "RUN npm ci --omit=dev"
    );
    assert_eq!(
        fix("base-unpinned", "FROM --platform=linux/amd64 node:latest AS x\n"),
        "name a version, such as FROM --platform=linux/amd64 node:22-bookworm-slim AS x"
    );
    assert_eq!(
        fix("cache-order", "FROM a:1\nCOPY . .\nRUN npm ci\n"),
        "copy first what it reads: COPY package.json package-lock.json ./, then RUN npm ci, and COPY . . behind it"
    );
    assert_eq!(
        fix("apt-yes", "FROM a:1\nRUN apt-get update && apt-get install curl git\n"),
        "RUN apt-get update && apt-get install -y --no-install-recommends curl git && rm -rf /var/lib/apt/lists/*"
    );
    assert_eq!(fix("run-cd", "FROM a:1\nRUN cd /x\n"), "WORKDIR /x");
    assert_eq!(fix("unknown-instruction", "FROM a:1\nCOPPY a b\n"), "did you mean COPY? write: COPY a b");
    assert_eq!(
        fix("unknown-instruction", "FROM a:1\nRUN a\n  && b\n"),
        "end the line above with a backslash when this belongs to it"
    );
    assert_eq!(
        fix("copy-from", "FROM a:1 AS build\nFROM b:1\nCOPY --from=biuld /x /x\n"),
        "did you mean --from=build?"
    );
}

#[test]
fn what_builds_decides_about_features() {
    let context = |buildkit| Context { buildkit: Some(buildkit), ..Context::default() };
    let heredoc = "FROM a:1\nRUN <<x\ny\nx\n";
    assert_eq!(of_rule("buildkit-feature", heredoc, &context((0, 8))), [(2, Error)]);
    assert_eq!(of_rule("buildkit-feature", heredoc, &context((0, 10))), NONE);
    let checksum = "FROM a:1\nADD --checksum=sha256:0 https://x.example/a /a\n";
    assert_eq!(of_rule("buildkit-feature", checksum, &context((0, 11))), [(2, Error)]);
    assert_eq!(of_rule("buildkit-feature", checksum, &context((0, 12))), NONE);
    let brought = format!("# syntax=docker/dockerfile:1\n{heredoc}");
    assert_eq!(of_rule("buildkit-feature", &brought, &context((0, 8))), NONE);
    assert!(
        only("syntax-image", &brought, &context((0, 8)))
            .fix
            .starts_with("keep it, or build with BuildKit 0.10")
    );
    assert!(only("syntax-image", &brought, &context((0, 10))).fix.starts_with("take the line out"));
}

#[test]
fn what_belongs_into_dockerignore() {
    let files = paths(&[".env", ".git/", "apps/web/node_modules/", "src/main.ts"]);
    let found = |text: &str, ignore, paths| {
        let context = Context { ignore, paths, ..Context::default() };
        of_rule("dockerignore", text, &context)
    };
    let (whole, some) = ("FROM a:1\nCOPY package.json ./\nCOPY . .\n", "FROM a:1\nCOPY src src\n");
    assert_eq!(found(whole, IgnoreFile::Missing, None), [(3, Warning)]);
    assert_eq!(found(some, IgnoreFile::Missing, None), [(2, Note)]);
    assert_eq!(found("FROM a:1\nADD https://x.example/a /a\n", IgnoreFile::Missing, None), NONE);
    assert_eq!(found(whole, IgnoreFile::Unknown, Some(&files)), NONE);
    assert_eq!(found(whole, IgnoreFile::Text(".git\n"), Some(&files)), [(3, Warning)]);
    assert_eq!(found(some, IgnoreFile::Text(".git\n"), Some(&files)), [(2, Note)]);
    assert_eq!(found(whole, IgnoreFile::Text(".git\n"), None), NONE);
    assert_eq!(found(whole, IgnoreFile::Text(".git\n**/node_modules\n.env*\n"), Some(&files)), NONE);
    assert_eq!(found(whole, IgnoreFile::Text("*\n!src\n"), Some(&files)), NONE);
    assert_eq!(found(whole, IgnoreFile::Text("[x\n"), Some(&files)), [(3, Error)]);
    let context = Context { ignore: IgnoreFile::Text(".git\n"), paths: Some(&files), ..Context::default() };
    let finding = only("dockerignore", whole, &context);
    assert!(finding.message.contains("`apps/web/node_modules/`"), "{}", finding.message);
    assert_eq!(finding.fix, "add to .dockerignore, a line each: **/node_modules **/.env*");
}

#[test]
fn files_of_the_repository_make_rules_sharper() {
    let files = paths(&["apps/api/package.json", "apps/api/package-lock.json"]);
    let context = Context { paths: Some(&files), ..Context::default() };
    let text = "FROM node:22\nCOPY apps/api ./\nRUN npm install\n";
    assert_eq!(of_rule("cache-order", text, &context), [(2, Warning)]);
    assert_eq!(of_rule("npm-ci", text, &context), [(3, Warning)]);
    assert_eq!(of_rule("cache-order", text, &Context::default()), NONE);
    assert_eq!(of_rule("npm-ci", text, &Context::default()), NONE);
    let globs = "FROM node:22\nCOPY apps/api/package*.json ./\nRUN npm install\n";
    assert_eq!(of_rule("npm-ci", globs, &context), [(3, Warning)]);
}

#[test]
fn the_stage_that_is_built_is_the_one_that_counts() {
    let text = "FROM a:1 AS run\nUSER 1000\nCMD [\"x\"]\nFROM run AS development\nUSER root\n";
    assert_eq!(of_rule("root-user", text, &Context::default()), [(5, Warning)]);
    let context = Context { target: Some("run"), ..Context::default() };
    assert_eq!(of_rule("root-user", text, &context), NONE);
    let context = Context { target: Some("walk"), ..Context::default() };
    assert_eq!(of_rule("target-unknown", text, &context), [(4, Error)]);
}

#[test]
fn nothing_of_a_site_runs() {
    let text =
        "FROM node:22\nCOPY package.json ./\nRUN npm ci\nCOPY src src\nRUN npm run build\nCMD npm start\n";
    let context = Context { is_site: true, ..Context::default() };
    let found: Vec<&str> = review(text, &context).iter().map(|finding| finding.rule).collect();
    assert_eq!(found, ["base-digest"]);
}

#[test]
fn no_message_tells_a_secret() {
    let secret = "ghp_0123456789abcdefghijABCDEFGHIJ456789";
    let padding = "x".repeat(90);
    for line in [
        format!("ENV GITHUB_TOKEN={secret}"),
        format!("ARG GITHUB_TOKEN={secret}"),
        format!("CMD node --token {secret}"),
        format!("CMD ['node', '{secret}']"),
        format!("CMD [\"sh\", \"-c\", \"node {padding} {secret}\"]"),
        format!("CMD node {padding} {secret}"),
        format!("RUN npm ci --token={secret}"),
        format!("RUN cd {secret}"),
        format!("RUN sudo {secret}"),
        format!("ADD {secret} x"),
        format!("ADD https://x.example/{secret} x"),
        format!("COPY --from={secret} x y"),
        format!("{secret} x"),
        format!("MAINTAINER {secret}"),
        format!("FROM {secret}"),
        format!("FROM x:${secret}"),
    ] {
        let text = format!("FROM a:1\nCOPY . .\n{line}\n");
        let findings = review(&text, &Context::default());
        assert!(findings.iter().any(|finding| finding.rule == "secret-value" && finding.line == 3), "{line}");
        for finding in findings {
            let told = format!("{} {}", finding.message, finding.fix);
            assert!(!told.contains("ghp_"), "{line}: {finding:?}");
        }
    }
}

#[test]
fn commands_of_other_shells_are_not_read() {
    let text = "# escape=`\nFROM a:1\nRUN sudo x\n";
    assert_eq!(of_rule("sudo", text, &Context::default()), NONE);
    let text = "FROM a:1 AS b\nSHELL [\"pwsh\", \"-c\"]\nFROM b\nRUN sudo x\nSHELL [\"/bin/bash\", \"-c\"]\nRUN sudo x\n";
    assert_eq!(of_rule("sudo", text, &Context::default()), [(6, Warning)]);
}

#[test]
fn findings_are_sorted_and_bounded() {
    let text = "FROM a\n".repeat(2_000) + &"NOPE\n".repeat(500);
    let findings = review(&text, &Context::default());
    assert_eq!(findings.len(), FINDINGS_MAX);
    assert!(findings.is_sorted_by_key(|finding| finding.line));
    let errors = findings.iter().filter(|finding| finding.severity == Error).count();
    assert_eq!(errors, 500, "what is heavier stays");
    assert_eq!(review("", &Context::default()).first().map(|finding| finding.line), Some(1));
}

#[test]
fn hostile_texts_are_reviewed_in_time() {
    let half = TEXT_MAX / 2;
    let texts = [
        "FROM a:1\nCOPY . .\nRUN ".to_owned() + &"npm ci;".repeat(half / 7),
        "FROM a:1\nRUN ".to_owned() + &"sudo a && ".repeat(half / 10),
        "FROM a:1\nRUN ".to_owned() + &"a|".repeat(half / 2),
        "FROM a:1\nRUN ".to_owned() + &"$(".repeat(half / 2),
        "FROM a:1\nRUN ".to_owned()
            + &"--mount=type=cache ".repeat(half / 40)
            + &"pip install a;".repeat(half / 28),
        "FROM a AS b\n".repeat(5_000) + &"COPY --from=c d e\n".repeat(4_990),
        "FROM a AS b\nFROM b AS a\n".repeat(4_999),
        "FROM a:1\n".to_owned() + &"NOPES\n".repeat(9_990),
        "FROM a:1\nENV ".to_owned() + &"A_TOKEN=$A_TOKEN ".repeat(half / 17),
        "FROM a:1\nCMD ".to_owned() + &"a && ".repeat(half / 5),
        "FROM a:1\nRUN ".to_owned() + &"http://a:b@c".repeat(half / 12),
    ];
    for text in texts {
        let began = Instant::now();
        review(&text, &Context { target: Some("b"), buildkit: Some((0, 8)), ..Context::default() });
        let start: String = text.chars().take(40).collect();
        assert!(began.elapsed() < Duration::from_secs(30), "{start:?} took {:?}", began.elapsed());
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_lines_are_there(text in crate::file::PIECES, ignore in "[a.*!\n/\\[]{0,10}", is_site: bool) {
        let lines = u32::try_from(text.split('\n').count()).expect("is short");
        let files = paths(&[".git/", "a/package.json", "package-lock.json"]);
        let context = Context {
            ignore: IgnoreFile::Text(&ignore),
            paths: Some(&files),
            target: Some("a"),
            buildkit: Some((0, 8)),
            is_site,
        };
        let mut last = 0;
        for finding in review(&text, &context) {
            prop_assert!((1..=lines).contains(&finding.line), "{finding:?}");
            prop_assert!(finding.line >= last);
            prop_assert!(!finding.message.is_empty() && !finding.fix.is_empty());
            last = finding.line;
        }
    }
}

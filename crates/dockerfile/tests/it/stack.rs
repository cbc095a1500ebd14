//! What is written for the samples in `examples/stacks`, what is refused and why, and that nothing of a user's files can
//! become an instruction.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use havre_core::build::ignore::Ignore;
use havre_core::name::{EnvKey, RelativePath};
use havre_dockerfile::stack::{Choice, Snapshot, Written, choose, wanted, write};
use proptest::prelude::*;

fn path(text: &str) -> RelativePath {
    text.parse().expect("a path")
}

/// A repository of these files, read as a caller would.
fn repository<N: Into<String>, T: Into<String>>(
    files: impl IntoIterator<Item = (N, T)>,
    root: &str,
) -> Snapshot {
    let all: BTreeMap<String, String> =
        files.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
    let paths = all.keys().cloned().collect();
    let texts = wanted(&paths, &path(root))
        .into_iter()
        .filter_map(|name| all.get(&name).map(|text| (name.clone(), text.clone())))
        .collect();
    Snapshot { paths, texts }
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("is there") {
        let entry = entry.expect("is there");
        let name = entry.file_name().into_string().expect("is text");
        if ["node_modules", "dist", "target"].contains(&name.as_str()) {
            continue;
        }
        let below = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if entry.path().is_dir() {
            read_folder(&entry.path(), &below, files);
        } else {
            files.push((below, fs::read_to_string(entry.path()).unwrap_or_default()));
        }
    }
}

fn sample(name: &str, root: &str) -> Snapshot {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/stacks").join(name);
    let mut files = Vec::new();
    read_folder(&folder, "", &mut files);
    repository(files, root)
}

/// Everything that is answered, as text.
fn shown(written: &Written) -> String {
    let Written { stack, dockerfile, ignore, port, health, output, notes: _ } = written;
    let health = health.as_deref().unwrap_or("none");
    let output = output.as_deref().unwrap_or("none");
    format!(
        "stack: {stack}\nport: {port}\nhealth: {health}\noutput: {output}\n\n{dockerfile}\n---- .dockerignore\n{ignore}"
    )
}

#[test]
fn samples() {
    let alone = [
        "astro-node",
        "astro-static",
        "django-pip",
        "django-uv",
        "eleventy",
        "express-npm",
        "fastapi-package",
        "fastapi-uv",
        "fastify-yarn",
        "flask-pip",
        "flask-poetry",
        "go-cmd-vendor",
        "go-net-http",
        "hono",
        "java-gradle",
        "java-gradle-classic",
        "java-maven-jetty",
        "java-maven-plain",
        "koa-yarn-berry",
        "nest-pnpm",
        "next-standalone",
        "nuxt-pnpm",
        "php-index",
        "php-plain",
        "procfile-node",
        "python-plain-procfile",
        "ruby-sinatra",
        "rust-axum",
        "rust-std",
        "sveltekit-node",
        "vite-react",
        "vite-vue",
    ];
    let workspaces = [
        ("java-maven-modules", "java-maven-modules", "web"),
        ("workspaces-npm", "workspaces-npm", "apps/api"),
        ("workspaces-pnpm", "workspaces-pnpm", "apps/api"),
        ("workspaces-pnpm-web", "workspaces-pnpm", "apps/web"),
    ];
    for (name, folder, root) in alone.map(|name| (name, name, ".")).into_iter().chain(workspaces) {
        let written = write(&sample(folder, root), &path(root));
        let written = written.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_sound(&written.dockerfile);
        Ignore::parse(&written.ignore).unwrap_or_else(|error| panic!("{name}: {error}"));
        insta::assert_snapshot!(name, shown(&written));
    }
}

/// A package of these further lines, in a repository with these further files.
fn package(lines: &str, files: &[(&str, &str)]) -> Snapshot {
    let text = format!("{{\"name\": \"shop\"{}{lines}}}", if lines.is_empty() { "" } else { ", " });
    let mut all = vec![("package.json".to_owned(), text)];
    all.extend(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
    repository(all, ".")
}

fn dockerfile(lines: &str, files: &[(&str, &str)]) -> String {
    let written = write(&package(lines, files), &path("."));
    let written = written.unwrap_or_else(|error| panic!("{lines}: {error}"));
    assert_sound(&written.dockerfile);
    written.dockerfile
}

fn refused(lines: &str, files: &[(&str, &str)]) -> String {
    write(&package(lines, files), &path(".")).expect_err("must be refused").to_string()
}

/// What it is about, the folder, and the files of the repository.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

#[test]
fn frameworks_and_managers() {
    let rows: [Row; 8] = [
        (
            "pnpm_workspaces",
            r#""scripts": {"start": "node server.js", "build": "tsc"}, "dependencies": {"express": "5", "bcrypt": "5"}"#,
            &[("pnpm-lock.yaml", "lockfileVersion: '9.0'\n"), ("patches/bcrypt.patch", "")],
        ),
        (
            "yarn_berry",
            r#""packageManager": "yarn@4.5.3", "scripts": {"start": "koa-app serve"}, "dependencies": {"koa": "2", "koa-app": "1"}"#,
            &[("yarn.lock", ""), (".yarnrc.yml", "nodeLinker: pnp\n")],
        ),
        (
            "prisma",
            r#""scripts": {"postinstall": "prisma generate", "build": "tsc", "start": "prisma migrate deploy && node dist/a.js"},
               "dependencies": {"express": "5", "@prisma/client": "6"}, "devDependencies": {"prisma": "6"}"#,
            &[("package-lock.json", "{}"), ("prisma/schema.prisma", "")],
        ),
        (
            "next",
            r#""scripts": {"build": "next build", "start": "next start"}, "dependencies": {"next": "15"}"#,
            &[("package-lock.json", "{}")],
        ),
        (
            "nuxt",
            r#""scripts": {"build": "nuxt build", "postinstall": "nuxt prepare"}, "dependencies": {"nuxt": "3"}"#,
            &[("package-lock.json", "{}")],
        ),
        (
            "sveltekit",
            r#""scripts": {"build": "vite build"}, "devDependencies": {"@sveltejs/kit": "2", "@sveltejs/adapter-node": "5", "vite": "6"}"#,
            &[("package-lock.json", "{}"), ("vite.config.js", "")],
        ),
        (
            "remix",
            r#""scripts": {"build": "remix vite:build", "start": "remix-serve ./build/server/index.js"},
               "dependencies": {"@remix-run/serve": "2", "@remix-run/node": "2"}, "devDependencies": {"vite": "6"}"#,
            &[("package-lock.json", "{}"), ("index.html", "")],
        ),
        (
            "tools_while_it_runs",
            r#""scripts": {"start": "tsx src/a.ts"}, "dependencies": {"fastify": "5"}, "devDependencies": {"tsx": "4"}"#,
            &[("package-lock.json", "{}")],
        ),
    ];
    for (name, lines, files) in rows {
        insta::assert_snapshot!(name, dockerfile(lines, files));
    }
}

#[test]
fn a_workspace_of_pnpm() {
    let files = [
        (
            "package.json",
            r#"{"name": "top", "packageManager": "pnpm@9.15.9", "scripts": {"prepare": "husky"}}"#,
        ),
        ("pnpm-workspace.yaml", "packages:\n  - 'apps/*' # programs\n  - packages/*\n  - '!apps/old'\n"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n"),
        (
            "apps/api/package.json",
            r#"{"name": "@acme/api", "scripts": {"build": "tsc", "start": "node dist/a.js"}, "dependencies": {"@acme/db": "workspace:*"}}"#,
        ),
        ("apps/web/package.json", r#"{"name": "@acme/web"}"#),
        ("apps/old/package.json", r#"{"name": "@acme/old"}"#),
        (
            "packages/db/package.json",
            r#"{"name": "@acme/db", "scripts": {"build": "tsc"}, "devDependencies": {"@acme/config": "workspace:*"}}"#,
        ),
        ("packages/config/package.json", r#"{"name": "@acme/config"}"#),
    ];
    let written = write(&repository(files, "apps/api"), &path("apps/api")).expect("is known");
    assert_sound(&written.dockerfile);
    let ignore = Ignore::parse(&written.ignore).expect("is valid");
    let is_out = ["apps/web/a.js", "apps/web/package.json", "apps/api/a.js", "packages/db/dist/a.js"]
        .map(|path| ignore.is_ignored(path));
    assert_eq!(is_out, [true, false, false, true]);
    insta::assert_snapshot!("pnpm_workspace", shown(&written));
}

#[test]
fn what_is_refused() {
    let nothing = write(&repository([("README.md", "")], "."), &path(".")).expect_err("is unknown");
    let mut text = format!("{nothing}\n");
    let rows: [(&str, &[(&str, &str)]); 9] = [
        ("", &[]),
        (r#""scripts": {"start": "ng serve"}"#, &[]),
        (r#""scripts": {"start": "node a.js"}"#, &[("bun.lock", "")]),
        (r#""scripts": {"start": "node a.js"}, "engines": {"node": "<10"}"#, &[]),
        (
            r#""workspaces": ["apps/*"]"#,
            &[("apps/api/package.json", "{\"scripts\": {\"start\": \"node a\"}}")],
        ),
        (r#""dependencies": {"@nestjs/core": "11"}"#, &[]),
        (r#""devDependencies": {"vite": "6"}"#, &[("index.html", "")]),
        (r#""devDependencies": {"@sveltejs/kit": "2"}, "scripts": {"build": "vite build"}"#, &[]),
        (r#""main": "../x.js""#, &[]),
    ];
    for (lines, files) in rows {
        text.push_str(&format!("{}\n", refused(lines, files)));
    }
    let broken = repository([("package.json", "{\"name\": ")], ".");
    text.push_str(&format!("{}\n", write(&broken, &path(".")).expect_err("is no JSON")));
    let plain = repository([("docs/index.html", "")], "docs");
    text.push_str(&format!("{}\n", write(&plain, &path("docs")).expect_err("needs no build")));
    insta::assert_snapshot!("refused", text);
}

#[test]
fn other_languages_have_a_package_json_too() {
    let files = [
        ("package.json", r#"{"scripts": {"build": "vite build"}}"#),
        ("vite.config.js", ""),
        ("manage.py", ""),
    ];
    // Until Python is known, nothing is; it is neither a site nor a program of Node.js.
    let found = write(&repository(files, "."), &path("."));
    assert!(!found.is_ok_and(|written| written.stack.starts_with("Node.js")));
}

#[test]
fn an_own_dockerfile_is_used() {
    let files = [("apps/api/package.json", "{}"), ("apps/api/Dockerfile", "FROM scratch")];
    let choice = choose(&repository(files, "apps/api"), &path("apps/api"));
    assert_eq!(choice, Ok(Choice::Own { path: "apps/api/Dockerfile".to_owned() }));
}

#[test]
fn a_program_is_no_site() {
    let program = write(&sample("express-npm", "."), &path(".")).expect("is known");
    let site = write(&sample("vite-react", "."), &path(".")).expect("is known");
    assert_eq!(program.check(&path("."), false), Ok(()));
    assert_eq!(site.check(&path("apps/web"), true), Ok(()));
    let errors = [program.check(&path("."), true), site.check(&path("apps/web"), false)];
    let errors: Vec<String> =
        errors.into_iter().map(|result| result.expect_err("differ").to_string()).collect();
    insta::assert_snapshot!(errors.join("\n"), @r"
    could not write a Dockerfile for the repository: it holds a program (Node.js 22, npm, Express), which runs, and no site; describe it in havre.toml as [services.<name>] with `root` and `port`
    could not write a Dockerfile for apps/web: it makes the files of a site (Node.js 22, npm, Vite), and nothing that runs; describe it in havre.toml as [sites.<name>] with `root` and build = true
    ");
}

#[test]
fn build_arguments_come_behind_the_packages() {
    let keys: Vec<EnvKey> = ["VITE_A", "B"].map(|key| key.parse().expect("a key")).into();
    let mut site = write(&sample("vite-react", "."), &path(".")).expect("is known");
    site.declare(&keys);
    assert!(
        site.dockerfile.contains("FROM packages AS build\nARG VITE_A\nARG B\nCOPY . .\n"),
        "{}",
        site.dockerfile
    );
    let mut program = write(&sample("express-npm", "."), &path(".")).expect("is known");
    program.declare(&keys);
    assert!(program.dockerfile.contains(" AS packages\nARG VITE_A\nARG B\n"), "{}", program.dockerfile);
    assert_sound(&program.dockerfile);
}

/// Only instructions, comments, empty lines and what a backslash continues; nothing of a user's outside of comments and
/// words in quotes.
#[track_caller]
fn assert_sound(dockerfile: &str) {
    const INSTRUCTIONS: [&str; 10] =
        ["FROM ", "RUN ", "COPY ", "ENV ", "ARG ", "WORKDIR ", "USER ", "EXPOSE ", "HEALTHCHECK ", "CMD ["];
    let mut is_continued = false;
    assert!(dockerfile.starts_with("# Written by Havre"), "{dockerfile}");
    for line in dockerfile.lines() {
        let is_comment = line.starts_with('#');
        let is_instruction = INSTRUCTIONS.iter().any(|instruction| line.starts_with(instruction));
        assert!(line.is_empty() || is_comment || is_continued || is_instruction, "{line:?} in\n{dockerfile}");
        let words = line.strip_prefix("CMD ").or_else(|| line.split_once(" CMD ").map(|(_, words)| words));
        match words.filter(|_| !is_comment) {
            Some(words) => {
                let words: Vec<String> = serde_json::from_str(words).expect("words in quotes");
                assert!(!words.is_empty(), "{line}");
            }
            None => assert!(is_comment || !line.contains("evil"), "{line:?} in\n{dockerfile}"),
        }
        is_continued = !is_comment && line.ends_with('\\');
    }
}

/// Text with whatever means something to JSON, a shell or a Dockerfile.
fn text() -> impl Strategy<Value = String> {
    let parts = vec![
        "node",
        "a",
        "b.js",
        "/",
        "..",
        ".",
        " ",
        "\n",
        "\r\n",
        "\"",
        "'",
        "\\",
        ";",
        "$(evil)",
        " && ",
        "|",
        "`evil`",
        "\nRUN evil",
        "# syntax=evil",
        "é",
        "\0",
        "@",
        ":",
        "-",
        "22",
        ">=",
        "build",
        "~",
        "*",
        "[",
        "]",
        "{",
        "}",
        "npm run build",
        "file:",
        "yarn@",
        "pnpm@",
        "workspace:*",
        "apps/*",
    ];
    proptest::collection::vec(prop::sample::select(parts), 0..5).prop_map(|parts| parts.concat())
}

fn any_repository() -> impl Strategy<Value = Snapshot> {
    let frameworks =
        vec!["express", "next", "nuxt", "astro", "@nestjs/core", "vite", "react-scripts", "hono", "none"];
    let locks = vec!["package-lock.json", "yarn.lock", "pnpm-lock.yaml", "none"];
    let chosen = (prop::sample::select(frameworks), prop::sample::select(locks), any::<bool>());
    (chosen, proptest::collection::vec(text(), 16)).prop_map(|((framework, lock, is_valid), texts)| {
        // Half of them get far, because only one thing in them is strange.
        let name = if is_valid { "shop".to_owned() } else { texts[0].clone() };
        let build = if is_valid { "tsc".to_owned() } else { texts[1].clone() };
        let json = serde_json::json!({
            "name": name, "main": texts[2], "packageManager": texts[3], "engines": { "node": ">=20" },
            "scripts": { "start": texts[4], "build": build, "postinstall": texts[5] },
            "dependencies": { framework: "1", &texts[6]: &texts[7] },
            "workspaces": [&texts[8], "packages/*"],
        });
        let folder = format!("packages/{}", texts[9]);
        let files = [
            ("package.json".to_owned(), json.to_string()),
            (lock.to_owned(), "lockfileVersion: '9.0'".to_owned()),
            ("index.html".to_owned(), String::new()),
            ("Procfile".to_owned(), if is_valid { String::new() } else { format!("web: {}", texts[10]) }),
            (
                "app.json".to_owned(),
                format!("{{\"healthchecks\": {{\"web\": [{{\"path\": {:?}}}]}}}}", texts[11]),
            ),
            (".nvmrc".to_owned(), texts[12].clone()),
            ("next.config.js".to_owned(), format!("output: 'standalone', distDir: '{}'", texts[13])),
            ("vite.config.js".to_owned(), format!("outDir: '{}'", texts[14])),
            (format!("{folder}/package.json"), serde_json::json!({ "name": texts[15] }).to_string()),
        ];
        repository(files, ".")
    })
}

proptest! {
    #[test]
    fn nothing_of_a_user_becomes_an_instruction(snapshot in any_repository()) {
        if let Ok(mut written) = write(&snapshot, &path(".")) {
            assert_sound(&written.dockerfile);
            written.declare(&["A".parse::<EnvKey>().expect("a key")]);
            assert_sound(&written.dockerfile);
            prop_assert!(Ignore::parse(&written.ignore).is_ok(), "{}", written.ignore);
        }
    }
}

//! Programs for which nobody wrote a Dockerfile: what is printed, and what is uploaded.

use insta::assert_snapshot;
use serde_json::Value;

use crate::world::Fake;

const EXPRESS: &str = r#"{"scripts": {"start": "node main.js"}, "dependencies": {"express": "5"}}"#;
const PRINT: [&str; 2] = ["build", "--print-dockerfile"];

#[tokio::test]
async fn the_dockerfile_is_printed() {
    let fake = Fake::start().await;
    fake.write("havre.toml", "project = \"shop\"\n[services.api]\nargs = { VERSION = \"1\" }\n");
    fake.write("package.json", EXPRESS);
    let (code, stdout, stderr) = fake.finish(&PRINT).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("# Written by Havre"), "{stdout}");
    assert!(
        stdout.contains("\nARG VERSION\n") && stdout.ends_with("\nCMD [\"node\", \"main.js\"]\n"),
        "{stdout}"
    );

    let (code, json, _) = fake.finish(&["build", "--print-dockerfile", "api", "--json"]).await;
    let json: Value = serde_json::from_str(&json).expect("is JSON");
    assert_eq!((code, &json["dockerfile"], &json["port"]), (0, &Value::from(stdout), &Value::from(3000)));
    assert_eq!(json["stack"], "Node.js 22, npm, Express");
    assert_eq!(fake.requests(), Vec::<String>::new(), "it talks to no server");
}

#[tokio::test]
async fn a_folder_without_a_manifest_and_one_with_its_own_dockerfile() {
    let fake = Fake::start().await;
    fake.write("package.json", EXPRESS);
    let (code, stdout, _) = fake.finish(&PRINT).await;
    assert_eq!(code, 0);
    assert!(stdout.contains("node:22-bookworm-slim"), "{stdout}");
    fake.write("Dockerfile", "FROM scratch\n");
    let (code, stdout, stderr) = fake.finish(&PRINT).await;
    assert_eq!((code, stdout.as_str()), (0, "FROM scratch\n"));
    assert!(stderr.starts_with("it is built by its own FOLDER/project/"), "{stderr}");
}

#[tokio::test]
async fn what_is_asked_must_be_clear() {
    let fake = Fake::start().await;
    let (code, _, stderr) = fake.finish(&["build"]).await;
    let mut text = format!("{code} {stderr}\n");
    let (code, _, stderr) = fake.finish(&["build", "--print-dockerfile", "api"]).await;
    text.push_str(&format!("{code} {stderr}\n"));
    fake.write(
        "havre.toml",
        "project = \"shop\"\n[services.api]\n[services.worker]\n[services.cache]\nimage = \"redis\"\n",
    );
    for arguments in
        [&PRINT[..], &["build", "--print-dockerfile", "cache"], &["build", "--print-dockerfile", "api"]]
    {
        let (code, _, stderr) = fake.finish(arguments).await;
        text.push_str(&format!("{code} {stderr}\n"));
    }
    assert_snapshot!(text, @r"
    2 error: there is nothing to do without --print-dockerfile
      `havre deploy` builds on the server
    2 error: there is no havre.toml that could say what `api` is
      leave the name out to ask about the program in this folder; `havre init` writes a havre.toml
    2 error: several services are built: name one
      api, worker
    2 error: `cache` is built by no Dockerfile: it is a finished image, or a folder of files
      built by one are: api, worker
    2 error: could not tell what the repository is made of: there is none of package.json, pyproject.toml, requirements.txt, Pipfile, go.mod, Cargo.toml, Gemfile, composer.json, pom.xml, build.gradle, index.html
      write a Dockerfile and name it as `dockerfile` in havre.toml
    ");
}

#[tokio::test]
async fn it_is_uploaded() {
    let fake = Fake::start().await;
    fake.one_service();
    fake.write("havre.toml", "project = \"shop\"\n[services.api]\n");
    fake.write("package.json", EXPRESS);
    std::fs::remove_file(fake.folder.path().join("project/Dockerfile")).expect("it was there");
    let (code, _, stderr) = fake.finish(&["deploy", "--detach"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.starts_with("api: Node.js 22, npm, Express; Havre writes the Dockerfile\n"), "{stderr}");
    let upload = fake.uploads()[0].clone();
    let mut archive = tar::Archive::new(&upload[..]);
    let names: Vec<String> = archive
        .entries()
        .expect("is an archive")
        .map(|entry| entry.expect("is an entry").path().expect("has a name").display().to_string())
        .collect();
    assert_eq!(names, [".dockerignore", "havre.toml", "main.js", "package.json", ".havre.Dockerfile"]);
    let applied =
        fake.requests().into_iter().find(|request| request.starts_with("PUT ")).expect("it applied");
    assert!(applied.contains("\"written_for\":\".\""), "{applied}");
}

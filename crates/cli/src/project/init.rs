//! `havre init`: writes a first `havre.toml` from what it finds. Never overwrites one. Tests at the end of the file.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use havre_core::name::{NAME_MAX, ProjectName};
use havre_manifest as manifest;

use super::detect::{Found, Origin, detect};
use crate::exit::{CliError, Exit};
use crate::invocation::{Global, MANIFEST};
use crate::output;
use crate::project::dockerfile::Hints;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only print it
    #[arg(long)]
    print: bool,
}

pub(crate) fn run(global: &Global, options: Options) -> Result<Exit, CliError> {
    let path = match &global.file {
        Some(path) => path.clone(),
        None => MANIFEST.into(),
    };
    let path = std::path::absolute(&path)
        .map_err(|error| CliError::io(format!("find {}", path.display()), &error))?;
    let root = path.parent().expect("a file lies in a folder");
    let found = detect(root);
    let text = render(&project_name(global, root), &found);
    // What we write must be what we read.
    manifest::parse(&text).map_err(|error| {
        CliError::new(Exit::Failed, format!("could not write a havre.toml that is understood\n\n{error}"))
    })?;
    if options.print {
        output::data(&text)?;
        return Ok(Exit::Ok);
    }
    write(&path, &text)?;
    output::say(&format!("wrote {}", path.display()));
    for each in &found {
        output::say(&format!("  {}", describe(each)));
    }
    if found.is_empty() {
        output::say("  found nothing it knows, so it describes a service to be filled in");
    }
    output::say("read it, then: havre plan, havre deploy");
    Ok(Exit::Ok)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            CliError::usage(format!("{} exists already and stays as it is", path.display()))
                .hint("`havre init --print` shows what would be written")
        }
        _ => CliError::io(format!("write {}", path.display()), &error),
    })
}

fn project_name(global: &Global, root: &Path) -> ProjectName {
    let folder = root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match &global.project {
        Some(name) => name.clone(),
        None => label(folder).unwrap_or_else(|| "my-project".to_owned()).parse().expect("is a label"),
    }
}

/// A name made of what can be used of a text.
fn label(text: &str) -> Option<String> {
    let mut name = String::new();
    for character in text.chars().map(|c| c.to_ascii_lowercase()) {
        let is_usable = character.is_ascii_lowercase() || (character.is_ascii_digit() && !name.is_empty());
        if is_usable {
            name.push(character);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(NAME_MAX);
    let name = name.trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

fn describe(found: &Found) -> String {
    match found {
        Found::Service { folder, origin: Origin::Own(_), .. } => {
            format!("service in {folder}, built by its Dockerfile")
        }
        Found::Service { folder, origin: Origin::Written { stack, .. }, .. } => {
            format!("service in {folder} ({stack}); Havre writes its Dockerfile")
        }
        Found::Service { folder, origin: Origin::Missing { reason }, .. } => {
            let reason = output::printable(reason);
            format!("service in {folder}; it needs a Dockerfile, and Havre cannot write it yet: {reason}")
        }
        Found::Site { folder, is_written: true, .. } => {
            format!("site in {folder}; Havre writes the Dockerfile that builds it")
        }
        Found::Site { folder, build: Some(_), .. } => format!("site in {folder}, built by its Dockerfile"),
        Found::Site { folder, finished: ".", .. } => format!("site in {folder}"),
        Found::Site { folder, .. } => format!("site in {folder}; build it before each deployment"),
    }
}

/// The text of a `havre.toml`.
fn render(project: &ProjectName, found: &[Found]) -> String {
    let mut text = format!(
        "# What this project runs. Every key: docs/havre-toml.md\n\
         # `havre plan` shows what would change, `havre deploy` makes it so.\nproject = \"{project}\"\n"
    );
    let mut names: Vec<String> = Vec::new();
    for each in found {
        let (folder, fallback) = match each {
            Found::Service { folder, .. } => (folder, "app"),
            Found::Site { folder, .. } => (folder, "web"),
        };
        let name = unused(folder, fallback, &names);
        text.push('\n');
        text.push_str(&match each {
            Found::Service { .. } => render_service(project, &name, each),
            Found::Site { .. } => render_site(project, &name, each, !text.contains("[sites.")),
        });
        names.push(name);
    }
    if found.is_empty() {
        let origin = Origin::Missing { reason: String::new() };
        let nothing = Found::Service { folder: ".".to_owned(), origin, is_context_here: true };
        text.push('\n');
        text.push_str(&render_service(project, "app", &nothing));
    }
    text
}

/// The folder's own name, with a number where it is taken.
fn unused(folder: &str, fallback: &str, names: &[String]) -> String {
    let own = folder.rsplit('/').next().and_then(label).filter(|name| !name.starts_with("havre"));
    let name = own.filter(|name| name != "localhost").unwrap_or_else(|| fallback.to_owned());
    let is_free = |candidate: &String| !names.contains(candidate);
    let numbered = (2..).map(|number| {
        format!("{}-{number}", name.chars().take(28).collect::<String>().trim_end_matches('-'))
    });
    std::iter::once(name.clone()).chain(numbered).find(is_free).expect("numbers do not end")
}

fn join(folder: &str, name: &str) -> String {
    if folder == "." { name.to_owned() } else { format!("{folder}/{name}") }
}

fn context_line(folder: &str, is_context_here: bool) -> String {
    if is_context_here || folder == "." { String::new() } else { format!("context = \"{folder}\"\n") }
}

fn render_service(project: &ProjectName, name: &str, found: &Found) -> String {
    let Found::Service { folder, origin, is_context_here } = found else { return String::new() };
    let mut text = format!("[services.{name}]\n");
    let hints = match origin {
        Origin::Own(hints) => {
            text.push_str(&format!("dockerfile = \"{}\"\n", join(folder, "Dockerfile")));
            text.push_str(&context_line(folder, *is_context_here));
            hints.clone()
        }
        Origin::Written { stack, hints } => {
            text.push_str(&format!(
                "# {stack}. Havre writes the Dockerfile: havre build --print-dockerfile {name}\nroot = \"{folder}\"\n"
            ));
            hints.clone()
        }
        Origin::Missing { reason } if reason.is_empty() => {
            text.push_str("# Havre knows nothing of what it found here: say what runs.\n");
            text.push_str(&format!("dockerfile = \"{}\"\n", join(folder, "Dockerfile")));
            Hints::default()
        }
        Origin::Missing { reason } => {
            let reason = output::printable(reason);
            text.push_str(&format!(
                "# Havre cannot write a Dockerfile for it yet: {reason}\nroot = \"{folder}\"\n"
            ));
            Hints::default()
        }
    };
    match hints.port {
        Some(port) => text.push_str(&format!("port = {port}\n")),
        None => text.push_str(
            "port = 3000                     # where the program listens; it also gets it as PORT\n",
        ),
    }
    match hints.health.filter(|path| path.parse::<havre_core::name::ProbeTarget>().is_ok()) {
        Some(path) => text.push_str(&format!("health = \"{path}\"\n")),
        None => text.push_str(
            "# health = \"/health\"            # answers 2xx or 3xx when it can take requests; else / must\n",
        ),
    }
    text.push_str(&format!("hosts = [\"{name}.{project}.localhost\"]\n"));
    text.push_str(
        "# release = [\"npm\", \"run\", \"migrate\"]   # runs once before each new release starts\n",
    );
    text.push_str("# env = { NODE_ENV = \"production\" }\n");
    text
}

fn render_site(project: &ProjectName, name: &str, found: &Found, is_first: bool) -> String {
    let Found::Site { folder, build, is_written, is_context_here, finished, spa } = found else {
        return String::new();
    };
    let mut text = format!("[sites.{name}]\n");
    match build {
        None if *is_written => {
            text.push_str(&format!(
                "root = \"{folder}\"\nbuild = true                    # by a Dockerfile Havre writes\n"
            ));
        }
        Some(output) => {
            text.push_str(&format!("dockerfile = \"{}\"\n", join(folder, "Dockerfile")));
            text.push_str(&context_line(folder, *is_context_here));
            text.push_str(&format!(
                "output = \"{output}\"          # where the built files are in the image\n"
            ));
        }
        None => {
            let root = if *finished == "." { folder.clone() } else { join(folder, finished) };
            let comment = if *finished == "." { "" } else { "   # build it first: npm run build" };
            text.push_str(&format!("root = \"{root}\"{comment}\n"));
        }
    }
    let host = if is_first { format!("{project}.localhost") } else { format!("{name}.{project}.localhost") };
    text.push_str(&format!("hosts = [\"{host}\"]\n"));
    if *spa {
        text.push_str("spa = true                      # unknown paths get index.html\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("is made");
            std::fs::write(path, text).expect("is written");
        }
        let text = render(&"shop".parse().expect("a name"), &detect(folder.path()));
        manifest::parse(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        text
    }

    #[test]
    fn the_sample_project() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/dropit");
        insta::assert_snapshot!("dropit", render(&"dropit".parse().expect("a name"), &detect(&root)));
    }

    #[test]
    fn one_dockerfile() {
        let text = "FROM node:22\nCOPY . .\nEXPOSE 8080\nHEALTHCHECK CMD wget -q http://localhost:8080/up || exit 1\n";
        insta::assert_snapshot!("one_dockerfile", written(&[("Dockerfile", text), ("package.json", "{}")]));
    }

    #[test]
    fn a_monorepo() {
        let nest = r#"{"dependencies": {"@nestjs/core": "11"}}"#;
        let built = r#"{"scripts": {"build": "nest build"}, "dependencies": {"@nestjs/core": "11"}}"#;
        let vite = r#"{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "6"}}"#;
        insta::assert_snapshot!(
            "monorepo",
            written(&[
                ("package.json", r#"{"workspaces": ["apps/*"]}"#),
                ("apps/api/package.json", nest),
                ("apps/api/Dockerfile", "FROM node\nCOPY package.json .\nEXPOSE 3000\n"),
                ("apps/web/package.json", r#"{"dependencies": {"react": "19"}}"#),
                ("apps/web/vite.config.ts", ""),
                ("apps/admin/package.json", vite),
                ("apps/admin/index.html", ""),
                ("apps/docs/index.html", ""),
                ("apps/shared/package.json", r#"{"name": "shared"}"#),
                ("services/api/package.json", built),
                ("services/old/package.json", nest),
            ])
        );
    }

    #[test]
    fn nothing_found() {
        insta::assert_snapshot!("nothing_found", written(&[("README.md", "")]));
    }

    #[test]
    fn names() {
        let labels = ["My Shop!", "123-x", "été", "---", "a_b--c", &"x".repeat(50), "a".repeat(31).as_str()]
            .map(label);
        let wanted = ["my-shop", "x", "t", "", "a-b-c", &"x".repeat(32), &"a".repeat(31)];
        assert_eq!(labels.map(Option::unwrap_or_default), wanted.map(str::to_owned));
    }

    #[test]
    fn an_existing_file_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("havre.toml");
        std::fs::write(&path, "mine").expect("is written");
        assert_eq!(write(&path, "other").expect_err("exists").exit, Exit::Usage);
        assert_eq!(std::fs::read_to_string(&path).expect("is there"), "mine");
    }
}

//! Java: the Dockerfile of a program that Maven or Gradle builds. What each of them needs is in `maven.rs` and
//! `gradle.rs`, what other files say of the version in `version.rs`; here is what both have in common, which is the last
//! stage. Tests: `java/tests.rs`.

mod gradle;
mod maven;
#[cfg(test)]
mod tests;
mod version;

use havre_core::name::RelativePath;

use crate::stack::folder::Folder;
use crate::stack::step::{self, Cache, argv};
use crate::stack::{Found, Snapshot, StackError, Written, shown};

/// Port of a program that reads `PORT`.
const PORT: u16 = 8080;
/// Version where nobody says.
const DEFAULT: u16 = 21;
/// Versions with long support: what asks for another is built and run by the next of these.
const KNOWN: [u16; 5] = [8, 11, 17, 21, 25];
/// Heap as a share of the task's memory, the rest is for threads and native memory.
const MEMORY: &str = "-XX:MaxRAMPercentage=75";
/// What to do where several parts of a build are programs.
const NAME_ONE: &str =
    "name the folder of one of them as `root` of the service, and that of the whole as `context`";

/// What comes out of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Product {
    /// One file that `java -jar` runs.
    Jar,
    /// One file that Spring Boot made.
    Spring,
    /// A folder of Quarkus.
    Quarkus,
    /// The program's own jar, those it depends on, and the class to start.
    Classes(String),
}

impl Product {
    fn name(&self) -> Option<&'static str> {
        match self {
            Self::Spring => Some("Spring Boot"),
            Self::Quarkus => Some("Quarkus"),
            Self::Jar | Self::Classes(_) => None,
        }
    }

    /// The command. Spring Boot and Quarkus resolve `${PORT:8080}` themselves: no shell is needed.
    fn command(&self) -> Vec<String> {
        match self {
            Self::Jar => argv(&["java", MEMORY, "-jar", "/app/app.jar"]),
            Self::Spring => argv(&["java", MEMORY, "-Dserver.port=${PORT:8080}", "-jar", "/app/app.jar"]),
            Self::Quarkus => argv(&[
                "java",
                MEMORY,
                "-Dquarkus.http.host=0.0.0.0",
                "-Dquarkus.http.port=${PORT:8080}",
                "-jar",
                "/app/quarkus-run.jar",
            ]),
            Self::Classes(main) => argv(&["java", MEMORY, "-cp", "/app/*:/app/lib/*", main.as_str()]),
        }
    }

    /// What comes into the last stage from where: what a change of the program leaves as it is comes first, and is the same
    /// layer in one image after the other.
    fn layers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Jar | Self::Spring => &[("/out", "./")],
            Self::Quarkus => &[
                ("/out/lib", "./lib"),
                ("/out/*.jar", "./"),
                ("/out/app", "./app"),
                ("/out/quarkus", "./quarkus"),
            ],
            Self::Classes(_) => &[("/out/lib", "./lib"), ("/out/app", "./")],
        }
    }
}

/// How a program is built.
#[derive(Debug, Clone)]
struct Plan<'a> {
    tool: &'static str,
    version: u16,
    /// Image of the build.
    image: String,
    /// All that the tool builds from: the folder of the program, or one above it.
    base: Folder<'a>,
    /// Folder the tool keeps, and the variable that says so.
    cache: &'static str,
    env: Option<&'static str>,
    /// Fetches dependencies with nothing but the description of the project; `None` where that is not enough.
    fetch: Option<String>,
    /// Builds, and puts the product into `/out`.
    commands: Vec<String>,
    product: Product,
    health: Option<&'static str>,
}

/// Writes the Dockerfile of a Java program.
pub(crate) fn find(snapshot: &Snapshot, root: &RelativePath) -> Found {
    let folder = Folder::new(snapshot, root);
    if folder.has("pom.xml") {
        return Some(maven::plan(&folder).map(|plan| write(&folder, &plan)));
    }
    if folder.has("build.gradle") || folder.has("build.gradle.kts") {
        return Some(gradle::plan(&folder).map(|plan| write(&folder, &plan)));
    }
    None
}

fn write(folder: &Folder<'_>, plan: &Plan<'_>) -> Written {
    let command = folder.web_command();
    let mut notes = vec![format!("The heap may take three quarters of the task's memory ({MEMORY}).")];
    match (&command, &plan.product) {
        (Some(_), _) => {
            notes.push("What was built is in /app, where the command of the Procfile starts.".to_owned());
        }
        (None, Product::Spring | Product::Quarkus) => {}
        (None, Product::Jar | Product::Classes(_)) => {
            notes.push("No framework was recognised: the program must listen on PORT.".to_owned());
        }
    }
    notes.extend(folder.notes());
    let named = plan.product.name().map_or(String::new(), |name| format!(", {name}"));
    let stack = format!("Java {}, {}{named}", plan.version, plan.tool);
    let mut document = step::begin(&stack, &notes);
    document.stage(&plan.image, "build");
    document.line("WORKDIR /src");
    if let Some(env) = plan.env {
        document.line(format!("ENV {env}"));
    }
    let cache = Cache::locked(plan.cache);
    if let Some((copy, fetch)) = plan.base.copy(&["pom.xml", "mvnw"]).zip(plan.fetch.as_ref()) {
        document.line(copy);
        if plan.base.has_folder(".mvn") {
            document.line(format!("COPY {} ./.mvn", plan.base.path(".mvn")));
        }
        step::run(&mut document, std::slice::from_ref(&cache), &[fetch.as_str()]);
    }
    document.line(plan.base.copy_all());
    let commands: Vec<&str> = plan.commands.iter().map(String::as_str).collect();
    step::run(&mut document, &[cache], &commands);

    document.stage(&format!("eclipse-temurin:{}-jre-jammy", plan.version), "run");
    document.line(format!("ENV PORT={PORT}"));
    step::user(&mut document);
    document.line("WORKDIR /app");
    for (from, to) in plan.product.layers() {
        document.line(format!("COPY --from=build {from} {to}"));
    }
    let argv = command.unwrap_or_else(|| plan.product.command());
    step::start(&mut document, PORT, &argv);

    let mut made = ["target", "build", ".gradle"].map(|name| plan.base.path(name)).to_vec();
    if folder.path_in(&plan.base) != "." {
        made.extend(["target", "build"].map(|name| folder.path(name)));
    }
    let made: Vec<&str> = made.iter().map(String::as_str).collect();
    Written {
        stack,
        dockerfile: document.finish(),
        ignore: step::ignore(&step::SECRETS, &made),
        port: PORT,
        health: folder.health_or(plan.health.map(str::to_owned)),
        output: None,
        notes,
    }
}

/// The version with long support that can build and run what was asked for.
fn supported(version: u16) -> Option<u16> {
    KNOWN.into_iter().find(|known| *known >= version)
}

/// `17`, `1.8`, `VERSION_17` and `VERSION_1_8` as numbers.
fn parse_version(text: &str) -> Option<u16> {
    let text = text.trim().trim_start_matches("JavaVersion.").trim_start_matches("VERSION_");
    let text = text.strip_prefix("1.").or_else(|| text.strip_prefix("1_")).unwrap_or(text);
    text.parse().ok()
}

/// The error of a version there is no image of.
fn no_image(folder: &Folder<'_>, text: &str, file: &str) -> StackError {
    folder.unclear(
        format!("no image of Java answers `{}` in {file}", shown(text)),
        "name one of 8, 11, 17, 21 and 25",
    )
}

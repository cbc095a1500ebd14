//! Gradle: what a build script says, by a scan for the few words that matter. Runs no script. Tests: `java/tests.rs`.

use crate::stack::folder::Folder;
use crate::stack::grammar::{is_dotted, is_word, quoted_after};
use crate::stack::version::{Numbers, Version};
use crate::stack::{StackError, shown};

use super::version::pinned;
use super::{DEFAULT, NAME_ONE, Plan, Product, no_image, parse_version, supported};

/// Kept outside of every image.
const HOME: &str = "/root/.gradle";
/// Where the wrapper says which Gradle it fetches.
const WRAPPER: &str = "gradle/wrapper/gradle-wrapper.properties";
/// The oldest and the newest Java with long support that Gradle itself runs on, from these versions on.
const RUNS_ON: [(Version, u16, u16); 5] = [
    (Version::new(9, 1), 17, 25),
    (Version::new(9, 0), 17, 21),
    (Version::new(8, 5), 8, 21),
    (Version::new(7, 3), 8, 17),
    (Version::new(5, 0), 8, 11),
];

/// Where a program is in a build.
struct Place<'a> {
    /// The folder with the settings.
    base: Folder<'a>,
    /// The folder with the script of the program.
    program: Folder<'a>,
    /// What stands before the names of its tasks.
    task: String,
    /// Where it is built.
    build: String,
}

/// Decides how the program is built.
pub(super) fn plan<'a>(folder: &Folder<'a>) -> Result<Plan<'a>, StackError> {
    let place = place(folder)?;
    let (file, script) = script(&place.program);
    let version = version(&place, file, &script)?;
    let product = product(&place.program, &script, file)?;
    let has_wrapper = place.base.has("gradlew") && place.base.has(WRAPPER);
    // The file may have lost its mark as a program on the way.
    let gradle = if has_wrapper { "sh gradlew --no-daemon" } else { "gradle --no-daemon" };
    let image = if has_wrapper {
        format!("eclipse-temurin:{version}-jdk-jammy")
    } else {
        // Gradle 8 does not run on Java 25.
        let gradle = if version > 21 { 9 } else { 8 };
        format!("gradle:{gradle}-jdk{version}")
    };
    let health = if script.contains("spring-boot-starter-actuator") {
        Some("/actuator/health")
    } else {
        (product == Product::Quarkus && script.contains("quarkus-smallrye-health")).then_some("/q/health")
    };
    Ok(Plan {
        tool: "Gradle",
        version,
        image,
        cache: HOME,
        env: Some("GRADLE_USER_HOME=/root/.gradle"),
        // Gradle fetches what a task needs, and what it has is in the cache.
        fetch: None,
        commands: commands(&format!("{gradle} {}", place.task), &place.build, &product),
        base: place.base,
        product,
        health,
    })
}

fn commands(gradle: &str, build: &str, product: &Product) -> Vec<String> {
    let jar = |names: &str| format!("find {build}/libs -name '*.jar' {names} -exec cp {{}} /out/app.jar ';'");
    // `find` is content with finding nothing.
    let is_there = || "test -f /out/app.jar".to_owned();
    match product {
        Product::Spring => {
            let copy = jar("! -name '*-plain.jar'");
            vec![format!("{gradle}bootJar"), "mkdir /out".to_owned(), copy, is_there()]
        }
        Product::Quarkus => {
            vec![format!("{gradle}quarkusBuild"), format!("cp -r {build}/quarkus-app /out")]
        }
        Product::Jar => {
            let copy = jar("-name '*-all.jar'");
            vec![format!("{gradle}shadowJar"), "mkdir /out".to_owned(), copy, is_there()]
        }
        // The distribution has the program's own jar among the others.
        Product::Classes(_) => vec![
            format!("{gradle}installDist"),
            "mkdir -p /out/app".to_owned(),
            format!("cp -r {build}/install/*/lib /out/lib"),
            format!(
                "for jar in {build}/libs/*.jar; do mv \"/out/lib/$(basename \"$jar\")\" /out/app/ || true; done"
            ),
            "ls /out/app/*.jar".to_owned(),
        ],
    }
}

/// Which project of a build is meant: the folder, where the settings of one above name it; else the only one it has that is
/// a program.
fn place<'a>(folder: &Folder<'a>) -> Result<Place<'a>, StackError> {
    let above = folder.above(|up| includes(&settings(up)).iter().any(|path| path == folder.path_in(up)));
    let base = above.unwrap_or_else(|| folder.clone());
    let settings = settings(&base);
    if settings.contains(".projectDir") {
        return Err(folder.unclear(
            "projects of the Gradle build are in folders of other names (projectDir)",
            "write a Dockerfile and name it as `dockerfile` in havre.toml",
        ));
    }
    let parts = includes(&settings);
    let path = match folder.path_in(&base) {
        "." => {
            let is_part = |path: &&String| base.below(path).is_some_and(|part| is_program(&part));
            let mut programs = parts.iter().filter(is_part);
            match (programs.next(), programs.next()) {
                (Some(one), Some(other)) => {
                    return Err(folder.unclear(
                        format!("the projects {one} and {other} of the Gradle build may both be the program"),
                        NAME_ONE,
                    ));
                }
                (only, _) => only.cloned(),
            }
        }
        path => Some(path.to_owned()),
    };
    let program = path.as_ref().and_then(|path| base.below(path)).unwrap_or_else(|| base.clone());
    let task = match &path {
        Some(path) => format!(":{}:", path.replace('/', ":")),
        None if parts.is_empty() => String::new(),
        None => ":".to_owned(),
    };
    let build = path.map_or("build".to_owned(), |path| format!("{path}/build"));
    Ok(Place { base, program, task, build })
}

fn is_program(folder: &Folder<'_>) -> bool {
    let (file, script) = script(folder);
    product(folder, &script, file).is_ok()
}

/// The name and the text of the build script, without plugins that are only named for the projects below.
fn script(folder: &Folder<'_>) -> (&'static str, String) {
    let file = if folder.has("build.gradle") { "build.gradle" } else { "build.gradle.kts" };
    let text = without_comments(folder.text(file).unwrap_or_default());
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("apply false")).collect();
    (file, lines.join("\n"))
}

fn settings(folder: &Folder<'_>) -> String {
    let text = folder.text("settings.gradle").or_else(|| folder.text("settings.gradle.kts"));
    without_comments(text.unwrap_or_default())
}

/// Folders of the projects that settings name: `include 'a', ':apps:web'`, on one line or on several.
pub(super) fn includes(settings: &str) -> Vec<String> {
    let mut found = Vec::new();
    // Inside of a call; whether a bracket ends it.
    let mut open = None;
    for line in settings.lines().map(str::trim) {
        let call = line.strip_prefix("include").filter(|rest| rest.starts_with(['(', ' ', '"', '\'']));
        let arguments = match (open, call) {
            (None, None) => continue,
            (None, Some(rest)) => rest,
            (Some(_), _) => line,
        };
        let has_bracket = open.unwrap_or_else(|| arguments.trim_start().starts_with('('));
        let names = arguments.split(['"', '\'']).skip(1).step_by(2);
        let paths = names.map(|name| name.trim_start_matches(':').replace(':', "/"));
        found.extend(paths.filter(|path| path.split('/').all(is_word)));
        let is_over = if has_bracket { arguments.contains(')') } else { !arguments.ends_with(',') };
        open = (!is_over).then_some(has_bracket);
    }
    found
}

fn product(folder: &Folder<'_>, script: &str, file: &str) -> Result<Product, StackError> {
    if script.contains("org.springframework.boot") {
        return Ok(Product::Spring);
    }
    if script.contains("io.quarkus") {
        return Ok(Product::Quarkus);
    }
    if script.contains("com.gradleup.shadow") || script.contains("com.github.johnrengelman.shadow") {
        return Ok(Product::Jar);
    }
    // Both `mainClass` and the older `mainClassName`, as an assignment or a call.
    let main = quoted_after(script, "mainClass").unwrap_or_default();
    let has_plugin =
        ["id 'application'", "id \"application\"", "id(\"application\")", "plugin: 'application'"]
            .iter()
            .any(|form| script.contains(*form))
            || script.lines().any(|line| line.trim() == "application");
    if !has_plugin || main.is_empty() {
        return Err(folder.unclear(
            format!("{file} does not say which class to start"),
            "use the plugin `application` and name its mainClass",
        ));
    }
    if !is_dotted(main) {
        return Err(folder.unclear(
            format!("`{}` in {file} is no name of a class", shown(main)),
            "name the class to start with its package, such as `org.example.Main`",
        ));
    }
    Ok(Product::Classes(main.to_owned()))
}

/// A toolchain is needed exactly; what is only compiled for a version is built by the newer one of that and of what other
/// files ask for. The script of the program counts before that of the whole build.
fn version(place: &Place<'_>, file: &str, own: &str) -> Result<u16, StackError> {
    let folder = &place.program;
    let (_, whole) = script(&place.base);
    let asked = asked(own).or_else(|| asked(&whole));
    if let Some((text, true)) = asked {
        let exact = parse_version(text).filter(|version| supported(*version) == Some(*version));
        let exact = exact.ok_or_else(|| no_image(folder, text, file))?;
        return runs_on(place, Some(exact), true);
    }
    let built = asked
        .map(|(text, _)| parse_version(text).and_then(supported).ok_or_else(|| no_image(folder, text, file)));
    runs_on(place, built.transpose()?.max(pinned(folder, &place.base)?), false)
}

/// What a script says of the version, and whether no other will do.
fn asked(script: &str) -> Option<(&str, bool)> {
    let exact = ["JavaLanguageVersion.of(", "jvmToolchain("];
    if let Some(text) = exact.into_iter().find_map(|mark| argument(script, mark)) {
        return Some((text, true));
    }
    let least = ["options.release", "sourceCompatibility", "targetCompatibility"];
    least.into_iter().find_map(|mark| assigned(script, mark)).map(|text| (text, false))
}

/// The version the build runs on, which must be one that the wrapper's Gradle knows.
fn runs_on(place: &Place<'_>, wanted: Option<u16>, is_exact: bool) -> Result<u16, StackError> {
    let Some(gradle) = place.base.text(WRAPPER).and_then(wrapper_version) else {
        return Ok(wanted.unwrap_or(DEFAULT));
    };
    let known = RUNS_ON.iter().find(|(from, _, _)| gradle >= *from);
    let (oldest, newest) = known.map_or((8, 8), |(_, oldest, newest)| (*oldest, *newest));
    let version = wanted.unwrap_or(newest.min(DEFAULT));
    if version > newest || (is_exact && version < oldest) {
        return Err(place.program.unclear(
            format!("Gradle {gradle}, which its wrapper fetches, does not run on Java {version}"),
            "let the wrapper fetch a newer Gradle, or ask for another version of Java",
        ));
    }
    Ok(version.max(oldest))
}

/// The version in the address of a distribution, such as `…/gradle-8.14.3-bin.zip`.
fn wrapper_version(properties: &str) -> Option<Version> {
    let line = properties.lines().find(|line| line.trim_start().starts_with("distributionUrl"))?;
    let (_, version) = line.rsplit_once("/gradle-")?;
    Numbers::parse(version)?.version()
}

/// What stands between `mark`, which ends with a bracket, and the next closing one.
fn argument<'a>(script: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = script.split_once(mark)?;
    rest.split_once(')').map(|(text, _)| text.trim())
}

/// The value of `name = 17`, `name = '17'`, `name.set(17)` or `name = JavaVersion.VERSION_17`.
fn assigned<'a>(script: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = script.split_once(name)?;
    let line = rest.lines().next()?;
    let value = line.trim().trim_start_matches(".set").trim_start_matches(['=', '(', ' ']);
    let value = value.trim_end_matches([')', ' ', ';']);
    Some(value.trim_matches(['"', '\'']))
}

/// Without lines that are comments; behind other text a comment may be part of an address or a pattern.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut is_inside = false;
    for line in text.lines() {
        let start = line.trim_start();
        is_inside |= start.starts_with("/*");
        if !is_inside && !start.starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
        is_inside &= !line.contains("*/");
    }
    kept
}

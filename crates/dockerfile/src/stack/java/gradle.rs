//! Gradle: what a build script says, by a scan for the few words that matter. Runs no script. Tests: `java/tests.rs`.

use crate::stack::folder::Folder;
use crate::stack::grammar::{is_dotted, quoted_after};
use crate::stack::{StackError, shown};

use super::{DEFAULT, Plan, Product, no_image, parse_version, supported};

/// Kept outside of every image.
const HOME: &str = "/root/.gradle";

/// Decides how the program is built.
pub(super) fn plan(folder: &Folder<'_>) -> Result<Plan, StackError> {
    let file = if folder.has("build.gradle") { "build.gradle" } else { "build.gradle.kts" };
    let script = without_comments(folder.text(file).unwrap_or_default());
    check_alone(folder)?;
    let version = version(folder, &script, file)?;
    let product = product(folder, &script, file)?;
    let has_wrapper = folder.has("gradlew") && folder.has("gradle/wrapper/gradle-wrapper.properties");
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
        commands: commands(gradle, &product),
        product,
        health,
    })
}

fn commands(gradle: &str, product: &Product) -> Vec<String> {
    match product {
        Product::Spring => vec![
            format!("{gradle} bootJar"),
            "mkdir /out".to_owned(),
            "find build/libs -name '*.jar' ! -name '*-plain.jar' -exec cp {} /out/app.jar ';'".to_owned(),
        ],
        Product::Quarkus => {
            vec![format!("{gradle} quarkusBuild"), "cp -r build/quarkus-app /out".to_owned()]
        }
        Product::Jar => vec![
            format!("{gradle} shadowJar"),
            "mkdir /out".to_owned(),
            "find build/libs -name '*-all.jar' -exec cp {} /out/app.jar ';'".to_owned(),
        ],
        Product::Classes(_) => vec![
            format!("{gradle} installDist"),
            "mkdir -p /out".to_owned(),
            "cp -r build/install/*/lib /out/lib".to_owned(),
        ],
    }
}

/// A build of several projects has its program in one of them, which no scan tells.
fn check_alone(folder: &Folder<'_>) -> Result<(), StackError> {
    if is_several(&settings(folder)) || folder.above(|up| is_several(&settings(up))).is_some() {
        return Err(folder.unclear(
            "it is a Gradle build of several projects",
            "write a Dockerfile and name it as `dockerfile` in havre.toml",
        ));
    }
    Ok(())
}

fn settings(folder: &Folder<'_>) -> String {
    let text = folder.text("settings.gradle").or_else(|| folder.text("settings.gradle.kts"));
    without_comments(text.unwrap_or_default())
}

fn is_several(settings: &str) -> bool {
    settings
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("include"))
        .any(|rest| rest.starts_with(['(', ' ', '"', '\'']))
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

/// A toolchain is needed exactly; what is only compiled for a version is built by the next with long support.
fn version(folder: &Folder<'_>, script: &str, file: &str) -> Result<u16, StackError> {
    for mark in ["JavaLanguageVersion.of(", "jvmToolchain("] {
        if let Some(text) = argument(script, mark) {
            let exact = parse_version(text).filter(|version| supported(*version) == Some(*version));
            return exact.ok_or_else(|| no_image(folder, text, file));
        }
    }
    for mark in ["options.release", "sourceCompatibility", "targetCompatibility"] {
        if let Some(text) = assigned(script, mark) {
            return parse_version(text).and_then(supported).ok_or_else(|| no_image(folder, text, file));
        }
    }
    Ok(DEFAULT)
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

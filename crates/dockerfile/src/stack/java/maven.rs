//! Maven: what a `pom.xml` says, by a scan for the few elements that matter. Reads no parents from repositories and no
//! profiles. Tests: `java/tests.rs`.

use crate::stack::folder::Folder;
use crate::stack::grammar::{is_dotted, is_word};
use crate::stack::{StackError, shown};

use super::{DEFAULT, Plan, Product, no_image, parse_version, supported};

/// Elements that say the version, the most exact one first.
const VERSIONS: [&str; 5] =
    ["maven.compiler.release", "java.version", "maven.compiler.target", "maven.compiler.source", "release"];
/// Elements that name the class to start.
const CLASSES: [&str; 4] = ["mainClass", "exec.mainClass", "main.class", "start-class"];
/// Most references a value may go through.
const REFERENCES_MAX: usize = 4;

/// Decides how the program is built.
pub(super) fn plan(folder: &Folder<'_>) -> Result<Plan, StackError> {
    let pom = without_comments(folder.text("pom.xml").unwrap_or_default());
    if folder.above(|up| names_module(up, folder)).is_some() {
        return Err(folder.unclear(
            "it is a module of a larger Maven project",
            "name the folder of that project as the service's folder",
        ));
    }
    let module = module(folder, &pom)?;
    let text = match &module {
        Some(name) => without_comments(folder.text(&format!("{name}/pom.xml")).unwrap_or_default()),
        None => pom.clone(),
    };
    let version = version(folder, &text, &pom)?;
    let product = product(folder, &text)?;
    let has_wrapper = folder.has("mvnw") && folder.has(".mvn/wrapper/maven-wrapper.properties");
    // The file may have lost its mark as a program on the way.
    let maven = if has_wrapper { "sh mvnw --batch-mode" } else { "mvn --batch-mode" };
    let image = if has_wrapper {
        format!("eclipse-temurin:{version}-jdk-jammy")
    } else {
        format!("maven:3-eclipse-temurin-{version}")
    };
    let has_actuator = text.contains("<artifactId>spring-boot-starter-actuator</artifactId>");
    let is_quarkus = product == Product::Quarkus;
    let health = if has_actuator { Some("/actuator/health") } else { is_quarkus.then_some("/q/health") };
    let only = module.as_ref().map_or(String::new(), |name| format!(" --projects {name} --also-make"));
    Ok(Plan {
        tool: "Maven",
        version,
        image,
        cache: "/root/.m2",
        env: None,
        // With modules it would need the files of each of them.
        fetch: module.is_none().then(|| format!("{maven} dependency:go-offline")),
        commands: commands(maven, &only, module.as_deref(), &product),
        product,
        health: health.filter(|_| !is_quarkus || text.contains("quarkus-smallrye-health")),
    })
}

fn commands(maven: &str, only: &str, module: Option<&str>, product: &Product) -> Vec<String> {
    let target = module.map_or("target".to_owned(), |name| format!("{name}/target"));
    let package = format!("{maven} package -DskipTests{only}");
    let jar = format!(
        "find {target} -maxdepth 1 -name '*.jar' ! -name 'original-*' ! -name '*-sources.jar' ! -name '*-javadoc.jar' \
         ! -name '*-tests.jar'"
    );
    match product {
        Product::Quarkus => vec![package, format!("cp -r {target}/quarkus-app /out")],
        Product::Jar | Product::Spring => {
            vec![package, "mkdir /out".to_owned(), format!("{jar} -exec cp {{}} /out/app.jar ';'")]
        }
        Product::Classes(_) => vec![
            format!(
                "{package} dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/out/lib"
            ),
            "mkdir -p /out/lib".to_owned(),
            format!("{jar} -exec cp {{}} /out/lib/ ';'"),
        ],
    }
}

/// Whether a folder above has a project that builds this one.
fn names_module(above: &Folder<'_>, folder: &Folder<'_>) -> bool {
    let Some(text) = above.text("pom.xml") else { return false };
    let path = folder.path_in(above);
    elements(&without_comments(text), "module").any(|module| module.trim_matches('/') == path)
}

/// The module with the program, where the project is made of modules.
fn module(folder: &Folder<'_>, pom: &str) -> Result<Option<String>, StackError> {
    if !pom.contains("<modules>") {
        return Ok(None);
    }
    let is_program = |name: &&str| {
        let text = without_comments(folder.text(&format!("{name}/pom.xml")).unwrap_or_default());
        is_word(name)
            && (["spring-boot-maven-plugin", "quarkus-maven-plugin"]
                .iter()
                .any(|plugin| text.contains(*plugin))
                || text.contains("<mainClass>"))
    };
    let mut found = elements(pom, "module").filter(is_program);
    match (found.next(), found.next()) {
        (Some(name), None) => Ok(Some(name.to_owned())),
        (Some(one), Some(other)) => Err(folder.unclear(
            format!("the modules {one} and {other} may both be the program"),
            "write a Dockerfile and name it as `dockerfile` in havre.toml",
        )),
        (None, _) => Err(folder.unclear(
            "no module of the project is made a program by Spring Boot, Quarkus or a <mainClass>",
            "write a Dockerfile and name it as `dockerfile` in havre.toml",
        )),
    }
}

fn product(folder: &Folder<'_>, pom: &str) -> Result<Product, StackError> {
    if elements(pom, "packaging").any(|packaging| packaging == "war") {
        return Err(folder.unclear(
            "the project is packaged as war, which needs a server",
            "package it as jar, or write a Dockerfile",
        ));
    }
    if pom.contains("quarkus-maven-plugin") {
        return Ok(Product::Quarkus);
    }
    if pom.contains("spring-boot-maven-plugin") {
        return Ok(Product::Spring);
    }
    if pom.contains("maven-shade-plugin") {
        return Ok(Product::Jar);
    }
    let main = CLASSES.iter().find_map(|name| resolved(pom, name));
    match main {
        Some(main) if is_dotted(&main) => Ok(Product::Classes(main)),
        Some(main) => Err(folder.unclear(
            format!("`{}` in pom.xml is no name of a class", shown(&main)),
            "name the class to start with its package, such as `org.example.Main`",
        )),
        None => Err(folder.unclear(
            "pom.xml does not name the class to start",
            "add the property <exec.mainClass>, or <mainClass> of the maven-jar-plugin",
        )),
    }
}

fn version(folder: &Folder<'_>, pom: &str, parent: &str) -> Result<u16, StackError> {
    let found = VERSIONS.iter().find_map(|name| resolved(pom, name).or_else(|| resolved(parent, name)));
    let Some(text) = found else { return Ok(DEFAULT) };
    parse_version(&text).and_then(supported).ok_or_else(|| no_image(folder, &text, "pom.xml"))
}

/// The text of an element, with what a reference to a property stands for.
fn resolved(pom: &str, name: &str) -> Option<String> {
    let mut value = elements(pom, name).next()?;
    for _ in 0..REFERENCES_MAX {
        let Some(property) = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
            return Some(value.to_owned());
        };
        value = elements(pom, property).next()?;
    }
    None
}

/// Texts of the elements of a name that hold no other elements.
fn elements<'a>(pom: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!("<{name}>");
    let end = format!("</{name}>");
    let parts: Vec<&'a str> = pom.split(start.as_str()).skip(1).collect();
    parts.into_iter().filter_map(move |part| {
        let (text, _) = part.split_once(end.as_str())?;
        (!text.contains('<')).then_some(text.trim())
    })
}

fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!--") {
        kept.push_str(before);
        rest = after.split_once("-->").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

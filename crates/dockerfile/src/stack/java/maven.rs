//! Maven: what a `pom.xml` says, by a scan for the few elements that matter. Reads no parents from repositories and no
//! profiles. Tests: `java/tests.rs`.

use crate::stack::folder::Folder;
use crate::stack::grammar::{is_dotted, is_word};
use crate::stack::{StackError, shown};

use super::version::pinned;
use super::{DEFAULT, NAME_ONE, Plan, Product, no_image, parse_version, supported};

/// Elements that say the version, the most exact one first.
const VERSIONS: [&str; 5] =
    ["maven.compiler.release", "java.version", "maven.compiler.target", "maven.compiler.source", "release"];
/// Elements that name the class to start.
const CLASSES: [&str; 4] = ["mainClass", "exec.mainClass", "main.class", "start-class"];
/// Most references a value may go through.
const REFERENCES_MAX: usize = 4;

/// Decides how the program is built.
pub(super) fn plan<'a>(folder: &Folder<'a>) -> Result<Plan<'a>, StackError> {
    let base = base(folder)?;
    let pom = pom_of(&base);
    let module = match folder.path_in(&base) {
        "." => module(folder, &pom)?,
        path => Some(path.to_owned()),
    };
    let program = module.as_ref().and_then(|path| base.below(path)).unwrap_or_else(|| base.clone());
    let text = pom_of(&program);
    let version = version(&program, &base, [&text, &pom])?;
    let product = product(&program, [&text, &pom])?;
    let has_wrapper = base.has("mvnw") && base.has(".mvn/wrapper/maven-wrapper.properties");
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
    Ok(Plan {
        tool: "Maven",
        version,
        image,
        base,
        cache: "/root/.m2",
        env: None,
        // With modules it would need the files of each of them, and what it fetches is in the cache in any case.
        fetch: module.is_none().then(|| format!("{maven} dependency:go-offline")),
        commands: commands(maven, module.as_deref(), &product),
        product,
        health: health.filter(|_| !is_quarkus || text.contains("quarkus-smallrye-health")),
    })
}

fn commands(maven: &str, module: Option<&str>, product: &Product) -> Vec<String> {
    let target = module.map_or("target".to_owned(), |path| format!("{path}/target"));
    let only = module.map_or(String::new(), |path| format!(" --projects {path} --also-make"));
    let package = format!("{maven} package -DskipTests{only}");
    let jar = format!(
        "find {target} -maxdepth 1 -name '*.jar' ! -name 'original-*' ! -name '*-sources.jar' ! -name '*-javadoc.jar' \
         ! -name '*-tests.jar'"
    );
    match product {
        Product::Quarkus => vec![package, format!("cp -r {target}/quarkus-app /out")],
        // `find` is content with finding nothing.
        Product::Jar | Product::Spring => vec![
            package,
            "mkdir /out".to_owned(),
            format!("{jar} -exec cp {{}} /out/app.jar ';'"),
            "test -f /out/app.jar".to_owned(),
        ],
        Product::Classes(_) => vec![
            format!(
                "{package} dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/out/lib"
            ),
            "mkdir -p /out/app /out/lib".to_owned(),
            format!("{jar} -exec cp {{}} /out/app/ ';'"),
            "ls /out/app/*.jar".to_owned(),
        ],
    }
}

/// The folder of the whole project: the one above all that name each other as modules, down to this one.
fn base<'a>(folder: &Folder<'a>) -> Result<Folder<'a>, StackError> {
    let mut base = folder.clone();
    while let Some(above) = base.above(|up| names_module(up, &base)) {
        base = above;
    }
    let path = folder.path_in(&base);
    if path != "." && !path.split('/').all(is_word) {
        return Err(folder.unclear(
            "a folder of the Maven project has other characters than A-Z, a-z, 0-9 and . _ -",
            "rename it, or write a Dockerfile of your own",
        ));
    }
    Ok(base)
}

fn pom_of(folder: &Folder<'_>) -> String {
    without_comments(folder.text("pom.xml").unwrap_or_default())
}

/// Whether a folder above has a project that builds this one.
fn names_module(above: &Folder<'_>, folder: &Folder<'_>) -> bool {
    let path = folder.path_in(above);
    elements(&pom_of(above), "module").any(|module| module.trim_matches('/') == path)
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
        (Some(one), Some(other)) => {
            Err(folder.unclear(format!("the modules {one} and {other} may both be the program"), NAME_ONE))
        }
        (None, _) => Err(folder.unclear(
            "no module of the project is made a program by Spring Boot, Quarkus or a <mainClass>",
            "write a Dockerfile and name it as `dockerfile` in havre.toml",
        )),
    }
}

/// What its own pom makes of the program, else that of the whole project.
fn product(folder: &Folder<'_>, poms: [&str; 2]) -> Result<Product, StackError> {
    if elements(poms[0], "packaging").any(|packaging| packaging == "war") {
        return Err(folder.unclear(
            "the project is packaged as war, which needs a server",
            "package it as jar, or write a Dockerfile",
        ));
    }
    for pom in poms {
        if let Some(product) = framework(pom) {
            return Ok(product);
        }
        let Some(main) = CLASSES.iter().find_map(|name| resolved(pom, name)) else { continue };
        if is_dotted(&main) {
            return Ok(Product::Classes(main));
        }
        return Err(folder.unclear(
            format!("`{}` in pom.xml is no name of a class", shown(&main)),
            "name the class to start with its package, such as `org.example.Main`",
        ));
    }
    Err(folder.unclear(
        "pom.xml does not name the class to start",
        "add the property <exec.mainClass>, or <mainClass> of the maven-jar-plugin",
    ))
}

fn framework(pom: &str) -> Option<Product> {
    if pom.contains("quarkus-maven-plugin") {
        return Some(Product::Quarkus);
    }
    if pom.contains("spring-boot-maven-plugin") {
        return Some(Product::Spring);
    }
    pom.contains("maven-shade-plugin").then_some(Product::Jar)
}

/// What the program is compiled for, or what other files ask for, whichever is newer.
fn version(program: &Folder<'_>, base: &Folder<'_>, poms: [&str; 2]) -> Result<u16, StackError> {
    let found = VERSIONS.iter().find_map(|name| poms.into_iter().find_map(|pom| resolved(pom, name)));
    let built = found.map(|text| {
        parse_version(&text).and_then(supported).ok_or_else(|| no_image(program, &text, "pom.xml"))
    });
    Ok(built.transpose()?.max(pinned(program, base)?).unwrap_or(DEFAULT))
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

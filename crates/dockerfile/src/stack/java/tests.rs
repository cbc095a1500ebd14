//! Tables for Java: repositories as small texts, and the lines of the Dockerfile that matter.

use super::*;
use crate::stack::folder::snapshot_of;
use crate::stack::step::{assert_sound, command_of};

fn found(files: &[(&str, &str)], root: &str) -> Result<Written, StackError> {
    find(&snapshot_of(files), &root.parse().expect("a path")).expect("is Java")
}

fn written(files: &[(&str, &str)]) -> Written {
    found(files, ".").expect("is clear")
}

const SPRING: &str = "\
<project>
  <!-- <java.version>11</java.version> -->
  <properties><java.version>17</java.version></properties>
  <dependencies><dependency><artifactId>spring-boot-starter-actuator</artifactId></dependency></dependencies>
  <build><plugins><plugin><artifactId>spring-boot-maven-plugin</artifactId></plugin></plugins></build>
</project>
";

#[test]
fn spring_boot_with_maven() {
    let written = found(&[("apps/shop/pom.xml", SPRING)], "apps/shop").expect("is clear");
    assert_eq!(written.stack, "Java 17, Maven, Spring Boot");
    assert_eq!((written.port, written.health.as_deref()), (8080, Some("/actuator/health")));
    assert_sound(
        &written.dockerfile,
        &[
            "FROM maven:3-eclipse-temurin-17 AS build",
            "COPY apps/shop/pom.xml ./",
            "--mount=type=cache,target=/root/.m2,sharing=locked mvn --batch-mode dependency:go-offline",
            "COPY apps/shop ./",
            "--mount=type=cache,target=/root/.m2,sharing=locked",
            "mvn --batch-mode package -DskipTests",
            "-exec cp {} /out/app.jar ';'",
            "FROM eclipse-temurin:17-jre-jammy AS run",
            "useradd --uid 1001",
            "COPY --from=build /out ./",
        ],
    );
    let command = ["java", MEMORY, "-Dserver.port=${PORT:8080}", "-jar", "/app/app.jar"];
    assert_eq!(command_of(&written.dockerfile), command);
}

#[test]
fn a_plain_program_with_the_wrapper_of_maven() {
    let pom = "\
<project><properties>
  <exec.mainClass>org.example.Main</exec.mainClass>
  <version.of.java>20</version.of.java>
  <maven.compiler.release>${version.of.java}</maven.compiler.release>
</properties></project>";
    let written = written(&[("pom.xml", pom), ("mvnw", ""), (".mvn/wrapper/maven-wrapper.properties", "")]);
    assert_eq!(written.stack, "Java 21, Maven");
    assert_eq!(written.health, None);
    assert_sound(
        &written.dockerfile,
        &[
            "FROM eclipse-temurin:21-jdk-jammy AS build",
            "COPY pom.xml mvnw ./",
            "COPY .mvn ./.mvn",
            "sh mvnw --batch-mode dependency:go-offline",
            "COPY . ./",
            "dependency:copy-dependencies -DincludeScope=runtime",
            "FROM eclipse-temurin:21-jre-jammy AS run",
        ],
    );
    assert_eq!(command_of(&written.dockerfile), ["java", MEMORY, "-cp", "/app/lib/*", "org.example.Main"]);
}

#[test]
fn modules_of_maven() {
    let pom = "<project><modules><module>core</module><module>web</module></modules></project>";
    let files = [("pom.xml", pom), ("core/pom.xml", "<project/>"), ("web/pom.xml", SPRING)];
    let written = written(&files);
    assert_sound(
        &written.dockerfile,
        &["COPY . ./", "package -DskipTests --projects web --also-make", "find web/target"],
    );
    let error = found(&files, "web").expect_err("is a module").to_string();
    assert!(error.contains("is a module of a larger Maven project"), "{error}");
}

#[test]
fn gradle() {
    let spring =
        "plugins {\n    id 'org.springframework.boot' version '3.4.1'\n}\nsourceCompatibility = '1.8'\n";
    let boot = written(&[("build.gradle", spring)]);
    assert_eq!(boot.stack, "Java 8, Gradle, Spring Boot");
    assert_sound(
        &boot.dockerfile,
        &[
            "FROM gradle:8-jdk8 AS build",
            "GRADLE_USER_HOME=/root/.gradle",
            "--mount=type=cache,target=/root/.gradle,sharing=locked",
            "gradle --no-daemon bootJar",
            "! -name '*-plain.jar'",
        ],
    );
    let plain = "plugins {\n    application\n}\njava { toolchain { languageVersion.set(JavaLanguageVersion.of(21)) } }\napplication {\n    mainClass.set(\"org.example.Main\")\n}\n";
    let files =
        [("build.gradle.kts", plain), ("gradlew", ""), ("gradle/wrapper/gradle-wrapper.properties", "")];
    let plain = written(&files);
    assert_eq!(plain.stack, "Java 21, Gradle");
    assert_sound(
        &plain.dockerfile,
        &["FROM eclipse-temurin:21-jdk-jammy AS build", "COPY . ./", "sh gradlew --no-daemon installDist"],
    );
    assert_eq!(command_of(&plain.dockerfile), ["java", MEMORY, "-cp", "/app/lib/*", "org.example.Main"]);
}

#[test]
fn quarkus() {
    let pom = "<project><artifactId>quarkus-maven-plugin</artifactId></project>";
    let written = written(&[("pom.xml", pom)]);
    assert_eq!(written.stack, "Java 21, Maven, Quarkus");
    assert_eq!(written.health, None);
    assert_sound(&written.dockerfile, &["cp -r target/quarkus-app /out"]);
    assert!(command_of(&written.dockerfile).contains(&"/app/quarkus-run.jar".to_owned()));
}

#[test]
fn versions_are_numbers() {
    let table = [
        ("17", Some(17)),
        ("1.8", Some(8)),
        ("JavaVersion.VERSION_11", Some(11)),
        ("VERSION_1_8", Some(8)),
        ("21.0.1", None),
        ("17; x", None),
        ("", None),
        ("99999", None),
    ];
    for (text, expected) in table {
        assert_eq!(parse_version(text), expected, "{text}");
    }
    assert_eq!(KNOWN.map(supported), KNOWN.map(Some));
    assert_eq!((supported(9), supported(22), supported(26)), (Some(11), Some(25), None));
}

#[test]
fn what_is_unclear() {
    let application = "plugins {\n id 'application'\n}\n";
    let odd = "plugins {\n id 'application'\n}\nmainClass = 'a b'\n";
    let toolchain = "id 'org.springframework.boot'\nJavaLanguageVersion.of(20)\n";
    let table: [(&[(&str, &str)], &str); 8] = [
        (&[("pom.xml", "<project/>")], "does not name the class to start"),
        (&[("pom.xml", "<packaging>war</packaging>")], "packaged as war"),
        (&[("pom.xml", "<mainClass>a;b</mainClass>")], "`a;b` in pom.xml"),
        (
            &[(
                "pom.xml",
                "<java.version>${java.version}</java.version><mainClass>A</mainClass><release>x</release>",
            )],
            "`x`",
        ),
        (&[("build.gradle", application)], "does not say which class"),
        (&[("build.gradle", odd)], "`a b` in build.gradle"),
        (&[("build.gradle", toolchain)], "answers `20`"),
        (&[("build.gradle", toolchain), ("settings.gradle", "include 'a'\n")], "several projects"),
    ];
    for (files, part) in table {
        let error = found(files, ".").expect_err("is unclear").to_string();
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert!(find(&snapshot_of(&[("Main.java", "")]), &RelativePath::here()).is_none());
}

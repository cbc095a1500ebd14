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

const CLASSES: [&str; 5] = ["java", MEMORY, "-cp", "/app/*:/app/lib/*", "org.example.Main"];

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
            "dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/out/lib",
            "-exec cp {} /out/app/ ';'",
            "FROM eclipse-temurin:21-jre-jammy AS run",
            // What the program depends on stays the same layer while the program changes.
            "COPY --from=build /out/lib ./lib\nCOPY --from=build /out/app ./\n",
        ],
    );
    assert_eq!(command_of(&written.dockerfile), CLASSES);
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
    assert_eq!(found(&files, "web").expect("is clear").dockerfile, written.dockerfile);
}

#[test]
fn one_of_several_programs_in_modules_of_maven() {
    // What the whole names for others is no word on a module that says how it starts.
    let shop = "<project><properties><java.version>17</java.version></properties>\
        <artifactId>spring-boot-maven-plugin</artifactId><modules><module>apps</module></modules></project>";
    let apps = "<project><modules><module>web</module><module>admin</module></modules></project>";
    let files = [
        ("shop/pom.xml", shop),
        ("shop/mvnw", ""),
        ("shop/.mvn/wrapper/maven-wrapper.properties", ""),
        ("shop/apps/pom.xml", apps),
        ("shop/apps/web/pom.xml", "<project><mainClass>org.example.Main</mainClass></project>"),
        ("shop/apps/admin/pom.xml", "<project><artifactId>maven-shade-plugin</artifactId></project>"),
    ];
    let web = found(&files, "shop/apps/web").expect("is clear");
    assert_eq!(web.stack, "Java 17, Maven");
    assert_sound(
        &web.dockerfile,
        &[
            "FROM eclipse-temurin:17-jdk-jammy AS build",
            "COPY shop ./",
            "sh mvnw --batch-mode package -DskipTests --projects apps/web --also-make dependency:copy-dependencies",
            "find apps/web/target -maxdepth 1",
        ],
    );
    assert_eq!(command_of(&web.dockerfile), CLASSES);
    assert!(web.ignore.contains("\nshop/target\n") && web.ignore.contains("\nshop/apps/web/target\n"));
    let admin = found(&files, "shop/apps/admin").expect("is clear");
    assert_sound(&admin.dockerfile, &["--projects apps/admin --also-make", "/out/app.jar"]);

    let both = "<project><modules><module>a</module><module>b</module></modules></project>";
    let spring = [("pom.xml", both), ("a/pom.xml", SPRING), ("b/pom.xml", SPRING)];
    let error = found(&spring, ".").expect_err("which of them?").to_string();
    assert!(error.contains("the modules a and b") && error.contains("as `root` of the service"), "{error}");
}

#[test]
fn versions_of_other_files() {
    let plain = "<mainClass>A</mainClass>";
    let compiled = "<mainClass>A</mainClass><maven.compiler.release>17</maven.compiler.release>";
    let table: [(&[(&str, &str)], &str); 4] = [
        (&[("pom.xml", plain), (".java-version", "17")], "Java 17, Maven"),
        (&[("pom.xml", compiled), ("system.properties", "java.runtime.version=21")], "Java 21, Maven"),
        // It could not compile the program.
        (&[("pom.xml", compiled), (".java-version", "11")], "Java 17, Maven"),
        (
            &[("build.gradle", "id 'org.springframework.boot'"), (".sdkmanrc", "java=17.0.2-tem")],
            "Java 17, Gradle, Spring Boot",
        ),
    ];
    for (files, stack) in table {
        assert_eq!(written(files).stack, stack, "{files:?}");
    }
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
    assert_eq!(command_of(&plain.dockerfile), CLASSES);
}

#[test]
fn projects_of_a_gradle_build() {
    let settings = "rootProject.name = 'shop'\n// include 'old'\nincludeBuild 'plugins'\n\
        include(\n  \":core\",\n  \":apps:web\"\n)\ninclude 'docs', 'a b'\n";
    let whole =
        "plugins { id 'org.springframework.boot' version '3.4.1' apply false }\nsourceCompatibility = 17\n";
    let web = "plugins {\n  id 'application'\n}\nmainClassName = 'org.example.Main'\n";
    let files = [
        ("settings.gradle", settings),
        ("build.gradle", whole),
        ("core/build.gradle", "plugins { id 'java-library' }"),
        ("docs/build.gradle", ""),
        ("apps/web/build.gradle", web),
    ];
    assert_eq!(gradle::includes(settings), ["core", "apps/web", "docs"]);
    let written = written(&files);
    assert_eq!(written.stack, "Java 17, Gradle");
    assert_sound(
        &written.dockerfile,
        &[
            "FROM gradle:8-jdk17 AS build",
            "COPY . ./",
            "gradle --no-daemon :apps:web:installDist",
            "cp -r apps/web/build/install/*/lib /out/lib",
            "COPY --from=build /out/lib ./lib\nCOPY --from=build /out/app ./\n",
        ],
    );
    assert_eq!(command_of(&written.dockerfile), CLASSES);
    let named = found(&files, "apps/web").expect("is clear");
    assert_eq!(named.dockerfile, written.dockerfile);
    assert!(named.ignore.contains("\napps/web/build\n"), "{}", named.ignore);
}

#[test]
fn gradle_of_the_wrapper() {
    let wrapper = |version: &str| {
        format!("# c\ndistributionUrl=https\\://services.gradle.org/distributions/gradle-{version}-bin.zip\n")
    };
    let for_eight = "id 'org.springframework.boot'\nsourceCompatibility = '1.8'\n";
    let for_21 = "id 'org.springframework.boot'\nsourceCompatibility = 21\n";
    let exact = "id 'org.springframework.boot'\nJavaLanguageVersion.of(11)\n";
    let nobody_says = "id 'org.springframework.boot'\n";
    let table = [
        ("8.14.3", nobody_says, Some(21)),
        ("8.4", nobody_says, Some(17)),
        ("6.9", nobody_says, Some(11)),
        ("4.10.3", nobody_says, Some(8)),
        ("9.2.0", for_eight, Some(17)),
        ("8.5", for_eight, Some(8)),
        ("8.5", for_21, Some(21)),
        ("7.6", for_21, None),
        ("9.2.0", exact, None),
        ("8.5", exact, Some(11)),
        ("strange", for_21, Some(21)),
    ];
    for (gradle, script, expected) in table {
        let text = wrapper(gradle);
        let files = [
            ("build.gradle", script),
            ("gradlew", ""),
            ("gradle/wrapper/gradle-wrapper.properties", text.as_str()),
        ];
        match (found(&files, "."), expected) {
            (Ok(written), Some(version)) => {
                assert_eq!(written.stack, format!("Java {version}, Gradle, Spring Boot"), "{gradle}");
            }
            (Err(error), None) => assert!(error.to_string().contains("does not run on Java"), "{error}"),
            (found, expected) => panic!("{gradle}: {found:?} and not {expected:?}"),
        }
    }
}

#[test]
fn quarkus() {
    let pom = "<project><artifactId>quarkus-maven-plugin</artifactId></project>";
    let written = written(&[("pom.xml", pom)]);
    assert_eq!(written.stack, "Java 21, Maven, Quarkus");
    assert_eq!(written.health, None);
    assert_sound(
        &written.dockerfile,
        &[
            "cp -r target/quarkus-app /out",
            "COPY --from=build /out/lib ./lib",
            "COPY --from=build /out/app ./app",
        ],
    );
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
    let parts = "include 'a', 'b'\n";
    let named = "include 'a'\nproject(':a').projectDir = file('x')\n";
    let table: [(&[(&str, &str)], &str); 10] = [
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
        (&[("build.gradle", ""), ("settings.gradle", parts)], "does not say which class"),
        (
            &[
                ("build.gradle", ""),
                ("settings.gradle", parts),
                ("a/build.gradle", "id 'io.quarkus'"),
                ("b/build.gradle", "id 'io.quarkus'"),
            ],
            "the projects a and b",
        ),
        (&[("build.gradle", toolchain), ("settings.gradle", named)], "projectDir"),
    ];
    for (files, part) in table {
        let error = found(files, ".").expect_err("is unclear").to_string();
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert!(find(&snapshot_of(&[("Main.java", "")]), &RelativePath::here()).is_none());
}

//! `secrets` of a service and references to them in `env`: what is understood, and what is refused.

use havre_core::name::EnvironmentName;
use havre_core::secret::variables::secrets_of;
use havre_manifest::parse;

/// Variables and secrets of `api` with these lines, as an environment has them, and every secret it uses.
fn api(lines: &str, environment: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let text = format!("project = \"shop\"\n[services.api]\nimage = \"api:1\"\n{lines}\n");
    let manifest = parse(&text).unwrap_or_else(|error| panic!("must be understood:\n{error}"));
    let environment: EnvironmentName = environment.parse().expect("is a name");
    let specs = manifest.resolve(&environment).expect("it is there");
    let work = specs[0].tasks().expect("runs tasks");
    let env = work.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let secrets = work.secrets.iter().map(ToString::to_string).collect();
    (env, secrets, secrets_of(work).iter().map(ToString::to_string).collect())
}

/// What is said of a service with these lines.
fn refused(lines: &str) -> String {
    let text = format!("project = \"shop\"\n[services.api]\nimage = \"api:1\"\n{lines}\n");
    parse(&text).expect_err("must be refused").to_string()
}

#[test]
fn secrets_are_names_and_may_be_referred_to() {
    let lines =
        "secrets = [\"JWT_SECRET\"]\nenv = { URL = \"postgres://app:${secrets.DB_PASSWORD}@db/app\" }";
    let (env, secrets, used) = api(lines, "production");
    assert_eq!(env, ["URL=postgres://app:${secrets.DB_PASSWORD}@db/app"]);
    assert_eq!(secrets, ["JWT_SECRET"]);
    assert_eq!(used, ["DB_PASSWORD", "JWT_SECRET"]);
}

#[test]
fn a_variable_of_an_environment_takes_the_place_of_a_secret() {
    let lines =
        "secrets = [\"JWT_SECRET\"]\n[environments.staging]\nenv = { api = { JWT_SECRET = \"dummy\" } }";
    let (env, secrets, used) = api(lines, "staging");
    assert_eq!((env, secrets, used), (vec!["JWT_SECRET=dummy".to_owned()], vec![], vec![]));
    assert_eq!(api(lines, "production").1, ["JWT_SECRET"]);
}

#[test]
fn values_of_providers_may_be_referred_to_beside_secrets() {
    let value = "x://${secrets.USER}:${secrets.vault-main:secret/data/app#password}@${secrets.op:op://My Vault/db/host}";
    let (env, _, used) = api(&format!("env = {{ URL = \"{value}\" }}"), "production");
    assert_eq!(env, [format!("URL={value}")]);
    assert_eq!(used, ["USER"]);
    let many: Vec<String> =
        (0..65).map(|number| format!("V{number} = \"${{secrets.v:a#f{number}}}\"")).collect();
    let text = refused(&format!("env = {{ {} }}", many.join(", ")));
    assert!(text.contains("refers to 65 values of providers, and 64 are fetched at most"), "{text}");
    let text = "project = \"shop\"\n[services.api]\ndockerfile = \"Dockerfile\"\n[services.api.test]\ncommand = [\"x\"]\nenv = { A = \"${secrets.v:a#b}\" }\n";
    let text = parse(text).expect_err("must be refused").to_string();
    assert!(text.contains("refers to a secret, and tests get none"), "{text}");
}

#[test]
fn what_cannot_be_is_refused_with_its_line() {
    let both = refused("env = { A = \"x\" }\nsecrets = [\"A\"]");
    assert!(both.contains("A is in `env` as well, on line 4"), "{both}");
    for (lines, part) in [
        ("secrets = [\"A\", \"A\"]", "A is in the list already"),
        ("secrets = [\"PORT\"]", "Havre sets the variable PORT itself"),
        ("secrets = [\"a-b\"]", "is not a valid environment variable name"),
        ("secrets = { A = \"x\" }", "values never stand in this file"),
        ("env = { A = \"${secrets.b-c}\" }", "begins a reference to a secret and names none"),
        ("env = { A = \"${secrets.vault:../x#y}\" }", "begins a reference to a secret and names none"),
        ("env = { A = \"${secrets.op:op://vault/item}\" }", "${secrets.PROVIDER:PLACE}"),
    ] {
        let text = refused(lines);
        assert!(text.contains(part), "{lines}: {text}");
    }
    let text = "project = \"shop\"\n[services.api]\ndockerfile = \"Dockerfile\"\n[services.api.test]\ncommand = [\"x\"]\nenv = { A = \"${secrets.B}\" }\n";
    let text = parse(text).expect_err("must be refused").to_string();
    assert!(text.contains("refers to a secret, and tests get none"), "{text}");
}

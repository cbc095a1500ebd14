//! The parser: what becomes of each form, what is refused and on which line, and that no text is read twice.

use std::time::{Duration, Instant};

use havre_dockerfile::file::{
    File, INSTRUCTIONS_MAX, Instruction, Keyword, Scope, TEXT_MAX, VALUE_MAX, parse, words,
};
use proptest::prelude::*;

fn read(text: &str) -> File {
    parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// `2-3 RUN [flag=value] arguments <NAME "text of a heredoc">`.
fn shown(instruction: &Instruction) -> String {
    let mut text = format!("{}-{} {} ", instruction.line, instruction.end_line, instruction.keyword.as_str());
    for flag in &instruction.flags {
        match &flag.value {
            Some(value) => text.push_str(&format!("[{}={value}] ", flag.name)),
            None => text.push_str(&format!("[{}] ", flag.name)),
        }
    }
    text.push_str(&instruction.arguments);
    for heredoc in &instruction.heredocs {
        text.push_str(&format!(" <{} {:?}>", heredoc.name, heredoc.body));
    }
    text
}

/// Text, and what it is read as.
const TABLE: &[(&str, &[&str])] = &[
    ("", &[]),
    ("\n  \n# only a comment\n", &[]),
    ("from a", &["1-1 FROM a"]),
    ("  FROM a", &["1-1 FROM a"]),
    ("\u{feff}FROM a", &["1-1 FROM a"]),
    ("NOPE x", &["1-1 NOPE x"]),
    ("RUN", &["1-1 RUN "]),
    ("FROM a\r\nRUN b \\\r\n c\r\n", &["1-1 FROM a", "2-3 RUN b  c"]),
    ("RUN a \\", &["1-1 RUN a"]),
    ("RUN a \\  \n b", &["1-2 RUN a  b"]),
    ("RUN a\\\\\nRUN b", &["1-1 RUN a\\\\", "2-2 RUN b"]),
    ("\\\nFROM a", &["1-2 FROM a"]),
    (
        "FROM a\nRUN one \\\n  # a comment\n\n  two \\\n three\nRUN four",
        &["1-1 FROM a", "2-6 RUN one   two  three", "7-7 RUN four"],
    ),
    ("# escape=`\nRUN a `\n b \\\nRUN c", &["2-3 RUN a  b \\", "4-4 RUN c"]),
    ("\n# escape=`\nRUN a \\\n b", &["3-4 RUN a  b"]),
    ("# a comment\n# escape=`\nRUN a \\\n b", &["3-4 RUN a  b"]),
    ("COPY --from=build --chown=\"a b\" --link x y", &["1-1 COPY [from=build] [chown=a b] [link] x y"]),
    ("COPY -- --x y", &["1-1 COPY --x y"]),
    ("RUN <<EOF\na \\\n# b\nEOF\nUSER 1", &["1-4 RUN <<EOF <EOF \"a \\\\\\n# b\\n\">", "5-5 USER 1"]),
    ("RUN <<-'EOF' cat\n\tx\n\tEOF\n", &["1-3 RUN <<-'EOF' cat <EOF \"x\\n\">"]),
    ("COPY <<a <<b /x/\n1\na\n2\nb\n", &["1-5 COPY <<a <<b /x/ <a \"1\\n\"> <b \"2\\n\">"]),
    ("RUN a \\\n <<x\n1\nx\n", &["1-4 RUN a  <<x <x \"1\\n\">"]),
    ("RUN cat <<<x && echo $((1<<2)) '<<y'", &["1-1 RUN cat <<<x && echo $((1<<2)) '<<y'"]),
    ("RUN [\"a\", \"<<b\"]\nUSER 1", &["1-1 RUN [\"a\", \"<<b\"]", "2-2 USER 1"]),
    ("CMD <<EOF\nUSER 1", &["1-1 CMD <<EOF", "2-2 USER 1"]),
];

#[test]
fn table() {
    for (text, wanted) in TABLE {
        let found: Vec<String> = read(text).instructions.iter().map(shown).collect();
        assert_eq!(&found[..], *wanted, "{text:?}");
    }
}

#[test]
fn raw_is_what_is_written() {
    let file = read("FROM a\n  RUN one \\\n # c\n two\n\nCOPY <<x /\n1\nx\n");
    let raw: Vec<&str> = file.instructions.iter().map(|instruction| instruction.raw.as_str()).collect();
    assert_eq!(raw, ["FROM a", "  RUN one \\\n # c\n two", "COPY <<x /\n1\nx"]);
}

#[test]
fn directives() {
    let file = read("# Syntax = docker/dockerfile:1 \n#escape=\\\n# check=skip=all\n# other=1\n# escape=`\n");
    let found: Vec<(u32, &str, &str)> = file
        .directives
        .iter()
        .map(|directive| (directive.line, directive.name.as_str(), directive.value.as_str()))
        .collect();
    assert_eq!(found, [(1, "syntax", "docker/dockerfile:1"), (2, "escape", "\\"), (3, "check", "skip=all")]);
    assert_eq!(file.escape(), '\\');
}

#[test]
fn what_cannot_be_read_names_its_line() {
    let too_many = "USER 1\n".repeat(INSTRUCTIONS_MAX + 1);
    let too_large = "#".repeat(TEXT_MAX + 1);
    let table: &[(&str, u32, &str)] = &[
        ("# escape=x\nFROM a", 1, "`# escape=` is neither"),
        ("# syntax=a\n# syntax=b\n", 2, "a second `# syntax=`"),
        ("FROM a\nRUN x \\\n  <<EOF\nno end\n", 2, "the heredoc `EOF` has no end"),
        ("FROM a\n\0", 2, "a byte is zero"),
        (too_large.as_str(), 1, "the file has more than"),
        (too_many.as_str(), 10_001, "more than 10000 instructions"),
    ];
    for (text, line, reason) in table {
        let error = parse(text).expect_err("is refused");
        assert_eq!(error.line, *line, "{error}");
        assert!(error.reason.starts_with(reason), "{error}");
        assert!(!error.hint.is_empty());
    }
}

fn only(text: &str) -> Instruction {
    let mut file = read(text);
    assert_eq!(file.instructions.len(), 1, "{text:?}");
    file.instructions.remove(0)
}

#[test]
fn both_forms() {
    assert_eq!(only("CMD [\"a\", \"b c\"]").exec_form(), Some(vec!["a".to_owned(), "b c".to_owned()]));
    assert_eq!(only("CMD []").exec_form(), Some(Vec::new()));
    for shell in ["CMD a b", "CMD ['a']", "CMD [1]", "CMD [\"a\"", "CMD [[\"a\"]]"] {
        assert_eq!(only(shell).exec_form(), None, "{shell}");
    }
    assert_eq!(only("CMD a 'b c' \"d\\\"\"").words(), ["a", "b c", "d\""]);
}

#[test]
fn copies() {
    let copied = |text: &str| {
        let copied = only(text).copied().expect("copies");
        (copied.sources.join(" "), copied.target, copied.from.unwrap_or_default())
    };
    let wanted =
        |sources: &str, target: &str, from: &str| (sources.to_owned(), target.to_owned(), from.to_owned());
    assert_eq!(copied("COPY a b c/"), wanted("a b", "c/", ""));
    assert_eq!(copied("COPY [\"a b\", \"c\"]"), wanted("a b", "c", ""));
    assert_eq!(copied("COPY --from=x . ."), wanted(".", ".", "x"));
    assert_eq!(copied("COPY <<a b /c/\n1\na"), wanted("b", "/c/", ""));
    assert_eq!(copied("ADD"), wanted("", "", ""));
    assert_eq!(only("RUN a b").copied(), None);
}

#[test]
fn assignments() {
    let set = |text: &str| -> Vec<String> {
        let assignments = only(text).assignments();
        assignments
            .into_iter()
            .map(|assignment| format!("{}={}", assignment.name, assignment.value.unwrap_or("?".to_owned())))
            .collect()
    };
    assert_eq!(set("ENV A=1 B=\"2 3\" C=d\\ e"), ["A=1", "B=2 3", "C=d e"]);
    assert_eq!(set("ENV A 1 2"), ["A=1 2"]);
    assert_eq!(set("ENV A"), ["A=?"]);
    assert_eq!(set("ARG A"), ["A=?"]);
    assert_eq!(set("ARG A=1 B"), ["A=1", "B=?"]);
    assert_eq!(set("LABEL A=1"), Vec::<String>::new());
}

#[test]
fn onbuild_puts_an_instruction_off() {
    let trigger = *only("ONBUILD COPY --from=x <<a /b/\n1\na").trigger.expect("puts one off");
    assert_eq!(shown(&trigger), "1-3 COPY [from=x] <<a /b/ <a \"1\\n\">");
    assert_eq!(only("RUN a").trigger, None);
    assert_eq!(only("ONBUILD").trigger, None);
}

#[test]
fn mounts() {
    let run = only("RUN --mount=type=cache,target=/a --mount=from=b,target=/c --mount=type=bind,dst=/d e");
    let targets = |kind: &str| -> Vec<String> {
        run.mounts(kind).map(|mount| mount.value.clone().unwrap_or_default()).collect()
    };
    assert_eq!(targets("cache"), ["type=cache,target=/a"]);
    assert_eq!(targets("bind"), ["from=b,target=/c", "type=bind,dst=/d"]);
    assert_eq!(run.mounts("bind").next().and_then(|mount| mount.option("from")), Some("b"));
}

#[test]
fn stages_know_what_they_are_based_on() {
    let text = "ARG V=22\nARG T\nFROM node:${V}-slim AS Base\nRUN a\nFROM base AS next\nFROM x:$T\n\
                FROM ${NONE:-y}:1\nFROM --platform=$BUILDPLATFORM z as last\nRUN b\nRUN c\n";
    let file = read(text);
    assert_eq!(file.preamble().len(), 2);
    let found: Vec<String> = file
        .stages()
        .iter()
        .map(|stage| {
            format!(
                "{} {} {:?} {:?} {:?} {}",
                stage.from.line,
                stage.image,
                stage.name,
                stage.resolved,
                stage.parent,
                stage.instructions.len()
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "3 node:${V}-slim Some(\"base\") Some(\"node:22-slim\") None 1",
            "5 base Some(\"next\") Some(\"base\") Some(0) 0",
            "6 x:$T None None None 0",
            "7 ${NONE:-y}:1 None Some(\"y:1\") None 0",
            "8 z Some(\"last\") Some(\"z\") None 2",
        ]
    );
}

#[test]
fn images_are_those_that_will_be_pulled() {
    let images = |text: &str, arguments: &[(&str, &str)]| -> Vec<String> {
        let arguments =
            arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read(text).images(&arguments).into_iter().collect()
    };
    let text = "# syntax=tools.example/frontend:1\n\
        ARG BASE=a.example/base:1\n\
        FROM ${BASE} AS Build\n\
        RUN --mount=type=bind,from=c.example/mounted:1,target=/x --mount=type=cache,target=/y make\n\
        FROM build AS test\n\
        FROM scratch\n\
        COPY --from=build /a /a\n\
        COPY --from=0 /a /a\n\
        COPY --from=b.example/files:1 /a /a\n\
        COPY --from=BUILD --chown=1 /a /a\n\
        ADD --from=7 /a /a\n\
        RUN --mount=type=bind,from=test,target=/x make\n";
    let own = ["7", "b.example/files:1", "c.example/mounted:1", "tools.example/frontend:1"];
    let with_base = |base: &str| {
        let mut all: Vec<String> = own.iter().map(|image| (*image).to_owned()).collect();
        all.push(base.to_owned());
        all.sort();
        all
    };
    assert_eq!(images(text, &[]), with_base("a.example/base:1"));
    // A build argument decides, as it does in the build.
    assert_eq!(
        images(text, &[("BASE", "d.example/other:2"), ("OTHER", "x")]),
        with_base("d.example/other:2")
    );
    assert_eq!(images("FROM a.example/${NOT_SAID}\n", &[("NOT_SAID", "x")]), Vec::<String>::new());
    assert_eq!(images("ARG X\nFROM a.example/$X\n", &[("X", "app:1")]), ["a.example/app:1"]);
    assert_eq!(images("FROM\n", &[]), Vec::<String>::new());
}

#[test]
fn variables() {
    let mut scope = Scope::default();
    scope.set("A", Some("1".to_owned()));
    scope.set("E", Some(String::new()));
    scope.set("U", None);
    let table: &[(&str, Option<&str>)] = &[
        ("", Some("")),
        ("$A-${A}b", Some("1-1b")),
        ("a$", Some("a$")),
        ("$/", Some("$/")),
        ("$N", None),
        ("$U", None),
        ("${", None),
        ("${}", None),
        ("${N:-x}", Some("x")),
        ("${U:-x}", Some("x")),
        ("${E:-x}", Some("x")),
        ("${E-x}", Some("")),
        ("${A:-x}", Some("1")),
        ("${A:+x}", Some("x")),
        ("${E:+x}", Some("")),
        ("${N:+x}", None),
        ("${A:?x}", Some("1")),
        ("${A#x}", None),
        ("${N:-${A}}", Some("1")),
    ];
    for (text, wanted) in table {
        assert_eq!(scope.expand(text).as_deref(), *wanted, "{text:?}");
    }
    scope.set("L", Some("x".repeat(VALUE_MAX)));
    assert_eq!(scope.expand("${L}").map(|text| text.len()), Some(VALUE_MAX));
    assert_eq!(scope.expand("${L}y"), None);
    let deep = format!("{}x{}", "${N:-".repeat(1000), "}".repeat(1000));
    assert_eq!(scope.expand(&deep), None);
}

#[test]
fn values_do_not_grow_without_end() {
    let mut text = "ARG A0=xxxxxxxx\n".to_owned();
    for number in 1..200 {
        text.push_str(&format!("ARG A{number}=$A{0}$A{0}\n", number - 1));
    }
    text.push_str("FROM a:$A199\n");
    assert_eq!(read(&text).stages()[0].resolved, None);
}

#[test]
fn keywords_are_known_by_their_names() {
    for name in Keyword::KNOWN {
        let keyword = only(&format!("{name} x")).keyword;
        assert_eq!(keyword.as_str(), name.to_uppercase());
    }
}

#[test]
fn hostile_texts_are_read_once() {
    let half = TEXT_MAX / 2;
    let texts = [
        "RUN ".to_owned() + &"a".repeat(TEXT_MAX - 4),
        "RUN a \\\n".to_owned() + &"\\\n".repeat(half - 8),
        "RUN a \\\n".to_owned() + &"# c\n".repeat(half / 2 - 8),
        "RUN \"".to_owned() + &"\\\"".repeat(half - 8),
        "RUN ".to_owned() + &"<<a ".repeat(half / 2 - 8),
        "RUN <<a\n".to_owned() + &"b\n".repeat(half - 8),
        "RUN ".to_owned() + &"--mount=a ".repeat(half / 5 - 8),
        "ENV ".to_owned() + &"A=$A ".repeat(half / 3),
        "FROM ".to_owned() + &"${A:-".repeat(half / 3),
        "FROM ".to_owned() + &"$".repeat(half),
        "CMD ".to_owned() + &"[".repeat(half),
        "FROM a\n".repeat(INSTRUCTIONS_MAX),
        "FROM a AS a\n".repeat(INSTRUCTIONS_MAX),
        "\n".repeat(TEXT_MAX),
    ];
    for text in texts {
        let began = Instant::now();
        if let Ok(file) = parse(&text) {
            file.stages();
            for instruction in &file.instructions {
                instruction.copied();
                instruction.assignments();
                instruction.words();
            }
        }
        let start: String = text.chars().take(20).collect();
        // Twice over would be minutes.
        assert!(began.elapsed() < Duration::from_secs(20), "{start:?} took {:?}", began.elapsed());
    }
}

#[test]
fn words_keep_what_they_were() {
    let found: Vec<(String, &str)> =
        words(" a 'b c'd \"\" e\\ f \"g", '\\').into_iter().map(|word| (word.text, word.raw)).collect();
    let wanted = [("a", "a"), ("b cd", "'b c'd"), ("", "\"\""), ("e f", "e\\ f"), ("g", "\"g")];
    assert_eq!(found, wanted.map(|(text, raw)| (text.to_owned(), raw)));
}

/// Pieces that Dockerfiles are made of, in any order.
pub(crate) const PIECES: &str = "(FROM |RUN |COPY |ADD |ENV |ARG |USER |CMD |ONBUILD |SHELL |WORKDIR |# escape=`|# syntax=|--from=|\
     --mount=type=|apt-get install |npm ci|curl |sh -c |<<E|E\n| AS |\\\\\n|\n|\n|\t| |\\$|\\{|\\}|:-|=|\"|'|`|\\[|\\]|,|#|&&|\\||;|\
     \\(|\\)|/|\\.|:|0|a|é|root|_TOKEN|\u{0}){0,40}";

proptest! {
    #[test]
    fn nothing_panics_and_lines_are_there(text in PIECES) {
        let lines = u32::try_from(text.split('\n').count()).expect("is short");
        match parse(&text) {
            Err(error) => prop_assert!((1..=lines).contains(&error.line), "{error}"),
            Ok(file) => {
                let mut end = 0;
                for instruction in &file.instructions {
                    prop_assert!(instruction.line > end && instruction.end_line >= instruction.line);
                    end = instruction.end_line;
                    instruction.copied();
                    instruction.assignments();
                    instruction.words();
                }
                prop_assert!(end <= lines);
                for stage in file.stages() {
                    prop_assert!(stage.parent.is_none_or(|parent| parent < stage.index));
                }
            }
        }
    }
}

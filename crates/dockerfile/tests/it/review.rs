//! The rules: each is found on its line, and not in what only looks like it; sound files have none; no message tells a
//! secret.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use havre_dockerfile::file::TEXT_MAX;
use havre_dockerfile::review::Severity::{self, Error, Note, Warning};
use havre_dockerfile::review::{Context, FINDINGS_MAX, Finding, IgnoreFile, review};
use proptest::prelude::*;

/// Lines and severities of what one rule finds.
fn of_rule(rule: &str, text: &str, context: &Context<'_>) -> Vec<(u32, Severity)> {
    let findings = review(text, context).into_iter().filter(|finding| finding.rule == rule);
    findings.map(|finding| (finding.line, finding.severity)).collect()
}

fn only(rule: &str, text: &str, context: &Context<'_>) -> Finding {
    let mut findings: Vec<Finding> =
        review(text, context).into_iter().filter(|finding| finding.rule == rule).collect();
    assert_eq!(findings.len(), 1, "{rule} in {text:?}: {findings:#?}");
    findings.remove(0)
}

fn paths(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A rule, how much it matters, the line it is found on, a text that breaks it, and texts that nearly do.
type Case = (&'static str, Severity, u32, &'static str, &'static [&'static str]);

/// What a rule finds in a sound text.
const NONE: [(u32, Severity); 0] = [];

const STRUCTURE: &[Case] = &[
    ("syntax", Error, 2, "FROM a:1\nRUN <<EOF\nx\n", &["FROM a:1\nRUN <<EOF\nx\nEOF\n"]),
    ("from-missing", Error, 2, "# x\nARG A=1\nRUN a\n", &["FROM a:1\n"]),
    ("before-from", Error, 1, "RUN a\nFROM b:1\n", &["ARG A=1\nFROM b:1\n"]),
    (
        "from-form",
        Error,
        1,
        "FROM a:1 build\n",
        &["FROM a:1 AS build\n", "FROM --platform=x a:1\n", "FROM\n"],
    ),
    (
        "from-argument",
        Warning,
        1,
        "FROM a:$V\nARG V=1\n",
        &[
            "ARG V=1\nFROM a:$V\n",
            "FROM a:${V:-1}\n",
            "ARG V\nFROM a:${V}\n",
            "FROM --platform=$BUILDPLATFORM a:$TARGETARCH\n",
        ],
    ),
    ("unknown-instruction", Error, 2, "FROM a:1\nCOPPY . .\n", &["FROM a:1\ncopy . .\n"]),
    ("empty-instruction", Error, 2, "FROM a:1\nRUN\n", &["FROM a:1\nCMD\n", "FROM a:1\nRUN <<x\ny\nx\n"]),
    (
        "exec-form-json",
        Error,
        2,
        "FROM a:1\nCMD ['node', 'x']\n",
        &[
            "FROM a:1\nCMD [\"node\", \"x\"]\n",
            "FROM a:1\nRUN [ \"$A\" = \"b\" ]\n",
            "FROM a:1\nRUN [ -f x ] && y\n",
        ],
    ),
    ("onbuild", Error, 2, "FROM a:1\nONBUILD FROM b\n", &["FROM a:1\nONBUILD RUN b\n"]),
    (
        "replaced-instruction",
        Warning,
        2,
        "FROM a:1\nCMD [\"a\"]\nRUN x\nCMD [\"b\"]\n",
        &["FROM a:1\nCMD [\"a\"]\nFROM a:1\nCMD [\"b\"]\n"],
    ),
    ("maintainer", Note, 2, "FROM a:1\nMAINTAINER me\n", &["FROM a:1\nLABEL maintainer=me\n"]),
    ("stage-name-twice", Warning, 2, "FROM a:1 AS x\nFROM a:1 AS X\n", &["FROM a:1 AS x\nFROM a:1 AS y\n"]),
    (
        "copy-from",
        Error,
        3,
        "FROM a:1 AS build\nFROM b:1\nCOPY --from=biuld /x /x\n",
        &[
            "FROM a:1 AS build\nFROM b:1\nCOPY --from=Build /x /x\n",
            "FROM a:1\nFROM b:1\nCOPY --from=0 /x /x\n",
            "FROM b:1\nCOPY --from=nginx:1 /x /x\n",
            "FROM b:1\nCOPY --from=ghcr.io/x/y /x /x\n",
        ],
    ),
    ("copy-from", Error, 2, "FROM a:1\nCOPY --from=0 /x /x\n", &[]),
    ("copy-from", Error, 2, "FROM a:1\nCOPY --from=late /x /x\nFROM b:1 AS late\n", &[]),
    ("copy-from", Warning, 2, "FROM a:1\nCOPY --from=busybox /x /x\n", &[]),
    ("copy-from", Warning, 2, "FROM a:1\nRUN --mount=type=bind,from=deps,target=/x y\n", &[]),
    (
        "syntax-image",
        Note,
        1,
        "# syntax=docker/dockerfile:1\nFROM a:1\n",
        &["FROM a:1\n# syntax=docker/dockerfile:1\n"],
    ),
    (
        "buildkit-feature",
        Note,
        2,
        "FROM a:1\nRUN <<x\ny\nx\n",
        &["# syntax=docker/dockerfile:1\nFROM a:1\nRUN <<x\ny\nx\n"],
    ),
    ("buildkit-feature", Note, 2, "FROM a:1\nCOPY --link a b\n", &["FROM a:1\nCOPY --chmod=644 a b\n"]),
    (
        "buildkit-feature",
        Error,
        3,
        "# syntax=docker/dockerfile:1.2\nFROM a:1\nCOPY --link a b\n",
        &["# syntax=docker/dockerfile:1.4-labs\nFROM a:1\nCOPY --link a b\n"],
    ),
];

const BASES: &[Case] = &[
    (
        "base-unpinned",
        Warning,
        1,
        "FROM node\n",
        &[
            "FROM node:22\n",
            "FROM debian:bookworm-slim\n",
            "FROM scratch\n",
            "FROM node@sha256:0\n",
            "FROM gcr.io/distroless/nodejs22-debian12\n",
            "ARG V\nFROM a:$V\n",
        ],
    ),
    ("base-unpinned", Warning, 2, "FROM a:1 AS x\nFROM localhost:5000/node\nFROM x\n", &[]),
    ("base-unpinned", Warning, 1, "FROM node:lts-alpine\n", &["FROM node:22-alpine\n"]),
    ("base-digest", Note, 1, "FROM node:22\n", &["FROM node:22@sha256:0\n", "FROM node\n", "FROM scratch\n"]),
];

const ORDER: &[Case] = &[
    (
        "cache-order",
        Warning,
        2,
        "FROM node:22\nCOPY . .\nRUN npm ci\n",
        &[
            "FROM node:22\nCOPY package*.json ./\nRUN npm ci\nCOPY . .\n",
            "FROM node:22\nCOPY package*.json ./\nRUN npm ci\nCOPY . .\nRUN npm ci --omit=dev\n",
            "FROM node:22 AS a\nCOPY . .\nFROM node:22\nCOPY package.json ./\nRUN npm ci\n",
            "FROM node:22\nCOPY --from=x . .\nRUN npm ci\n",
            "FROM node:22\nCOPY . .\nRUN npm run build\n",
            "FROM node:22\nCOPY . .\nRUN npm install -g pm2\n",
        ],
    ),
    ("cache-order", Warning, 2, "FROM a:1 AS b\nADD ./ /app\nFROM b\nRUN yarn --frozen-lockfile\n", &[]),
    (
        "cache-order",
        Warning,
        2,
        "FROM a:1\nCOPY . .\nRUN pnpm install\n",
        &["FROM a:1\nCOPY pnpm-lock.yaml ./\nRUN pnpm fetch\nCOPY . .\nRUN pnpm install --offline\n"],
    ),
    (
        "cache-order",
        Warning,
        2,
        "FROM a:1\nCOPY . .\nRUN pip install -r requirements.txt\n",
        &["FROM a:1\nCOPY . .\nRUN pip install .\n"],
    ),
    (
        "cache-order",
        Warning,
        2,
        "FROM a:1\nCOPY . .\nRUN uv sync --frozen\n",
        &[
            "FROM a:1\nRUN --mount=type=bind,source=uv.lock,target=uv.lock uv sync --no-install-project\nCOPY . .\nRUN uv sync\n",
        ],
    ),
    ("cache-order", Warning, 2, "FROM a:1\nCOPY . .\nRUN poetry install\n", &[]),
    (
        "cache-order",
        Warning,
        2,
        "FROM a:1\nCOPY . .\nRUN bundle install\n",
        &["FROM a:1\nCOPY . .\nRUN bundle exec rake\n"],
    ),
    ("cache-order", Warning, 2, "FROM a:1\nCOPY . .\nRUN composer install --no-dev\n", &[]),
    (
        "cache-order",
        Warning,
        2,
        "FROM a:1\nCOPY . .\nRUN cargo build --release\n",
        &["FROM a:1\nCOPY . .\nRUN --mount=type=cache,target=target cargo build --release\n"],
    ),
    (
        "cache-order",
        Warning,
        2,
        "FROM a:1\nCOPY . .\nRUN go build ./...\n",
        &[
            "FROM a:1\nCOPY go.mod go.sum ./\nRUN go mod download\nCOPY . .\nRUN go build -o /x .\n",
            "FROM a:1\nCOPY . .\nRUN go install x.example/y@v1\n",
        ],
    ),
    (
        "cache-order",
        Warning,
        2,
        "FROM a:1\nCOPY . .\nRUN ./mvnw -q package\n",
        &[
            "FROM a:1\nCOPY pom.xml ./\nRUN mvn dependency:go-offline\nCOPY src src\nCOPY . .\nRUN mvn package\n",
        ],
    ),
    (
        "cache-order",
        Warning,
        2,
        "FROM a:1\nCOPY . .\nRUN ./gradlew :api:bootJar\n",
        &["FROM a:1\nCOPY . .\nRUN --mount=type=cache,target=/root/.gradle ./gradlew build\n"],
    ),
    (
        "cache-order",
        Warning,
        2,
        "FROM a:1\nCOPY . .\nRUN apt-get update && apt-get install -y x\n",
        &["FROM a:1\nCOPY . .\nRUN apt-get update && apt-get install -y ./x.deb\n"],
    ),
    (
        "npm-ci",
        Warning,
        3,
        "FROM node:22\nCOPY package.json package-lock.json ./\nRUN npm install --omit=dev\n",
        &[
            "FROM node:22\nCOPY package.json package-lock.json ./\nRUN npm ci\n",
            "FROM node:22\nCOPY package.json package-lock.json ./\nRUN npm install -g pm2\n",
            "FROM node:22\nCOPY package.json ./\nRUN npm install\n",
        ],
    ),
];

const SECRETS: &[Case] = &[
    (
        "secret-arg",
        Warning,
        2,
        "FROM a:1 AS b\nARG NPM_TOKEN\nFROM a:1\n",
        &[
            "FROM a:1\nARG NODE_VERSION\n",
            "FROM a:1\nARG POSTGRES_PASSWORD_FILE\n",
            "FROM a:1\nARG NEXT_PUBLIC_API_KEY=x\n",
            "FROM a:1\nARG STRIPE_PUBLISHABLE_KEY\n",
            "FROM a:1\nARG CACHE_KEY\n",
            "FROM a:1\nARG MAX_TOKENS=5\n",
            "FROM a:1\nARG MYSQL_ALLOW_EMPTY_PASSWORD=yes\n",
        ],
    ),
    ("secret-arg", Error, 1, "ARG DB_PASSWORD=h3rring\nFROM a:1\n", &[]),
    ("secret-arg", Warning, 2, "FROM a:1\nARG AWS_SECRET_ACCESS_KEY=\n", &["FROM a:1\nARG AWS_REGION=eu\n"]),
    (
        "secret-env",
        Error,
        2,
        "FROM a:1\nENV API_KEY=abc123def\n",
        &["FROM a:1\nENV API_KEY=\n", "FROM a:1\nENV TOKEN_TTL=500000\n"],
    ),
    ("secret-env", Error, 3, "FROM a:1\nARG T\nENV NPM_TOKEN=$T\n", &[]),
    (
        "secret-env",
        Warning,
        2,
        "FROM a:1 AS b\nENV SECRET_KEY_BASE=abc123def\nFROM a:1\n",
        &["FROM a:1 AS b\nENV SECRET_KEY_BASE=dummy\nFROM a:1\n"],
    ),
    (
        "secret-value",
        Error,
        2,
        "FROM a:1\nENV X=glpat-0123456789abcdefghij\n",
        &[
            "FROM a:1\nENV X=postgres://user:password@localhost/x\n",
            "FROM a:1\nRUN git clone https://x:$T@y.example/z\n",
        ],
    ),
    ("secret-value", Error, 2, "FROM a:1\nRUN git clone https://x:h3rring@y.example/z\n", &[]),
    (
        "secret-file",
        Error,
        2,
        "FROM a:1\nCOPY .env ./\n",
        &[
            "FROM a:1\nCOPY .env.example ./\n",
            "FROM a:1\nCOPY .npmrc ./\n",
            "FROM a:1\nCOPY --from=x .env ./\n",
        ],
    ),
    ("secret-file", Warning, 2, "FROM a:1 AS b\nCOPY conf/id_rsa /root/.ssh/\nFROM a:1\n", &[]),
    ("secret-file", Note, 2, "FROM a:1 AS b\nCOPY .env.production ./\nFROM a:1\n", &[]),
];

const COMMANDS: &[Case] = &[
    (
        "add-copy",
        Warning,
        2,
        "FROM a:1\nADD --chown=1 a b\n",
        &[
            "FROM a:1\nADD a.tar.gz /b\n",
            "FROM a:1\nCOPY a b\n",
            "FROM a:1\nADD https://x.example/y.git#v1 /y\n",
        ],
    ),
    (
        "add-url",
        Warning,
        2,
        "FROM a:1\nADD https://x.example/a /a\n",
        &["FROM a:1\nADD --checksum=sha256:0 https://x.example/a /a\n"],
    ),
    (
        "apt-update",
        Warning,
        3,
        "FROM a:1\nRUN apt-get update\nRUN apt-get install -y x\n",
        &[
            "FROM a:1\nRUN apt-get update && apt-get install -y x\n",
            "FROM a:1\nRUN <<y\napt-get update\napt-get install -y x\ny\n",
        ],
    ),
    (
        "apt-yes",
        Error,
        2,
        "FROM a:1\nRUN apt-get update && apt-get install x\n",
        &[
            "FROM a:1\nRUN apt-get update && apt-get -qqy install x\n",
            "FROM a:1\nRUN apt-get update && apt-get install --yes x\n",
        ],
    ),
    (
        "apt-recommends",
        Warning,
        2,
        "FROM a:1\nRUN apt-get update && apt-get install -y x\n",
        &[
            "FROM a:1\nRUN apt-get update && apt-get install -y --no-install-recommends x\n",
            "FROM a:1 AS b\nRUN apt-get update && apt-get install -y x\nFROM a:1\n",
            "FROM a:1\nRUN apt-get update && apt-get -o APT::Install-Recommends=0 install -y x\n",
        ],
    ),
    (
        "apt-lists",
        Warning,
        2,
        "FROM a:1\nRUN apt-get update && apt-get install -y x\n",
        &[
            "FROM a:1\nRUN apt-get update && apt-get install -y x && rm -rf /var/lib/apt/lists/*\n",
            "FROM a:1\nRUN --mount=type=cache,target=/var/lib/apt,sharing=locked apt-get update && apt-get install -y x\n",
            "FROM a:1 AS b\nRUN apt-get update && apt-get install -y x\nFROM a:1\n",
        ],
    ),
    (
        "apk-cache",
        Warning,
        2,
        "FROM a:1\nRUN apk add curl\n",
        &[
            "FROM a:1\nRUN apk add --no-cache curl\n",
            "FROM a:1\nRUN --mount=type=cache,target=/var/cache/apk apk add curl\n",
            "FROM a:1 AS b\nRUN apk add curl\nFROM a:1\n",
        ],
    ),
    (
        "pip-cache",
        Warning,
        2,
        "FROM a:1\nRUN pip install -r requirements.txt\n",
        &[
            "FROM a:1\nRUN pip install --no-cache-dir -r requirements.txt\n",
            "FROM a:1\nRUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n",
            "FROM a:1\nENV PIP_NO_CACHE_DIR=1\nRUN python -m pip install x\n",
            "FROM a:1 AS b\nRUN pip install x\nFROM a:1\n",
            "FROM a:1\nRUN pip install x && rm -rf /root/.cache\n",
        ],
    ),
    (
        "system-upgrade",
        Warning,
        2,
        "FROM a:1\nRUN apt-get update && apt-get -y upgrade\n",
        &["FROM a:1\nRUN pip install --upgrade pip\n"],
    ),
    (
        "curl-pipe",
        Warning,
        2,
        "FROM a:1\nRUN curl -fsSL https://x.example | sudo -E bash -\n",
        &[
            "FROM a:1\nRUN curl -fsSL https://x.example | tar xz\n",
            "FROM a:1\nRUN curl -s x | python3 -c 'x'\n",
            "FROM a:1\nRUN curl -o x y; cat z | sh\n",
        ],
    ),
    (
        "curl-pipe",
        Warning,
        2,
        "FROM a:1\nRUN sh -c \"$(curl -fsSL https://x.example)\"\n",
        &["FROM a:1\nRUN echo \"$(curl -fsSL https://x.example)\"\n"],
    ),
    ("curl-pipe", Warning, 2, "FROM a:1\nRUN bash <(wget -qO- https://x.example)\n", &[]),
    (
        "sudo",
        Warning,
        2,
        "FROM a:1\nRUN a && sudo b\n",
        &["FROM a:1\nRUN apt-get update && apt-get install -y sudo\n"],
    ),
    (
        "chmod-777",
        Warning,
        2,
        "FROM a:1\nRUN chmod -R 777 /x\n",
        &["FROM a:1\nRUN chmod 1777 /tmp\n", "FROM a:1\nRUN chmod 755 x\n"],
    ),
    ("chmod-777", Warning, 2, "FROM a:1\nCOPY --chmod=777 a b\n", &["FROM a:1\nCOPY --chmod=755 a b\n"]),
    (
        "workdir-relative",
        Warning,
        2,
        "FROM a:1\nWORKDIR app\n",
        &[
            "FROM a:1\nWORKDIR /app\nWORKDIR src\n",
            "FROM a:1\nWORKDIR $HOME\n",
            "FROM a:1 AS b\nWORKDIR /x\nFROM b\nWORKDIR y\n",
        ],
    ),
    (
        "run-cd",
        Warning,
        2,
        "FROM a:1\nRUN cd /x\n",
        &["FROM a:1\nRUN a && cd /x\n", "FROM a:1\nWORKDIR /x\n"],
    ),
    ("run-cd", Note, 2, "FROM a:1\nRUN cd /x && make\n", &["FROM a:1\nRUN cd /x && a && b && c\n"]),
];

const IMAGE: &[Case] = &[
    (
        "root-user",
        Warning,
        1,
        "FROM a:1\nCMD [\"x\"]\n",
        &[
            "FROM a:1\nUSER 1000\nCMD [\"x\"]\n",
            "FROM a:1 AS b\nUSER node\nFROM b\nCMD [\"x\"]\n",
            "FROM a:1\nARG UID\nUSER $UID\nCMD [\"x\"]\n",
            "FROM gcr.io/distroless/static-debian12:nonroot\nCMD [\"x\"]\n",
            "FROM postgres:17\nCOPY a /docker-entrypoint-initdb.d/\n",
            "FROM a:1\nENTRYPOINT [\"gosu\", \"x\", \"y\"]\n",
            "FROM a:1 AS b\nCOPY . .\nFROM scratch\nCOPY --from=b /x /site\n",
        ],
    ),
    (
        "root-user",
        Warning,
        3,
        "FROM a:1\nUSER 1000\nUSER root:root\nCMD [\"x\"]\n",
        &["FROM a:1\nUSER root\nUSER 1000\nCMD [\"x\"]\n"],
    ),
    ("root-user", Warning, 3, "FROM a:1\nARG U=0\nUSER ${U}:$U\n", &[]),
    ("root-user", Warning, 3, "FROM a:1 AS b\nUSER 1000\nFROM a:1\n", &[]),
    (
        "shell-form",
        Warning,
        2,
        "FROM a:1\nCMD node x\n",
        &[
            "FROM a:1\nCMD exec node x\n",
            "FROM a:1\nCMD [\"node\", \"x\"]\n",
            "FROM a:1 AS b\nCMD node x\nFROM a:1\n",
            "FROM a:1\nCMD a && exec b\n",
        ],
    ),
    ("shell-form", Warning, 2, "FROM a:1\nENTRYPOINT node x\n", &[]),
    (
        "shell-exec",
        Warning,
        2,
        "FROM a:1\nCMD [\"/bin/sh\", \"-c\", \"node x\"]\n",
        &["FROM a:1\nCMD [\"sh\", \"-c\", \"exec node x\"]\n", "FROM a:1\nCMD [\"sh\", \"x.sh\"]\n"],
    ),
    (
        "npm-start",
        Note,
        2,
        "FROM a:1\nCMD [\"npm\", \"start\"]\n",
        &["FROM a:1\nCMD [\"node\", \"start\"]\n"],
    ),
    (
        "expose",
        Note,
        1,
        "FROM a:1\nCMD [\"x\"]\n",
        &["FROM a:1\nEXPOSE 1\nCMD [\"x\"]\n", "FROM scratch\nCOPY a /\n"],
    ),
    ("healthcheck", Note, 1, "FROM a:1\nCMD [\"x\"]\n", &["FROM a:1\nHEALTHCHECK NONE\nCMD [\"x\"]\n"]),
    (
        "build-in-last-stage",
        Warning,
        2,
        "FROM node:22\nRUN npm ci && npm run build\n",
        &[
            "FROM node:22 AS b\nRUN npm ci && npm run build\nFROM node:22\n",
            "FROM node:22\nRUN npm run start\n",
            "FROM golang:1\nRUN go mod download\n",
        ],
    ),
    (
        "build-in-last-stage",
        Warning,
        2,
        "FROM a:1\nRUN apt-get update && apt-get install -y build-essential\n",
        &[
            "FROM a:1\nRUN apt-get update && apt-get install -y gcc && x && apt-get purge -y gcc\n",
            "FROM a:1\nRUN apk add --no-cache --virtual .b gcc && x && apk del .b\n",
        ],
    ),
    (
        "dev-dependencies",
        Warning,
        2,
        "FROM node:22\nRUN npm ci\n",
        &[
            "FROM node:22\nRUN npm ci --omit=dev\n",
            "FROM node:22\nRUN npm ci --omit dev\n",
            "FROM node:22\nENV NODE_ENV=production\nRUN npm ci\n",
            "FROM node:22\nRUN NODE_ENV=production npm ci\n",
            "FROM node:22\nRUN npm ci\nRUN npm prune --omit=dev\n",
            "FROM node:22 AS b\nRUN npm ci\nFROM node:22\n",
            "FROM node:22\nRUN npm ci && npm run build\n",
        ],
    ),
    (
        "dev-dependencies",
        Warning,
        2,
        "FROM a:1\nRUN composer install\n",
        &["FROM a:1\nRUN composer install --no-dev\n"],
    ),
];

#[test]
fn every_rule_is_found_on_its_line_and_not_beside_it() {
    for (rule, severity, line, wrong, right) in [STRUCTURE, BASES, ORDER, SECRETS, COMMANDS, IMAGE].concat() {
        let found = of_rule(rule, wrong, &Context::default());
        assert_eq!(found, [(line, severity)], "{rule} in {wrong:?}");
        for near in right {
            let found = of_rule(rule, near, &Context::default());
            assert_eq!(found, NONE, "{rule} in {near:?}");
        }
    }
}

#[test]
fn every_rule_is_in_the_table_for_people_and_has_a_case() {
    let page = include_str!("../../../../docs/rooms/dockerfile.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let listed: BTreeSet<&str> = rows.map(|(rule, _)| rule).collect();
    let cases = [STRUCTURE, BASES, ORDER, SECRETS, COMMANDS, IMAGE].concat();
    let mut tried: BTreeSet<&str> = cases.iter().map(|(rule, ..)| *rule).collect();
    // These need to know more than the text.
    tried.extend(["dockerignore", "target-unknown"]);
    assert_eq!(listed, tried);
}

const GOOD: &str = "\
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci
COPY . .
RUN npm run build && npm prune --omit=dev

FROM node:22-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
EXPOSE 3000
USER node
HEALTHCHECK CMD [\"node\", \"dist/health.js\"]
CMD [\"node\", \"dist/main.js\"]
";

#[test]
fn sound_files_have_notes_at_most() {
    let files =
        paths(&["package.json", "package-lock.json", "src/main.ts", ".git/", ".env", "node_modules/"]);
    let context = Context {
        ignore: IgnoreFile::Text(".git\nnode_modules\n.env*\n"),
        paths: Some(&files),
        buildkit: Some((0, 8)),
        ..Context::default()
    };
    let found: Vec<(u32, &str)> =
        review(GOOD, &context).iter().map(|finding| (finding.line, finding.rule)).collect();
    assert_eq!(found, [(1, "base-digest"), (8, "base-digest")]);
    for text in [
        include_str!("../../../../examples/dropit/apps/api/Dockerfile"),
        include_str!("../../../../examples/dropit/apps/web/Dockerfile"),
        include_str!("../../../../examples/faults/Dockerfile"),
    ] {
        let found: Vec<Finding> = review(text, &Context::default())
            .into_iter()
            .filter(|finding| finding.severity != Note)
            .collect();
        assert!(found.is_empty(), "{text}\n{found:#?}");
    }
}

#[test]
fn a_file_as_people_write_it() {
    let text = "FROM node\nWORKDIR /app\nCOPY . .\nRUN npm install\nENV API_TOKEN=abc123def\nCMD npm start\n";
    let found: Vec<String> = review(text, &Context::default())
        .iter()
        .map(|finding| format!("{} {} {}", finding.line, finding.severity, finding.rule))
        .collect();
    assert_eq!(
        found,
        [
            "1 warning base-unpinned",
            "1 warning root-user",
            "1 note expose",
            "1 note healthcheck",
            "3 warning cache-order",
            "4 warning dev-dependencies",
            "5 error secret-env",
            "6 warning shell-form",
        ]
    );
}

#[test]
fn fixes_are_lines_to_write() {
    let fix = |rule: &str, text: &str| only(rule, text, &Context::default()).fix;
    assert_eq!(fix("shell-form", "FROM a:1\nCMD node 'a b'\n"), "CMD [\"node\", \"a b\"]");
    assert_eq!(fix("shell-form", "FROM a:1\nCMD node --port $PORT\n"), "CMD exec node --port $PORT");
    assert_eq!(
        fix("shell-exec", "FROM a:1\nCMD [\"sh\", \"-c\", \"node $X\"]\n"),
        "CMD [\"sh\", \"-c\", \"exec node $X\"]"
    );
    assert_eq!(fix("exec-form-json", "FROM a:1\nCMD ['node', 'x']\n"), "CMD [\"node\", \"x\"]");
    assert_eq!(fix("add-copy", "FROM a:1\nADD --chown=1 a b\n"), "COPY --chown=1 a b");
    assert_eq!(
        fix("npm-ci", "FROM a:1\nCOPY package-lock.json ./\nRUN npm install --omit=dev\n"),
        "RUN npm ci --omit=dev"
    );
    assert_eq!(
        fix("base-unpinned", "FROM --platform=linux/amd64 node:latest AS x\n"),
        "name a version, such as FROM --platform=linux/amd64 node:22-bookworm-slim AS x"
    );
    assert_eq!(
        fix("cache-order", "FROM a:1\nCOPY . .\nRUN npm ci\n"),
        "copy first what it reads: COPY package.json package-lock.json ./, then RUN npm ci, and COPY . . behind it"
    );
    assert_eq!(
        fix("apt-yes", "FROM a:1\nRUN apt-get update && apt-get install curl git\n"),
        "RUN apt-get update && apt-get install -y --no-install-recommends curl git && rm -rf /var/lib/apt/lists/*"
    );
    assert_eq!(fix("run-cd", "FROM a:1\nRUN cd /x\n"), "WORKDIR /x");
    assert_eq!(fix("unknown-instruction", "FROM a:1\nCOPPY a b\n"), "did you mean COPY? write: COPY a b");
    assert_eq!(
        fix("unknown-instruction", "FROM a:1\nRUN a\n  && b\n"),
        "end the line above with a backslash when this belongs to it"
    );
    assert_eq!(
        fix("copy-from", "FROM a:1 AS build\nFROM b:1\nCOPY --from=biuld /x /x\n"),
        "did you mean --from=build?"
    );
}

#[test]
fn what_builds_decides_about_features() {
    let context = |buildkit| Context { buildkit: Some(buildkit), ..Context::default() };
    let heredoc = "FROM a:1\nRUN <<x\ny\nx\n";
    assert_eq!(of_rule("buildkit-feature", heredoc, &context((0, 8))), [(2, Error)]);
    assert_eq!(of_rule("buildkit-feature", heredoc, &context((0, 10))), NONE);
    let checksum = "FROM a:1\nADD --checksum=sha256:0 https://x.example/a /a\n";
    assert_eq!(of_rule("buildkit-feature", checksum, &context((0, 11))), [(2, Error)]);
    assert_eq!(of_rule("buildkit-feature", checksum, &context((0, 12))), NONE);
    let brought = format!("# syntax=docker/dockerfile:1\n{heredoc}");
    assert_eq!(of_rule("buildkit-feature", &brought, &context((0, 8))), NONE);
    assert!(
        only("syntax-image", &brought, &context((0, 8)))
            .fix
            .starts_with("keep it, or build with BuildKit 0.10")
    );
    assert!(only("syntax-image", &brought, &context((0, 10))).fix.starts_with("take the line out"));
}

#[test]
fn what_belongs_into_dockerignore() {
    let files = paths(&[".env", ".git/", "apps/web/node_modules/", "src/main.ts"]);
    let found = |text: &str, ignore, paths| {
        let context = Context { ignore, paths, ..Context::default() };
        of_rule("dockerignore", text, &context)
    };
    let (whole, some) = ("FROM a:1\nCOPY package.json ./\nCOPY . .\n", "FROM a:1\nCOPY src src\n");
    assert_eq!(found(whole, IgnoreFile::Missing, None), [(3, Warning)]);
    assert_eq!(found(some, IgnoreFile::Missing, None), [(2, Note)]);
    assert_eq!(found("FROM a:1\nADD https://x.example/a /a\n", IgnoreFile::Missing, None), NONE);
    assert_eq!(found(whole, IgnoreFile::Unknown, Some(&files)), NONE);
    assert_eq!(found(whole, IgnoreFile::Text(".git\n"), Some(&files)), [(3, Warning)]);
    assert_eq!(found(some, IgnoreFile::Text(".git\n"), Some(&files)), [(2, Note)]);
    assert_eq!(found(whole, IgnoreFile::Text(".git\n"), None), NONE);
    assert_eq!(found(whole, IgnoreFile::Text(".git\n**/node_modules\n.env*\n"), Some(&files)), NONE);
    assert_eq!(found(whole, IgnoreFile::Text("*\n!src\n"), Some(&files)), NONE);
    assert_eq!(found(whole, IgnoreFile::Text("[x\n"), Some(&files)), [(3, Error)]);
    let context = Context { ignore: IgnoreFile::Text(".git\n"), paths: Some(&files), ..Context::default() };
    let finding = only("dockerignore", whole, &context);
    assert!(finding.message.contains("`apps/web/node_modules/`"), "{}", finding.message);
    assert_eq!(finding.fix, "add to .dockerignore, a line each: **/node_modules **/.env*");
}

#[test]
fn files_of_the_repository_make_rules_sharper() {
    let files = paths(&["apps/api/package.json", "apps/api/package-lock.json"]);
    let context = Context { paths: Some(&files), ..Context::default() };
    let text = "FROM node:22\nCOPY apps/api ./\nRUN npm install\n";
    assert_eq!(of_rule("cache-order", text, &context), [(2, Warning)]);
    assert_eq!(of_rule("npm-ci", text, &context), [(3, Warning)]);
    assert_eq!(of_rule("cache-order", text, &Context::default()), NONE);
    assert_eq!(of_rule("npm-ci", text, &Context::default()), NONE);
    let globs = "FROM node:22\nCOPY apps/api/package*.json ./\nRUN npm install\n";
    assert_eq!(of_rule("npm-ci", globs, &context), [(3, Warning)]);
}

#[test]
fn the_stage_that_is_built_is_the_one_that_counts() {
    let text = "FROM a:1 AS run\nUSER 1000\nCMD [\"x\"]\nFROM run AS development\nUSER root\n";
    assert_eq!(of_rule("root-user", text, &Context::default()), [(5, Warning)]);
    let context = Context { target: Some("run"), ..Context::default() };
    assert_eq!(of_rule("root-user", text, &context), NONE);
    let context = Context { target: Some("walk"), ..Context::default() };
    assert_eq!(of_rule("target-unknown", text, &context), [(4, Error)]);
}

#[test]
fn nothing_of_a_site_runs() {
    let text =
        "FROM node:22\nCOPY package.json ./\nRUN npm ci\nCOPY src src\nRUN npm run build\nCMD npm start\n";
    let context = Context { is_site: true, ..Context::default() };
    let found: Vec<&str> = review(text, &context).iter().map(|finding| finding.rule).collect();
    assert_eq!(found, ["base-digest"]);
}

#[test]
fn no_message_tells_a_secret() {
    let secret = "ghp_0123456789abcdefghijABCDEFGHIJ456789";
    let padding = "x".repeat(90);
    for line in [
        format!("ENV GITHUB_TOKEN={secret}"),
        format!("ARG GITHUB_TOKEN={secret}"),
        format!("CMD node --token {secret}"),
        format!("CMD ['node', '{secret}']"),
        format!("CMD [\"sh\", \"-c\", \"node {padding} {secret}\"]"),
        format!("CMD node {padding} {secret}"),
        format!("RUN npm ci --token={secret}"),
        format!("RUN cd {secret}"),
        format!("RUN sudo {secret}"),
        format!("ADD {secret} x"),
        format!("ADD https://x.example/{secret} x"),
        format!("COPY --from={secret} x y"),
        format!("{secret} x"),
        format!("MAINTAINER {secret}"),
        format!("FROM {secret}"),
        format!("FROM x:${secret}"),
    ] {
        let text = format!("FROM a:1\nCOPY . .\n{line}\n");
        let findings = review(&text, &Context::default());
        assert!(findings.iter().any(|finding| finding.rule == "secret-value" && finding.line == 3), "{line}");
        for finding in findings {
            let told = format!("{} {}", finding.message, finding.fix);
            assert!(!told.contains("ghp_"), "{line}: {finding:?}");
        }
    }
}

#[test]
fn commands_of_other_shells_are_not_read() {
    let text = "# escape=`\nFROM a:1\nRUN sudo x\n";
    assert_eq!(of_rule("sudo", text, &Context::default()), NONE);
    let text = "FROM a:1 AS b\nSHELL [\"pwsh\", \"-c\"]\nFROM b\nRUN sudo x\nSHELL [\"/bin/bash\", \"-c\"]\nRUN sudo x\n";
    assert_eq!(of_rule("sudo", text, &Context::default()), [(6, Warning)]);
}

#[test]
fn findings_are_sorted_and_bounded() {
    let text = "FROM a\n".repeat(2_000) + &"NOPE\n".repeat(500);
    let findings = review(&text, &Context::default());
    assert_eq!(findings.len(), FINDINGS_MAX);
    assert!(findings.is_sorted_by_key(|finding| finding.line));
    let errors = findings.iter().filter(|finding| finding.severity == Error).count();
    assert_eq!(errors, 500, "what is heavier stays");
    assert_eq!(review("", &Context::default()).first().map(|finding| finding.line), Some(1));
}

#[test]
fn hostile_texts_are_reviewed_in_time() {
    let half = TEXT_MAX / 2;
    let texts = [
        "FROM a:1\nCOPY . .\nRUN ".to_owned() + &"npm ci;".repeat(half / 7),
        "FROM a:1\nRUN ".to_owned() + &"sudo a && ".repeat(half / 10),
        "FROM a:1\nRUN ".to_owned() + &"a|".repeat(half / 2),
        "FROM a:1\nRUN ".to_owned() + &"$(".repeat(half / 2),
        "FROM a:1\nRUN ".to_owned()
            + &"--mount=type=cache ".repeat(half / 40)
            + &"pip install a;".repeat(half / 28),
        "FROM a AS b\n".repeat(5_000) + &"COPY --from=c d e\n".repeat(4_990),
        "FROM a AS b\nFROM b AS a\n".repeat(4_999),
        "FROM a:1\n".to_owned() + &"NOPES\n".repeat(9_990),
        "FROM a:1\nENV ".to_owned() + &"A_TOKEN=$A_TOKEN ".repeat(half / 17),
        "FROM a:1\nCMD ".to_owned() + &"a && ".repeat(half / 5),
        "FROM a:1\nRUN ".to_owned() + &"http://a:b@c".repeat(half / 12),
    ];
    for text in texts {
        let began = Instant::now();
        review(&text, &Context { target: Some("b"), buildkit: Some((0, 8)), ..Context::default() });
        let start: String = text.chars().take(40).collect();
        assert!(began.elapsed() < Duration::from_secs(30), "{start:?} took {:?}", began.elapsed());
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_lines_are_there(text in crate::file::PIECES, ignore in "[a.*!\n/\\[]{0,10}", is_site: bool) {
        let lines = u32::try_from(text.split('\n').count()).expect("is short");
        let files = paths(&[".git/", "a/package.json", "package-lock.json"]);
        let context = Context {
            ignore: IgnoreFile::Text(&ignore),
            paths: Some(&files),
            target: Some("a"),
            buildkit: Some((0, 8)),
            is_site,
        };
        let mut last = 0;
        for finding in review(&text, &context) {
            prop_assert!((1..=lines).contains(&finding.line), "{finding:?}");
            prop_assert!(finding.line >= last);
            prop_assert!(!finding.message.is_empty() && !finding.fix.is_empty());
            last = finding.line;
        }
    }
}

//! What a Dockerfile says about its program: port, health path, context, where built files end up. A reader of hints,
//! not a parser: what it does not understand it does not report. Tests at the end of the file.

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// Port of the last `EXPOSE`.
    pub(crate) port: Option<u16>,
    /// Path its `HEALTHCHECK` asks for.
    pub(crate) health: Option<String>,
    /// Sources copied from the context.
    pub(crate) sources: Vec<String>,
    /// Folder of the web server, or the last one copied to in an image of files only.
    pub(crate) output: Option<String>,
}

/// Reads the text of a Dockerfile.
pub(crate) fn read(text: &str) -> Hints {
    let mut hints = Hints::default();
    let mut base = String::new();
    for line in text.replace("\\\n", " ").lines() {
        let mut words = line.split_whitespace();
        let Some(instruction) = words.next() else { continue };
        let words: Vec<&str> =
            words.filter(|word| !word.starts_with("--") || word.starts_with("--from=")).collect();
        match instruction.to_ascii_uppercase().as_str() {
            "FROM" => {
                base = words.first().copied().unwrap_or_default().to_owned();
                (hints.port, hints.health, hints.output) = (None, None, None);
                if is_web_server(&base, "nginx") {
                    hints.output = Some("/usr/share/nginx/html".to_owned());
                } else if is_web_server(&base, "caddy") {
                    hints.output = Some("/srv".to_owned());
                }
            }
            "EXPOSE" => hints.port = words.iter().find_map(|word| word.split('/').next()?.parse().ok()),
            "HEALTHCHECK" => hints.health = find_path(line),
            "COPY" | "ADD" => copy(&mut hints, &words, &base),
            _ => {}
        }
    }
    hints
}

fn is_web_server(base: &str, name: &str) -> bool {
    base.rsplit('/').next().is_some_and(|last| last == name || last.starts_with(&format!("{name}:")))
}

fn copy(hints: &mut Hints, words: &[&str], base: &str) {
    let is_from_stage = words.first().is_some_and(|word| word.starts_with("--from="));
    let paths: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with("--")).collect();
    let Some((target, sources)) = paths.split_last() else { return };
    if !is_from_stage {
        hints.sources.extend(sources.iter().map(|source| source.trim_start_matches("./").to_owned()));
    }
    let plain = target.trim_end_matches('/');
    let is_path = plain.starts_with('/') && plain.len() > 1 && !plain.contains(['$', '"', '[', ']']);
    if is_path && base == "scratch" {
        hints.output = Some(plain.to_owned());
    }
}

/// The path of the first local address in a line.
fn find_path(line: &str) -> Option<String> {
    let rest = ["http://localhost", "http://127.0.0.1"].iter().find_map(|start| line.split_once(start))?.1;
    let path = &rest[rest.find('/')?..];
    let end =
        path.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ')' | ']' | ',' | '`' | ';' | '|'));
    let path = &path[..end.unwrap_or(path.len())];
    let is_port = rest[..rest.find('/')?]
        .chars()
        .all(|c| c == ':' || c.is_ascii_digit() || c == '$' || c.is_ascii_uppercase());
    is_port.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_service() {
        let text = "FROM node:22 AS build\nEXPOSE 9\nCOPY apps/api/package.json ./\nRUN npm ci\nFROM node:22-slim\n\
                    COPY --from=build /app/dist dist\nEXPOSE 3000/tcp\nHEALTHCHECK --interval=5s \\\n  \
                    CMD [\"curl\", \"-f\", \"http://localhost:3000/api/health\"]\n";
        let hints = read(text);
        assert_eq!(hints.port, Some(3000));
        assert_eq!(hints.health.as_deref(), Some("/api/health"));
        assert_eq!(hints.sources, ["apps/api/package.json"]);
        assert_eq!(hints.output, None);
    }

    #[test]
    fn files_of_a_site() {
        let scratch = "FROM node:22 AS build\nCOPY . .\nFROM scratch\nCOPY --from=build /app/dist /site/\n";
        assert_eq!(read(scratch).output.as_deref(), Some("/site"));
        let nginx = "FROM node\nFROM docker.io/library/nginx:1-alpine\nCOPY --from=0 /app/dist /usr/share/nginx/html\n";
        assert_eq!(read(nginx).output.as_deref(), Some("/usr/share/nginx/html"));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "(FROM|COPY|EXPOSE|HEALTHCHECK|http://localhost|/|:| |\\\\|\n|é|a){0,30}") {
            read(&text);
        }
    }
}

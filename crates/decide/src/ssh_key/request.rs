//! What a client of SSH asks for, read into a closed type: git's two conversations with a repository of a project, in exactly git's
//! quoting, where contents of Git LFS go, and nothing else. Nothing of it is ever given to a shell. Tests at the end of the file.

use havre_core::name::ProjectName;

/// Longest command that is read, in bytes.
const TEXT_MAX: usize = 512;

/// Which of git's two conversations, or the word of `git lfs` before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversation {
    /// `git-receive-pack`.
    Push,
    /// `git-upload-pack`.
    Fetch,
    /// `git-lfs-authenticate ... upload`: where contents are pushed to.
    PushContents,
    /// `git-lfs-authenticate ... download`.
    FetchContents,
}

/// A conversation about the repository of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub conversation: Conversation,
    /// The project.
    pub project: ProjectName,
}

/// Why nothing is done for a client, in words for the person who runs it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nothing was asked for: somebody logs in.
    #[error(
        "your key is known here, and there is no login: it is for `git push` only (ssh://USER@SERVER/PROJECT.git)"
    )]
    Login,
    /// Another command.
    #[error("`{shown}` is not served here: this key is for `git push` only")]
    Command {
        /// What was asked for, escaped and cut.
        shown: String,
    },
    /// No repository has such a name.
    #[error(
        "`{shown}` is no repository here: write ssh://USER@SERVER/PROJECT.git with the name of a project"
    )]
    Repository {
        /// What was asked for, escaped and cut.
        shown: String,
    },
}

/// Reads `SSH_ORIGINAL_COMMAND`, such as `git-receive-pack '/dropit.git'`; `None` where there is none.
///
/// # Errors
/// [`RequestError`]
pub fn parse(command: Option<&str>) -> Result<Request, RequestError> {
    let command = command.unwrap_or_default();
    if command.is_empty() {
        return Err(RequestError::Login);
    }
    let other = || RequestError::Command { shown: show(command) };
    if command.len() > TEXT_MAX {
        return Err(other());
    }
    let (name, quoted) = command.split_once(' ').ok_or_else(other)?;
    let unquoted = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    let (conversation, path) = match name {
        // Git puts every path in single quotes. A name of a project holds nothing it would write in another way.
        "git-receive-pack" => (Conversation::Push, unquoted.ok_or_else(other)?),
        "git-upload-pack" => (Conversation::Fetch, unquoted.ok_or_else(other)?),
        "git-lfs-authenticate" => contents(quoted).ok_or_else(other)?,
        _ => return Err(other()),
    };
    let name = path.strip_prefix('/').unwrap_or(path);
    let name = name.strip_suffix(".git").unwrap_or(name);
    let project = name.parse().map_err(|_| RequestError::Repository { shown: show(path) })?;
    Ok(Request { conversation, project })
}

/// `git lfs` puts a path in quotes or not, as its version is, and what it wants behind it.
fn contents(words: &str) -> Option<(Conversation, &str)> {
    let (path, wants) = words.split_once(' ')?;
    let conversation = match wants {
        "upload" => Conversation::PushContents,
        "download" => Conversation::FetchContents,
        _ => return None,
    };
    let path = match path.strip_prefix('\'') {
        Some(rest) => rest.strip_suffix('\'')?,
        None => path,
    };
    Some((conversation, path))
}

fn show(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_asks_for() {
        for (text, conversation) in [
            ("git-receive-pack '/dropit.git'", Conversation::Push),
            ("git-receive-pack 'dropit.git'", Conversation::Push),
            ("git-receive-pack 'dropit'", Conversation::Push),
            ("git-upload-pack '/dropit'", Conversation::Fetch),
            ("git-lfs-authenticate /dropit.git upload", Conversation::PushContents),
            ("git-lfs-authenticate 'dropit.git' upload", Conversation::PushContents),
            ("git-lfs-authenticate dropit download", Conversation::FetchContents),
        ] {
            let project = "dropit".parse().expect("is a name");
            assert_eq!(parse(Some(text)), Ok(Request { conversation, project }), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_done() {
        assert_eq!(parse(None), Err(RequestError::Login));
        assert_eq!(parse(Some("")), Err(RequestError::Login));
        let long = format!("git-receive-pack '{}'", "x".repeat(TEXT_MAX));
        for command in [
            "id",
            "sh",
            "git-receive-pack",
            "git-receive-pack ",
            "git-receive-pack dropit.git",
            "git-receive-pack \"dropit.git\"",
            "git-receive-pack '",
            "git-receive-pack  'dropit.git'",
            "git receive-pack 'dropit.git'",
            "git-receive-pack 'dropit.git'; id",
            "git-receive-pack 'dropit.git' ",
            "git-upload-archive 'dropit.git'",
            "git-lfs-transfer /dropit.git upload",
            "git-lfs-authenticate /dropit.git",
            "git-lfs-authenticate /dropit.git remove",
            "git-lfs-authenticate '/dropit.git upload",
            "git-lfs-authenticate /dropit.git upload; id",
            "/usr/bin/git-receive-pack 'dropit.git'",
            "scp -t .",
            " git-receive-pack 'dropit.git'",
            &long,
        ] {
            let refused = parse(Some(command));
            assert!(matches!(refused, Err(RequestError::Command { .. })), "{command}: {refused:?}");
        }
        for path in [
            "",
            "/",
            "../x",
            "/../x.git",
            "a/b.git",
            "~ada/x.git",
            "//dropit.git",
            "dropit.git/",
            "dropit.git.git",
            "-x",
            "--upload-pack=x",
            "$(id)",
            "a'\\''b",
            "a'b",
            "Dropit",
            "dropit.git\n",
        ] {
            for command in
                [format!("git-receive-pack '{path}'"), format!("git-lfs-authenticate '{path}' upload")]
            {
                let refused = parse(Some(&command));
                assert!(matches!(refused, Err(RequestError::Repository { .. })), "{command}: {refused:?}");
            }
        }
    }

    #[test]
    fn words_are_shown_escaped_and_cut() {
        let words = |text: &str| parse(Some(text)).expect_err("is none").to_string();
        assert_eq!(words("\u{1b}[31m"), "`\\u{1b}[31m` is not served here: this key is for `git push` only");
        let cut = words(&"x".repeat(61));
        assert!(cut.starts_with(&format!("`{}…`", "x".repeat(60))), "{cut}");
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_one_project(text in "git-(receive|upload)-pack '[a-z./' $;~-]{0,12}'") {
            if let Ok(request) = parse(Some(&text)) {
                let project = request.project.as_str();
                proptest::prop_assert!(text.contains(project) && !project.contains(['/', '.', '\'', ' ']));
            }
        }

        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = parse(Some(&text));
        }
    }
}

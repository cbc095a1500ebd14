//! Why a storage did not do something, sorted by who can help. What is said never holds a secret: no credential, and no signed address.
//! Tests at the end of the file.

use crate::error::RepositoryError;

/// A failure of the storage below a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// What lies there is not as it should be, there is no room, or it speaks another language.
    #[error("{0}")]
    Broken(String),
    /// It does not take the credentials, or they may not do this.
    #[error("{0}")]
    Refused(String),
    /// There is no bucket of that name.
    #[error("there is no bucket of that name")]
    NoBucket,
    /// It refuses requests because this machine and it do not agree on the time.
    #[error("this machine's clock and that of the storage differ")]
    Clock {
        /// Seconds by which this machine is ahead, negative when it is behind; nothing where the storage did not say its time.
        ahead_seconds: Option<i64>,
    },
    /// What answers there is another machine than the one that was set. Nothing was sent to it.
    #[error("{0}")]
    Stranger(String),
    /// It does not answer, or asks for patience, and did so after every try. Later it may do it.
    #[error("{0}")]
    Away(String),
}

impl Fault {
    /// As an error of the repository at this place; `text` says more than the fault itself, such as which file it was.
    pub(crate) fn into_error(self, doing: &'static str, place: String, text: String) -> RepositoryError {
        match self {
            Self::Broken(_) => RepositoryError::Failed { doing, place, reason: text },
            Self::Refused(reason) => RepositoryError::CredentialsRefused { place, reason },
            Self::NoBucket => RepositoryError::BucketMissing { place },
            Self::Clock { ahead_seconds } => RepositoryError::ClockOff { place, ahead_seconds },
            Self::Stranger(reason) => RepositoryError::AnotherMachine { place, reason },
            Self::Away(reason) => RepositoryError::Away { place, reason },
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_an_error_that_says_who_can_help() {
        let said = |fault: Fault| {
            fault.into_error("read", "s3:https://s3.example.org/b".to_owned(), "more".to_owned()).to_string()
        };
        assert_eq!(
            said(Fault::Broken("less".to_owned())),
            "could not read at s3:https://s3.example.org/b: more"
        );
        assert_eq!(
            said(Fault::Clock { ahead_seconds: Some(-90) }),
            "s3:https://s3.example.org/b refuses requests because the clock of this machine is wrong: it is 90 s behind"
        );
        assert_eq!(
            said(Fault::Clock { ahead_seconds: Some(7200) }),
            "s3:https://s3.example.org/b refuses requests because the clock of this machine is wrong: it is 7200 s ahead"
        );
        assert_eq!(
            said(Fault::Clock { ahead_seconds: None }),
            "s3:https://s3.example.org/b refuses requests because the clock of this machine is wrong: nobody knows by how much"
        );
        assert_eq!(
            said(Fault::Stranger("it shows another key".to_owned())),
            "what answers at s3:https://s3.example.org/b is another machine than the one that was set: it shows another key"
        );
        assert_eq!(said(Fault::NoBucket), "there is no bucket for s3:https://s3.example.org/b");
    }
}

//! `havre db cancel`: stops copies that have not taken their place, and swaps whose names are not exchanged yet. Tests at the end of the file.

use std::str::FromStr;

use havre_api::copy::Copy;
use havre_api::swap::Swap;
use havre_core::id::{CopyId, IdError, SwapId};

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;

/// What can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undertaking {
    Copy(CopyId),
    Swap(SwapId),
}

impl FromStr for Undertaking {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self::Swap).or_else(|_: IdError| text.parse().map(Self::Copy))
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Copies such as q3, swaps and upgrades such as w4
    #[arg(required = true, value_name = "ID")]
    ids: Vec<Undertaking>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let json = invocation.global.json;
    for id in options.ids {
        match id {
            Undertaking::Copy(id) => {
                let found: Copy = client.post(&format!("/v1/copies/{id}/cancel")).await?;
                if json {
                    output::json_line(&found)?;
                } else {
                    output::say(&format!("{id} into {} should stop", found.place));
                }
            }
            Undertaking::Swap(id) => {
                let found: Swap = client.post(&format!("/v1/swaps/{id}/cancel")).await?;
                if json {
                    output::json_line(&found)?;
                } else {
                    output::say(&format!("{id} of {} should stop", found.place));
                }
            }
        }
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_what_they_are_of() {
        assert_eq!("q3".parse(), Ok(Undertaking::Copy(CopyId::new(3))));
        assert_eq!("w4".parse(), Ok(Undertaking::Swap(SwapId::new(4))));
        for wrong in ["", "3", "d4", "w0", "q"] {
            assert!(wrong.parse::<Undertaking>().is_err(), "{wrong:?}");
        }
    }
}

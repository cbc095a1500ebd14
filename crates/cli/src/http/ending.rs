//! Waits for the end of something that goes on at the server, and says each time it has come further. Tests: those of its callers in `tests/it`.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Client;
use crate::exit::{CliError, Exit};
use crate::output;

/// Pause between looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Looks in a row without an answer before giving up: control may be upgraded meanwhile.
const ATTEMPTS: u32 = 60;

/// What is at this path, once it has ended. `progress` is what is said of it until then, once for each change.
pub(crate) async fn last<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    is_final: impl Fn(&T) -> bool,
    progress: impl Fn(&T) -> String,
) -> Result<T, CliError> {
    let (mut attempts, mut told) = (0, String::new());
    loop {
        match client.get::<T>(path).await {
            Ok(found) if is_final(&found) => return Ok(found),
            Ok(found) => {
                attempts = 0;
                let now = progress(&found);
                if now != told {
                    output::say(&output::printable(&now));
                    told = now;
                }
            }
            Err(error) if error.exit == Exit::Unreachable && attempts < ATTEMPTS => attempts += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

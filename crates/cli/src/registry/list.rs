//! `havre registry list`: hosts, users, how many pulls are left; passwords are never shown. Tests at the end of the file.

use havre_api::registry::{PullsLeft, RegistryList};
use havre_core::quantity::Span;
use havre_decide::registry::limit::PullLimit;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let list: RegistryList = invocation.client()?.get("/v1/registries").await?;
    if invocation.global.json {
        output::json(&list)?;
        return Ok(Exit::Ok);
    }
    let now = time::now();
    let mut rows = vec![table::row(["HOST", "USER", "SET", "PULLS"])];
    for registry in &list.registries {
        let user = registry.user.as_ref().map_or("-".to_owned(), ToString::to_string);
        let set = registry.set_at.map_or("-".to_owned(), |set_at| time::ago(set_at, now));
        let pulls = registry
            .pulls
            .as_ref()
            .map_or("-".to_owned(), |left| format!("{}, {}", pulls(left), time::ago(left.read_at, now)));
        rows.push(table::row([registry.host.as_str(), &user, &set, &pulls]));
    }
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}

/// `remaining 34 of 100 (6h)`.
fn pulls(left: &PullsLeft) -> String {
    let window = Span::millis(left.window_ms);
    PullLimit { remaining: left.remaining, limit: left.limit, window }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_one_line() {
        let read_at = time::now();
        let left = PullsLeft { remaining: 34, limit: 100, window_ms: 21_600_000, read_at };
        assert_eq!(pulls(&left), "remaining 34 of 100 (6h)");
    }
}

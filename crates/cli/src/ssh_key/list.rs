//! `havre ssh-key list`.

use havre_api::ssh_key::SshKeyList;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table, time};
use crate::ssh_key::PATH;

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let list: SshKeyList = invocation.client()?.get(PATH).await?;
    if invocation.global.json {
        output::json(&list)?;
        return Ok(Exit::Ok);
    }
    let now = time::now();
    let mut rows = vec![table::row(["NAME", "PROJECT", "FINGERPRINT", "COMMENT", "ADDED", "LAST USED"])];
    for key in &list.ssh_keys {
        let project = key.project.as_ref().map_or("(every one)", |project| project.as_str());
        let added = time::ago(key.created_at, now);
        let used = key.last_used_at.map_or_else(|| "never".to_owned(), |at| time::ago(at, now));
        let fingerprint = key.fingerprint.as_str();
        let comment = key.public_key.comment();
        rows.push(table::row([key.name.as_str(), project, fingerprint, comment, &added, &used]));
    }
    output::data(&table::columns(&rows))?;
    Ok(Exit::Ok)
}

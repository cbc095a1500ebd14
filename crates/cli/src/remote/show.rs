//! `havre remote show`: where the repository is fetched from, and what its forge was told; the tokens are never shown.

use havre_api::remote::Remote;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, printable, time};
use crate::pipeline::told;
use crate::remote::{commented, commenting, how, key, path, telling};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let project = invocation.scope()?.project;
    let remote: Remote = invocation.client()?.get(&path(&project)).await?;
    if invocation.global.json {
        output::json(&remote)?;
        return Ok(Exit::Ok);
    }
    let mut text = format!("{} ({})\n", remote.url, how(&remote));
    for line in remote.ssh.iter().flat_map(key::lines) {
        text.push_str(&format!("{}\n", printable(&line)));
    }
    text.push_str(&format!("{}\n", printable(&telling(&remote))));
    if let Some(last) = &remote.status.last {
        text.push_str(&format!("{}: {}\n", last.pipeline, printable(&told(last, time::now()))));
    }
    text.push_str(&format!("{}\n", printable(&commenting(&remote))));
    if let Some(last) = &remote.comments.last {
        text.push_str(&format!("{}\n", printable(&commented(last, time::now()))));
    }
    output::data(&text)?;
    Ok(Exit::Ok)
}

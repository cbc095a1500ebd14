//! The two ends of a push to the fake source: what the client asks for, and what it is told. Tests: those of the source.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::SourceError;
use crate::pkt::{self, Band, FLUSH};
use crate::push::{Capabilities, Command, Head, HeadReader};

/// What receive-pack answers.
pub(super) fn report(
    commands: &[Command],
    results: &[Result<(), &'static str>],
    capabilities: Capabilities,
) -> Vec<u8> {
    let mut report = Vec::new();
    pkt::encode(&mut report, b"unpack ok\n");
    for (command, result) in commands.iter().zip(results) {
        let line = match result {
            Ok(()) => format!("ok {}\n", command.name),
            Err(reason) => format!("ng {} {reason}\n", command.name),
        };
        pkt::encode(&mut report, line.as_bytes());
    }
    report.extend_from_slice(FLUSH);
    let mut answer = Vec::new();
    match (capabilities.side_band, capabilities.report_status) {
        (true, is_wanted) => {
            if is_wanted {
                pkt::encode_band(&mut answer, Band::Data, &report);
            }
            answer.extend_from_slice(FLUSH);
        }
        (false, true) => answer = report,
        (false, false) => {}
    }
    answer
}

/// Reads the head of a push. The rest of the request is thrown away beside everything else: its end may come after the answer.
pub(super) async fn read_head(
    mut input: mpsc::Receiver<std::io::Result<Bytes>>,
) -> Result<Head, SourceError> {
    let refused = |reason: String| SourceError::Refused { reason };
    let mut reader = HeadReader::new();
    loop {
        let Some(chunk) = input.recv().await else {
            return Err(refused("the push ended before it said what it wants; try again".to_owned()));
        };
        let chunk = chunk.map_err(|error| SourceError::failed("read the request to its end", error))?;
        if reader.push(&chunk).map_err(|error| refused(error.to_string()))? {
            break;
        }
    }
    tokio::spawn(async move { while input.recv().await.is_some() {} });
    Ok(reader.into_parts().0)
}

//! A line of the access log: plain formatting into a buffer that exists already. What may be kept of a request is
//! decided by `settings`, and applied here and nowhere else. Tests at the end of the file.

use std::io::Write as _;

use super::record::{Record, Words};
use super::settings::Format;

/// Longest host and path that are kept.
const MOST_HOST: usize = 255;
const MOST_PATH: usize = 1024;

/// What of a request line is kept while the request runs, escaped already.
pub(super) fn words(out: &mut Vec<u8>, format: Format, words: Words<'_>, keeps_query: bool) {
    let path = if keeps_query { words.target } else { words.target.split('?').next().unwrap_or("") };
    match format {
        Format::Json => {
            out.extend_from_slice(b"\"method\":\"");
            escape(out, words.method, 32);
            out.extend_from_slice(b"\",\"host\":\"");
            escape(out, words.host, MOST_HOST);
            out.extend_from_slice(b"\",\"path\":\"");
            escape(out, path, MOST_PATH);
            out.extend_from_slice(b"\",");
        }
        Format::Text => {
            for (word, most) in [(words.method, 32), (words.host, MOST_HOST), (path, MOST_PATH)] {
                if word.is_empty() {
                    out.push(b'-');
                }
                escape(out, word, most);
                out.push(b' ');
            }
        }
    }
}

/// Copies text; what is not visible ASCII, and what would end a string or a word, becomes `\uNNNN`.
fn escape(out: &mut Vec<u8>, text: &str, most: usize) {
    let bytes = text.as_bytes();
    let (bytes, is_cut) = bytes.get(..most).map_or((bytes, false), |start| (start, bytes.len() > most));
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(is_plain) {
        out.extend_from_slice(bytes);
    } else {
        for byte in bytes {
            if is_plain(byte) {
                out.push(*byte);
            } else {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    if is_cut {
        out.extend_from_slice(b"...");
    }
}

/// Appends one line. `second` is the start of the request without its fraction.
pub(super) fn write(out: &mut Vec<u8>, format: Format, at: (&[u8], u16), record: &Record, micros: u64) {
    match format {
        Format::Json => json(out, at, record, micros),
        Format::Text => text(out, at, record, micros),
    }
    out.push(b'\n');
}

fn json(out: &mut Vec<u8>, (second, milli): (&[u8], u16), record: &Record, micros: u64) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(second);
    fraction(out, milli);
    out.extend_from_slice(b"Z\",");
    if !record.client().is_empty() {
        out.extend_from_slice(b"\"client\":\"");
        out.extend_from_slice(record.client());
        out.extend_from_slice(b"\",");
    }
    out.extend_from_slice(record.words());
    out.extend_from_slice(b"\"status\":");
    number(out, record.status.into());
    out.extend_from_slice(b",\"ms\":");
    number(out, micros / 1000);
    fraction(out, u16::try_from(micros % 1000).unwrap_or(0));
    out.extend_from_slice(b",\"in\":");
    number(out, record.received);
    out.extend_from_slice(b",\"out\":");
    number(out, record.sent);
    if let Some(series) = &record.series {
        quoted(out, series.kind, &series.name);
        quoted(out, "release", &series.release);
    }
    if let Some(upstream) = &record.upstream {
        quoted(out, "task", &upstream.task);
    }
    if record.retries > 0 {
        out.extend_from_slice(b",\"retries\":");
        number(out, record.retries.into());
    }
    quoted(out, "reason", record.reason);
    quoted(out, "protocol", record.protocol);
    quoted(out, "id", record.id());
    out.push(b'}');
}

fn quoted(out: &mut Vec<u8>, key: &str, value: &str) {
    if !value.is_empty() {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":\"");
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    }
}

fn text(out: &mut Vec<u8>, (second, milli): (&[u8], u16), record: &Record, micros: u64) {
    out.extend_from_slice(second);
    fraction(out, milli);
    out.extend_from_slice(b"Z ");
    out.extend_from_slice(if record.client().is_empty() { b"-" } else { record.client() });
    out.push(b' ');
    out.extend_from_slice(if record.words().is_empty() { b"- - - " } else { record.words() });
    number(out, record.status.into());
    out.push(b' ');
    number(out, micros / 1000);
    fraction(out, u16::try_from(micros % 1000).unwrap_or(0));
    for count in [record.received, record.sent] {
        out.push(b' ');
        number(out, count);
    }
    let (name, release) = record.series.as_ref().map_or(("", ""), |series| (&*series.name, &*series.release));
    let task = record.upstream.as_ref().map_or("", |upstream| upstream.task.as_str());
    for word in [name, release, task] {
        out.push(b' ');
        out.extend_from_slice(if word.is_empty() { b"-" } else { word.as_bytes() });
    }
    out.push(b' ');
    number(out, record.retries.into());
    for word in [record.reason, record.protocol, record.id()] {
        out.push(b' ');
        out.extend_from_slice(if word.is_empty() { b"-" } else { word.as_bytes() });
    }
}

fn fraction(out: &mut Vec<u8>, thousandths: u16) {
    let digit = |value: u16| b'0' + u8::try_from(value % 10).unwrap_or(0);
    out.extend_from_slice(&[b'.', digit(thousandths / 100), digit(thousandths / 10), digit(thousandths)]);
}

fn number(out: &mut Vec<u8>, value: u64) {
    crate::proxy::number(out, value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(format: Format, target: &str, keeps_query: bool) -> String {
        let mut out = Vec::new();
        words(&mut out, format, Words { method: "GET", host: "app.example", target }, keeps_query);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_query_stays_out_unless_it_is_asked_for() {
        assert_eq!(kept(Format::Text, "/a?token=x", false), "GET app.example /a ");
        assert_eq!(kept(Format::Text, "/a?token=x", true), "GET app.example /a?token=x ");
    }

    proptest! {
        #[test]
        fn no_target_breaks_out_of_its_line(target in ".*") {
            let json = kept(Format::Json, &target, true);
            prop_assert!(!json.contains('\n'));
            let object: serde_json::Value = serde_json::from_str(&format!("{{{json}\"end\":1}}")).unwrap();
            prop_assert_eq!(&object["end"], 1);
            let text = kept(Format::Text, &target, true);
            prop_assert_eq!(text.trim_end().split(' ').count(), 3, "{}", text);
        }
    }
}

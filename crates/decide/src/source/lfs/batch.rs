//! What somebody who pushes to Havre asks of it as a server of Git LFS, and what is answered (git-lfs, "Batch API"). Whether a content is here
//! is asked elsewhere. Tests at the end of the file.

use std::fmt;

use havre_core::artifact::Digest;
use havre_core::quantity::ByteSize;
use havre_core::secret::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::is_deep;

/// Most bytes of a question.
pub const BODY_MAX: usize = 512 * 1024;
/// Most contents of one question; `git lfs` asks for a hundred.
pub const OBJECTS_MAX: usize = 1000;
/// Largest content. A context has at most 512 MB, but not everything in a repository is built.
pub const OBJECT_MAX: ByteSize = ByteSize::mebibytes(2048);
/// Most contents that were pushed to a project.
pub const CONTENTS_MAX: usize = 20_000;
/// Most bytes of all contents that were pushed to a project.
pub const PROJECT_MAX: ByteSize = ByteSize::mebibytes(10 * 1024);
/// Room on the disk that contents of Git LFS leave to everything else.
pub const FLOOR: ByteSize = ByteSize::mebibytes(1024);

/// What is to be done with the contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// They are fetched.
    Download,
    /// They are pushed.
    Upload,
}

/// A content as whoever asks knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its SHA-256.
    pub oid: Digest,
    /// Its bytes.
    pub size: u64,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What for.
    pub operation: Operation,
    /// About which contents, in the order of the answer.
    pub objects: Vec<Asked>,
}

/// Why a question is refused, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Too many contents, or too many bytes.
    #[error("the question is over a limit: at most {} contents and {} bytes at once", OBJECTS_MAX, BODY_MAX)]
    TooLarge,
    /// Not what `git lfs` sends.
    #[error("this is not what `git lfs` asks: {0}")]
    Malformed(String),
    /// It is neither pushed nor fetched.
    #[error("the operation is neither `upload` nor `download`")]
    Operation,
    /// No common transfer.
    #[error("only the transfer `basic` is spoken here, and this client offers others alone")]
    Transfer,
    /// Contents by something else than SHA-256.
    #[error("contents are named by SHA-256 here, and by nothing else")]
    Hash,
    /// A name that is none.
    #[error("a content is named by something else than 64 of 0-9 and a-f")]
    Oid,
}

#[derive(Deserialize)]
struct Question {
    operation: String,
    transfers: Option<Vec<String>>,
    hash_algo: Option<String>,
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    size: u64,
}

/// Reads a question of the batch API.
///
/// # Errors
/// See [`BatchError`].
pub fn parse(body: &[u8]) -> Result<Batch, BatchError> {
    let question: Question = read(body)?;
    let operation = match question.operation.as_str() {
        "download" => Operation::Download,
        "upload" => Operation::Upload,
        _ => return Err(BatchError::Operation),
    };
    // Where none is named, it is the basic one.
    let transfers = question.transfers.unwrap_or_default();
    if !transfers.is_empty() && !transfers.iter().any(|transfer| transfer == "basic") {
        return Err(BatchError::Transfer);
    }
    if question.hash_algo.is_some_and(|algorithm| algorithm != "sha256") {
        return Err(BatchError::Hash);
    }
    if question.objects.len() > OBJECTS_MAX {
        return Err(BatchError::TooLarge);
    }
    let objects = question.objects.into_iter().map(asked).collect::<Result<_, _>>()?;
    Ok(Batch { operation, objects })
}

/// Reads a question whether one content has arrived.
///
/// # Errors
/// See [`BatchError`].
pub fn parse_verify(body: &[u8]) -> Result<Asked, BatchError> {
    asked(read(body)?)
}

/// Reads the name of a content in a path.
///
/// # Errors
/// [`BatchError::Oid`]
pub fn parse_oid(text: &str) -> Result<Digest, BatchError> {
    // A digest may be written with its algorithm.
    if text.len() == 64 { text.parse().map_err(|_| BatchError::Oid) } else { Err(BatchError::Oid) }
}

fn read<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, BatchError> {
    if body.len() > BODY_MAX {
        return Err(BatchError::TooLarge);
    }
    if is_deep(body) {
        return Err(BatchError::Malformed("it is nested too deep".to_owned()));
    }
    // The parser's words may hold what was sent.
    serde_json::from_slice(body).map_err(|error| {
        BatchError::Malformed(format!("line {}, column {} is wrong", error.line(), error.column()))
    })
}

fn asked(object: Object) -> Result<Asked, BatchError> {
    Ok(Asked { oid: parse_oid(&object.oid)?, size: object.size })
}

/// Who asks, and where contents go.
pub struct Door<'a> {
    /// The address of this server of Git LFS, `https://havre.example.org/git/dropit.git/info/lfs`.
    pub address: &'a str,
    /// What whoever asks has proved with who it is, to be sent with what follows: `git lfs` sends a whole content without it first, and again with it.
    pub authorization: Option<&'a Secret>,
    /// Bytes that may still come.
    pub room: u64,
}

impl fmt::Debug for Door<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({})", self.address)
    }
}

/// The answer, where `found` says of each content how many bytes of it are here.
pub fn answer(batch: &Batch, found: &[Option<u64>], door: &Door<'_>) -> Value {
    let mut room = door.room;
    let places = found.iter().copied().chain(std::iter::repeat(None));
    let objects: Vec<Value> = batch
        .objects
        .iter()
        .zip(places)
        .map(|(asked, found)| match offer(batch.operation, asked, found, &mut room) {
            Ok(Offer::Here) => json!({ "oid": asked.oid.hex(), "size": asked.size }),
            Ok(Offer::Download) => with_actions(asked, json!({ "download": action(asked, door) })),
            Ok(Offer::Upload) => {
                let verify = call(format!("{}/verify", door.address), door);
                with_actions(asked, json!({ "upload": action(asked, door), "verify": verify }))
            }
            Err((code, message)) => {
                let error = json!({ "code": code, "message": message });
                json!({ "oid": asked.oid.hex(), "size": asked.size, "error": error })
            }
        })
        .collect();
    json!({ "transfer": "basic", "objects": objects, "hash_algo": "sha256" })
}

enum Offer {
    /// Nothing is to be done.
    Here,
    Download,
    Upload,
}

/// What is done about one content, or the code and the words of an error.
fn offer(
    operation: Operation,
    asked: &Asked,
    found: Option<u64>,
    room: &mut u64,
) -> Result<Offer, (u16, String)> {
    match (operation, found) {
        (_, Some(bytes)) if bytes != asked.size => {
            Err((422, format!("it has {bytes} bytes here, and the pointer says {}: the pointer is wrong", asked.size)))
        }
        (Operation::Download, Some(_)) => Ok(Offer::Download),
        (Operation::Download, None) => Err((
            404,
            "it was not pushed to this server: whoever has it runs `git lfs push --all` with the name of this remote".to_owned(),
        )),
        (Operation::Upload, Some(_)) => Ok(Offer::Here),
        (Operation::Upload, None) if asked.size > OBJECT_MAX.as_bytes() => {
            Err((422, format!("it has {} bytes, and the limit for one content is {OBJECT_MAX}", asked.size)))
        }
        // One without bytes needs room as well.
        (Operation::Upload, None) => match room.checked_sub(asked.size.max(1)) {
            Some(left) => {
                *room = left;
                Ok(Offer::Upload)
            }
            None => Err((
                507,
                format!(
                    "there is no room for it: a project keeps {PROJECT_MAX} of Git LFS in {CONTENTS_MAX} contents, and {FLOOR} of the disk stay \
                     free"
                ),
            )),
        },
    }
}

fn with_actions(asked: &Asked, actions: Value) -> Value {
    json!({ "oid": asked.oid.hex(), "size": asked.size, "actions": actions })
}

fn action(asked: &Asked, door: &Door<'_>) -> Value {
    call(format!("{}/objects/{}", door.address, asked.oid.hex()), door)
}

fn call(href: String, door: &Door<'_>) -> Value {
    match door.authorization {
        Some(line) => {
            let line = String::from_utf8_lossy(line.expose());
            json!({ "href": href, "header": { "Authorization": line } })
        }
        None => json!({ "href": href }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof};

    use super::*;

    const ADDRESS: &str = "https://havre.example.org/git/dropit.git/info/lfs";

    fn oid(digit: &str) -> String {
        digit.repeat(64)
    }

    fn question(operation: &str, objects: &Value) -> Vec<u8> {
        // As git-lfs 3.3 sends it.
        let question = json!({
            "operation": operation, "objects": objects, "transfers": ["lfs-standalone-file", "basic", "ssh"],
            "ref": { "name": "refs/heads/main" }, "hash_algo": "sha256",
        });
        question.to_string().into_bytes()
    }

    fn door(room: u64) -> Door<'static> {
        Door { address: ADDRESS, authorization: None, room }
    }

    #[test]
    fn what_is_not_here_is_sent_and_verified() {
        let objects = json!([{ "oid": oid("a"), "size": 7 }, { "oid": oid("b"), "size": 8 }]);
        let batch = parse(&question("upload", &objects)).expect("is one");
        let answer = answer(&batch, &[None, Some(8)], &door(7));
        let expected = json!({
            "transfer": "basic", "hash_algo": "sha256",
            "objects": [
                { "oid": oid("a"), "size": 7, "actions": {
                    "upload": { "href": format!("{ADDRESS}/objects/{}", oid("a")) },
                    "verify": { "href": format!("{ADDRESS}/verify") },
                } },
                { "oid": oid("b"), "size": 8 },
            ],
        });
        assert_eq!(answer, expected);
    }

    #[test]
    fn who_asks_is_said_with_every_call() {
        let objects = json!([{ "oid": oid("a"), "size": 7 }]);
        let batch = parse(&question("upload", &objects)).expect("is one");
        let line = Secret::from("Bearer planted".to_owned());
        let door = Door { address: ADDRESS, authorization: Some(&line), room: 7 };
        assert!(!format!("{door:?}").contains("planted"));
        let answer = answer(&batch, &[None], &door);
        for name in ["upload", "verify"] {
            let call = &answer["objects"][0]["actions"][name];
            assert_eq!(call["header"], json!({ "Authorization": "Bearer planted" }));
        }
    }

    #[test]
    fn what_cannot_be_done_says_why() {
        let objects = json!([{ "oid": oid("a"), "size": 7 }]);
        let large = json!([{ "oid": oid("a"), "size": OBJECT_MAX.as_bytes() + 1 }]);
        for (operation, objects, found, room, code) in [
            ("download", &objects, None, 100, 404),
            ("download", &objects, Some(6), 100, 422),
            ("upload", &objects, Some(6), 100, 422),
            ("upload", &objects, None, 6, 507),
            ("upload", &large, None, u64::MAX, 422),
        ] {
            let batch = parse(&question(operation, objects)).expect("is one");
            let answer = answer(&batch, &[found], &door(room));
            assert_eq!(answer["objects"][0]["error"]["code"], code, "{operation}: {answer}");
            assert!(answer["objects"][0].get("actions").is_none());
        }
        let two = json!([{ "oid": oid("a"), "size": 7 }, { "oid": oid("b"), "size": 7 }]);
        let batch = parse(&question("upload", &two)).expect("is one");
        let answer = answer(&batch, &[None, None], &door(13));
        assert_eq!(answer["objects"][1]["error"]["code"], 507, "together they are too large: {answer}");
    }

    #[test]
    fn what_is_no_question() {
        let empty = json!([]);
        let text = |change: (&str, &str)| {
            String::from_utf8(question("upload", &empty))
                .expect("is text")
                .replace(change.0, change.1)
                .into_bytes()
        };
        assert_eq!(parse(&text(("upload", "remove"))), Err(BatchError::Operation));
        assert_eq!(parse(&text(("basic", "tus"))), Err(BatchError::Transfer));
        assert_eq!(parse(&text(("sha256", "sha512"))), Err(BatchError::Hash));
        let none = br#"{"operation":"download","objects":[]}"#;
        assert_eq!(parse(none), Ok(Batch { operation: Operation::Download, objects: Vec::new() }));
        for wrong in [&b""[..], b"[]", b"{}", b"{\"operation\":1}", b"\xff"] {
            assert!(matches!(parse(wrong), Err(BatchError::Malformed(_))), "{}", wrong.escape_ascii());
        }
        let deep = format!("{{\"a\":{}", "[".repeat(100));
        assert!(matches!(parse(deep.as_bytes()), Err(BatchError::Malformed(_))));
        assert_eq!(parse(&vec![b' '; BODY_MAX + 1]), Err(BatchError::TooLarge));
        let object = json!({ "oid": oid("a"), "size": 1 });
        let many = |count: usize| question("upload", &json!(vec![object.clone(); count]));
        assert_eq!(parse(&many(OBJECTS_MAX)).expect("is one").objects.len(), OBJECTS_MAX);
        assert_eq!(parse(&many(OBJECTS_MAX + 1)), Err(BatchError::TooLarge));
        for wrong in
            [oid("A"), oid("g"), "a".repeat(63), format!("sha256:{}", "a".repeat(57)), "../x".to_owned()]
        {
            let objects = json!([{ "oid": wrong, "size": 1 }]);
            assert_eq!(parse(&question("upload", &objects)), Err(BatchError::Oid), "{wrong}");
            assert_eq!(parse_oid(&wrong), Err(BatchError::Oid));
        }
        for size in [json!(-1), json!(1.5), json!("1"), json!(null)] {
            let objects = json!([{ "oid": oid("a"), "size": size }]);
            assert!(matches!(parse(&question("upload", &objects)), Err(BatchError::Malformed(_))), "{size}");
        }
    }

    #[test]
    fn whether_one_has_arrived() {
        let body = format!("{{\"oid\":\"{}\",\"size\":6}}", oid("a"));
        let asked = parse_verify(body.as_bytes()).expect("is a question");
        assert_eq!((asked.oid.hex(), asked.size), (oid("a").as_str(), 6));
        assert!(parse_verify(b"{}").is_err());
    }

    fn found() -> impl Strategy<Value = Option<u64>> {
        prop_oneof![Just(None), (0_u64..20).prop_map(Some)]
    }

    proptest::proptest! {
        #[test]
        fn never_more_is_taken_than_there_is_room_for(
            sizes in proptest::collection::vec((0_u64..20, found()), 0..12),
            room in 0_u64..60,
            is_upload in any::<bool>(),
        ) {
            let objects: Vec<Value> =
                sizes.iter().enumerate().map(|(place, (size, _))| json!({ "oid": format!("{place:064x}"), "size": size })).collect();
            let operation = if is_upload { "upload" } else { "download" };
            let batch = parse(&question(operation, &json!(objects))).expect("is one");
            let found: Vec<Option<u64>> = sizes.iter().map(|(_, found)| *found).collect();
            let answer = answer(&batch, &found, &door(room));
            let answered = answer["objects"].as_array().expect("a list");
            proptest::prop_assert_eq!(answered.len(), sizes.len());
            let taken = answered.iter().filter(|one| one["actions"]["upload"].is_object());
            let taken: u64 = taken.map(|one| one["size"].as_u64().expect("a size")).sum();
            proptest::prop_assert!(taken <= room);
            for (one, (size, found)) in answered.iter().zip(&sizes) {
                let is_offered = one["actions"]["download"].is_object();
                proptest::prop_assert_eq!(is_offered, !is_upload && *found == Some(*size));
            }
        }

        #[test]
        fn whatever_comes_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(batch) = parse(&body) {
                proptest::prop_assert!(batch.objects.len() <= OBJECTS_MAX);
            }
            let _ = parse_verify(&body);
        }
    }
}

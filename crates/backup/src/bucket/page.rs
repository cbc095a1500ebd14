//! One page of a list of objects. A page that is not whole is an error: what is missing from a list looks like something that nobody
//! needs, and the next prune would act on it. The parser takes a text that ends between two elements for a whole one, so the end is
//! looked for here. Tests at the end of the file.

use rusty_s3::actions::ListObjectsV2;

/// What ends every page.
const END: &str = "</ListBucketResult>";
/// Says whether there are more.
const TRUNCATED: &str = "<IsTruncated>";

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// Names and sizes in bytes.
    pub(super) objects: Vec<(String, u64)>,
    /// What to ask for the next one with; nothing where this was the last.
    pub(super) next: Option<String>,
}

/// Reads a page.
///
/// # Errors
/// Says why it is not a whole one.
pub(super) fn parse(body: &[u8]) -> Result<Page, String> {
    let text = std::str::from_utf8(body).map_err(|_| "a page of a list is not UTF-8".to_owned())?;
    if !text.trim_end().ends_with(END) {
        return Err("a page of a list ends before its end".to_owned());
    }
    if !text.contains(TRUNCATED) {
        return Err("a page of a list does not say whether there are more".to_owned());
    }
    let read = ListObjectsV2::parse_response(text)
        .map_err(|error| format!("a page of a list cannot be read: {error}"))?;
    let mut objects = Vec::with_capacity(read.contents.len());
    for object in read.contents {
        let size = object.size.ok_or_else(|| "a page of a list has an object without a size".to_owned())?;
        objects.push((object.key, size));
    }
    Ok(Page { objects, next: read.next_continuation_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rest: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Name>b</Name><Contents><Key>data/aa/1</Key><Size>11</Size><ETag>&#34;x&#34;</ETag></Contents>\
            <Contents><Key>data/aa/2</Key><Size>12</Size></Contents>{rest}</ListBucketResult>"
        )
    }

    #[test]
    fn a_page_says_what_there_is_and_whether_there_is_more() {
        let objects = vec![("data/aa/1".to_owned(), 11), ("data/aa/2".to_owned(), 12)];
        let last = parse(page("<IsTruncated>false</IsTruncated>").as_bytes());
        assert_eq!(last, Ok(Page { objects: objects.clone(), next: None }));
        let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t/1=</NextContinuationToken>";
        assert_eq!(parse(page(more).as_bytes()), Ok(Page { objects, next: Some("t/1=".to_owned()) }));
        for wrong in ["", "<IsTruncated>true</IsTruncated>", "<IsTruncated>perhaps</IsTruncated>"] {
            assert!(parse(page(wrong).as_bytes()).is_err(), "{wrong}");
        }
        let nameless = page("<IsTruncated>false</IsTruncated>").replace("<Size>12</Size>", "");
        assert!(parse(nameless.as_bytes()).is_err());
    }

    #[test]
    fn a_page_that_is_cut_anywhere_is_none() {
        let whole = page("<IsTruncated>false</IsTruncated>");
        for length in 0..whole.len() {
            assert!(parse(&whole.as_bytes()[..length]).is_err(), "cut after {length} bytes");
        }
        assert!(parse(format!("{whole}\n").as_bytes()).is_ok());
    }

    #[test]
    fn something_else_is_none() {
        for other in ["", "<html></html>", "</ListBucketResult>", "<IsTruncated></ListBucketResult>"] {
            assert!(parse(other.as_bytes()).is_err(), "{other}");
        }
    }
}

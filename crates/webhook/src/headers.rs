//! The header lines of one delivery, as names and values, so that this crate needs no HTTP library. Not a map: that a header came
//! twice matters here. Tests at the end of the file.

use std::fmt;

/// Header lines in the order they came.
///
/// From an `http::HeaderMap`:
/// ```ignore
/// let lines: Vec<_> = map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
/// let headers = Headers::new(&lines);
/// ```
#[derive(Clone, Copy)]
pub struct Headers<'h> {
    lines: &'h [(&'h str, &'h [u8])],
}

/// A header that may be there once came more often, so nobody can tell which line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the delivery has several lines of header `{header}`, where one is right: look for a proxy on its way that adds one"
)]
pub struct Several {
    /// The header.
    pub header: &'static str,
}

impl<'h> Headers<'h> {
    /// A view of these lines.
    pub const fn new(lines: &'h [(&'h str, &'h [u8])]) -> Self {
        Self { lines }
    }

    /// The value of a header that may come once at most, without white space around it.
    ///
    /// # Errors
    /// It came more often.
    pub fn one(&self, header: &'static str) -> Result<Option<&'h [u8]>, Several> {
        let mut found = None;
        for (name, value) in self.lines {
            if !name.eq_ignore_ascii_case(header) {
                continue;
            }
            if found.is_some() {
                return Err(Several { header });
            }
            found = Some(value.trim_ascii());
        }
        Ok(found)
    }

    /// The first of these headers that is there, with its name.
    ///
    /// # Errors
    /// It came more than once.
    pub fn first(
        &self,
        headers: &'static [&'static str],
    ) -> Result<Option<(&'static str, &'h [u8])>, Several> {
        for &header in headers {
            if let Some(value) = self.one(header)? {
                return Ok(Some((header, value)));
            }
        }
        Ok(None)
    }
}

/// Names only: among the values are secrets.
impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lines.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_values_no_margin() {
        let lines: [(&str, &[u8]); 4] = [("X-A", b" 1 "), ("x-b", b"2"), ("x-b", b"2"), ("x-c", b"")];
        let headers = Headers::new(&lines);
        assert_eq!(headers.one("x-a"), Ok(Some(&b"1"[..])));
        assert_eq!(headers.one("X-B"), Err(Several { header: "X-B" }));
        assert_eq!(headers.one("x-c"), Ok(Some(&b""[..])));
        assert_eq!(headers.one("x-d"), Ok(None));
        assert_eq!(headers.first(&["x-d", "x-a"]), Ok(Some(("x-a", &b"1"[..]))));
        assert_eq!(headers.first(&["x-d"]), Ok(None));
        assert_eq!(headers.first(&["x-b", "x-a"]), Err(Several { header: "x-b" }));
    }

    #[test]
    fn values_are_not_printed() {
        let lines: [(&str, &[u8]); 1] = [("authorization", b"Bearer hush")];
        assert_eq!(format!("{:?}", Headers::new(&lines)), "{\"authorization\"}");
    }
}

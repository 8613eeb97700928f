//! Paths of data files: decoded once from the log, and held inside the table.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::error::{FormatError, Result, printable};

/// What the path part of an RFC 2396 URI may not hold as it is. Letters, digits, `-_.!~*'()` and `:@&=+$,;/` may.
const QUOTED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// In a first segment a colon would end a scheme.
const QUOTED_FIRST_SEGMENT: &AsciiSet = &QUOTED.add(b':');

/// The two forms of a data file's path.
///
/// In the log (`add.path`, `remove.path`, `cdc.path`) it is a URI; on storage it is the decoded path relative to the
/// table's root. It is decoded exactly once: `a%2520b` in the log is the file `a%20b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataPath {}

impl DataPath {
    /// The path on storage, relative to the table's root, of a path in the log.
    ///
    /// # Errors
    /// [`FormatError::PathEscapesTable`] if the path is empty or absolute, has a scheme, a segment that is empty, `.` or
    /// `..` (before or after decoding, behind a slash or a backslash), a NUL, or does not decode to UTF-8. One leading
    /// `./` is taken off, as RFC 2396 asks for names such as `./a:b`.
    pub fn decode(encoded: &str) -> Result<String> {
        if let Some(scheme) = scheme(encoded) {
            return Err(escapes(encoded, format!("it has the scheme {}", printable(scheme))));
        }
        let relative = encoded.strip_prefix("./").unwrap_or(encoded);
        let decoded = percent_decode_str(relative)
            .decode_utf8()
            .map_err(|_| escapes(encoded, "it does not decode to UTF-8".into()))?;
        DataPath::check(&decoded, encoded)?;
        Ok(decoded.into_owned())
    }

    /// What goes into the log for a path on storage.
    ///
    /// ASCII is quoted as Spark quotes it, and all else too, since RFC 2396 knows only ASCII.
    pub fn encode(relative: &str) -> String {
        let (first, rest) = relative.split_at(relative.find('/').unwrap_or(relative.len()));
        format!("{}{}", utf8_percent_encode(first, QUOTED_FIRST_SEGMENT), utf8_percent_encode(rest, QUOTED))
    }

    /// What two paths in the log have in common that name one file: a local one can be given as an absolute path or as a
    /// URI with an empty authority or none. The protocol does not say so; Spark compares them so.
    pub(crate) fn identity(encoded: &str) -> &str {
        let Some(local) = encoded.strip_prefix("file:") else { return encoded };
        let rooted = local.strip_prefix("//").unwrap_or(local);
        if rooted.starts_with('/') { rooted } else { encoded }
    }

    /// Checks that a decoded path stays inside the table; `shown` is the text that an error shows.
    pub(crate) fn check(decoded: &str, shown: &str) -> Result<()> {
        let refuse = |what: &str| Err(escapes(shown, what.into()));
        if decoded.is_empty() {
            return refuse("it is empty");
        }
        if decoded.contains('\0') {
            return refuse("it holds a NUL");
        }
        if decoded.starts_with(['/', '\\']) || drive_letter(decoded) {
            return refuse("it is absolute");
        }
        if decoded.split(['/', '\\']).any(|segment| segment == "..") {
            return refuse("it goes up by ..");
        }
        if decoded.split('/').any(|segment| segment.is_empty() || segment == ".") {
            return refuse("it has a segment that names nothing");
        }
        Ok(())
    }
}

/// The scheme of a URI: what stands before a colon in the first segment, if it can be one.
pub(super) fn scheme(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split('/').next()?.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    valid.then_some(scheme)
}

/// Whether the path starts as `C:\` or `C:/` does.
fn drive_letter(path: &str) -> bool {
    matches!(path.as_bytes(), [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic())
}

pub(super) fn escapes(path: &str, what: String) -> FormatError {
    FormatError::PathEscapesTable { path: printable(path), what }
}

//! Folders of partitioned tables: `year=2024/region=a%2Fb`.
//!
//! The protocol gives these names no meaning: values are read from the log. They are written as Hive and Spark do, so that
//! people and tools that list the folder find what they expect.

/// Stands for a null value in the name of a folder.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The folder of the files with these partition values, `None` for null; empty without columns, and without a slash at
/// the end. It is a decoded path: what goes into the log is its [`DataPath::encode`](super::DataPath::encode).
pub fn partition_directory(columns: &[(impl AsRef<str>, Option<&str>)]) -> String {
    let mut out = String::new();
    for (name, value) in columns {
        if !out.is_empty() {
            out.push('/');
        }
        escape_into(name.as_ref(), &mut out);
        out.push('=');
        match value {
            // The protocol has no empty partition value: it reads as null.
            None | Some("") => out.push_str(NULL_PARTITION),
            Some(value) => escape_into(value, &mut out),
        }
    }
    out
}

/// The columns and values that the folders of a path tell: the inverse of [`partition_directory`], but that no empty value comes
/// back. Folders that tell none are passed over.
///
/// ```
/// use floe_table_format::path::parse_partition_directory;
///
/// let told = parse_partition_directory("data/region=a%2Fb/year=__HIVE_DEFAULT_PARTITION__");
/// assert_eq!(told, [("region".to_owned(), Some("a/b".to_owned())), ("year".to_owned(), None)]);
/// ```
pub fn parse_partition_directory(folder: &str) -> Vec<(String, Option<String>)> {
    let unescaped = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let told = folder.split('/').filter_map(|part| part.split_once('='));
    told.map(|(name, value)| (unescaped(name), (value != NULL_PARTITION).then(|| unescaped(value)))).collect()
}

fn escape_into(text: &str, out: &mut String) {
    for c in text.chars() {
        let escaped = c.is_ascii_control()
            || matches!(c, '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^');
        if escaped {
            // All of them are ASCII, so the character is one byte.
            out.push_str(&format!("%{:02X}", c as u32));
        } else {
            out.push(c);
        }
    }
}

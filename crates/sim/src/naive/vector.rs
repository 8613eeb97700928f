//! Deletion vectors and path spellings, read by hand. Protocol section "Deletion Vectors".

use std::collections::BTreeSet;

use roaring::RoaringTreemap;
use serde_json::{Value, json};

use crate::disk::Disk;

const MAGIC: u32 = 1_681_511_377;
const Z85: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// The identity of a deletion vector, as the protocol forms it.
///
/// # Errors
/// A descriptor without the fields it needs, in words.
pub(crate) fn identity(descriptor: &Value) -> Result<String, String> {
    let text = format!("{}{}", field(descriptor, "storageType")?, field(descriptor, "pathOrInlineDv")?);
    Ok(match descriptor.get("offset").and_then(Value::as_i64) {
        Some(offset) => format!("{text}@{offset}"),
        None => text,
    })
}

/// The object below the table's root that holds the vector; none for an inline one.
///
/// # Errors
/// A descriptor without the fields it needs, or of a kind Floe does not write.
pub(crate) fn object_name(descriptor: &Value) -> Result<Option<String>, String> {
    let path = field(descriptor, "pathOrInlineDv")?;
    match field(descriptor, "storageType")? {
        "i" => Ok(None),
        "u" => {
            let at = path.len().checked_sub(20).ok_or("a vector's path is shorter than a UUID")?;
            let (prefix, encoded) = path.split_at(at);
            let id = z85_decoded(encoded)?;
            let id: [u8; 16] = id.try_into().map_err(|_| "a vector's UUID has not 16 bytes")?;
            let slash = if prefix.is_empty() { "" } else { "/" };
            Ok(Some(format!("{prefix}{slash}deletion_vector_{}.bin", uuid::Uuid::from_bytes(id))))
        }
        other => Err(format!("a vector of storage type {other:?}")),
    }
}

/// The rows that a deletion vector marks, looked up below `root`.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn marked_rows(disk: &Disk, root: &str, descriptor: &Value) -> Result<BTreeSet<u64>, String> {
    let size = descriptor.get("sizeInBytes").and_then(Value::as_u64).ok_or("a vector without sizeInBytes")? as usize;
    let blob: Vec<u8> = match object_name(descriptor)? {
        None => {
            let mut bytes = z85_decoded(field(descriptor, "pathOrInlineDv")?)?;
            bytes.truncate(size);
            bytes
        }
        Some(name) => {
            let contents = disk.contents_ever(&format!("{root}{name}"));
            let file = contents.last().ok_or_else(|| format!("vector file {name} never existed"))?;
            let offset = descriptor.get("offset").and_then(Value::as_u64).unwrap_or(0) as usize;
            let stored = file.get(offset..offset + 4).ok_or("the vector lies beyond its file")?;
            if stored != (size as u32).to_be_bytes() {
                return Err(format!("vector file {name}: another size at offset {offset}"));
            }
            file.get(offset + 4..offset + 4 + size).ok_or("the vector lies beyond its file")?.to_vec()
        }
    };
    let (magic, bitmap) = blob.split_at_checked(4).ok_or("a vector shorter than its magic number")?;
    if magic != MAGIC.to_le_bytes() {
        return Err("a vector with a wrong magic number".into());
    }
    let rows = RoaringTreemap::deserialize_from(bitmap).map_err(|e| format!("a vector's bitmap: {e}"))?;
    if descriptor.get("cardinality").and_then(Value::as_u64) != Some(rows.len()) {
        return Err(format!("a vector of {} rows with another cardinality", rows.len()));
    }
    Ok(rows.iter().collect())
}

/// An inline deletion vector of these rows.
pub(crate) fn inline_descriptor(rows: &BTreeSet<u64>) -> Value {
    let bitmap: RoaringTreemap = rows.iter().copied().collect();
    let mut blob = MAGIC.to_le_bytes().to_vec();
    bitmap.serialize_into(&mut blob).expect("writing to memory");
    let size = blob.len();
    blob.resize(size.next_multiple_of(4), 0);
    json!({
        "storageType": "i",
        "pathOrInlineDv": z85_encoded(&blob),
        "sizeInBytes": size,
        "cardinality": rows.len(),
    })
}

/// A path of the log as the store spells it.
pub(crate) fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%').then(|| path.get(at + 1..at + 3)).flatten();
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn field<'a>(descriptor: &'a Value, name: &str) -> Result<&'a str, String> {
    descriptor.get(name).and_then(Value::as_str).ok_or_else(|| format!("a vector without {name}"))
}

fn z85_decoded(text: &str) -> Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(5) {
        return Err("z85 text of a wrong length".into());
    }
    let mut out = Vec::with_capacity(text.len() / 5 * 4);
    for group in text.as_bytes().chunks(5) {
        let mut word: u64 = 0;
        for c in group {
            let digit = Z85.iter().position(|z| z == c).ok_or("a character that is not z85")?;
            word = word * 85 + digit as u64;
        }
        let word = u32::try_from(word).map_err(|_| "z85 digits beyond 32 bits")?;
        out.extend(word.to_be_bytes());
    }
    Ok(out)
}

fn z85_encoded(bytes: &[u8]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(4) {
        let mut word = group.iter().fold(0u32, |word, b| word << 8 | u32::from(*b));
        let mut digits = [0u8; 5];
        for digit in digits.iter_mut().rev() {
            *digit = Z85[(word % 85) as usize];
            word /= 85;
        }
        out.extend(digits.iter().map(|d| char::from(*d)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn z85_knows_the_example_of_its_specification() {
        let bytes = [0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B];
        assert_eq!(z85_encoded(&bytes), "HelloWorld");
        assert_eq!(z85_decoded("HelloWorld"), Ok(bytes.to_vec()));
    }

    #[test]
    fn an_inline_vector_of_spark_reads() {
        let descriptor = json!({
            "storageType": "i",
            "pathOrInlineDv": "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L",
            "sizeInBytes": 44,
            "cardinality": 6
        });
        let rows = BTreeSet::from([3, 4, 7, 11, 18, 29]);
        assert_eq!(inline_descriptor(&rows), descriptor);
        assert_eq!(marked_rows(&Disk::default(), "", &descriptor), Ok(rows));
    }

    #[test]
    fn inline_vectors_come_back() {
        let rows = BTreeSet::from([0, 5, 70_000]);
        assert_eq!(marked_rows(&Disk::default(), "", &inline_descriptor(&rows)), Ok(rows));
    }

    #[test]
    fn paths_are_decoded_once() {
        assert_eq!(percent_decoded("part=a%20b/x%2525.parquet"), "part=a b/x%25.parquet");
    }
}

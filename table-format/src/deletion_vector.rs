//! Deletion vectors: which rows of a data file are no longer part of the table.
//!
//! Protocol sections "Deletion Vectors" and "Deletion Vector Format". A [`RowSet`] is the set itself. Its bytes stand
//! inside the log ([`encode_inline`], [`decode_inline`]) or in a file of several sets ([`DvFileWriter`], [`read_at`]):
//!
//! ```text
//! file   1 │ size BE i32 │ set ... │ crc32 BE │ size │ set ... │ crc32 │ ...
//!          └─ offset of the descriptor
//! set    magic LE u32 │ buckets LE u64 │ key LE u32 │ 32-bit roaring bitmap │ key │ bitmap │ ...
//! ```
//!
//! Everything that is decoded here comes from outside. A vector that lies about a length, or that marks another number of
//! rows than its descriptor says, is refused: to read on would bring deleted rows back.
//!
//! ```
//! use floe_table_format::{RowSet, deletion_vector};
//!
//! let deleted: RowSet = [3, 4, 7].into_iter().collect();
//! let descriptor = deletion_vector::encode_inline(&deleted);
//! assert_eq!(descriptor.cardinality, 3);
//! assert_eq!(deletion_vector::decode_inline(&descriptor)?, deleted);
//! # Ok::<(), floe_table_format::FormatError>(())
//! ```

mod bitmap;
mod z85;

#[cfg(test)]
mod tests;

use std::ops::Range;

use roaring::RoaringTreemap;
use uuid::Uuid;

use crate::action::DeletionVectorDescriptor;
use crate::error::{FormatError, Result, printable};
use crate::path::{DataPath, TableRoot};

/// What stands in the path of a [`FormatError::CorruptDv`] for a vector that lies in the log.
const INLINE: &str = "inline";

/// Length of a UUID in base85.
const UUID_CHARACTERS: usize = 20;

/// Bytes around each set of a file: its size before it, its checksum after it.
pub const BLOB_OVERHEAD: usize = 8;

/// A set of row numbers of one file, counted from 0.
///
/// Row numbers are below 2^63, as the protocol asks; a Parquet file cannot hold more.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowSet {
    rows: RoaringTreemap,
}

impl RowSet {
    /// The empty set.
    pub fn new() -> Self {
        RowSet::default()
    }

    /// Adds a row; returns whether it was not there before.
    pub fn insert(&mut self, row: u64) -> bool {
        debug_assert!(row <= i64::MAX as u64, "row numbers are below 2^63");
        self.rows.insert(row)
    }

    /// Adds all rows of a range; returns how many were not there before.
    pub fn insert_range(&mut self, rows: Range<u64>) -> u64 {
        self.rows.insert_range(rows)
    }

    /// Whether the row is in the set.
    pub fn contains(&self, row: u64) -> bool {
        self.rows.contains(row)
    }

    /// How many rows are in the set.
    pub fn len(&self) -> u64 {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The smallest row.
    pub fn min(&self) -> Option<u64> {
        self.rows.min()
    }

    /// The largest row.
    pub fn max(&self) -> Option<u64> {
        self.rows.max()
    }

    /// How many rows of the range are in the set.
    pub fn count_in(&self, rows: Range<u64>) -> u64 {
        self.rows.range_cardinality(rows)
    }

    /// The rows in either set.
    pub fn union(&self, other: &RowSet) -> RowSet {
        RowSet { rows: &self.rows | &other.rows }
    }

    /// The rows of this set that are not in the other.
    pub fn difference(&self, other: &RowSet) -> RowSet {
        RowSet { rows: &self.rows - &other.rows }
    }

    /// The rows in both sets.
    pub fn intersection(&self, other: &RowSet) -> RowSet {
        RowSet { rows: &self.rows & &other.rows }
    }

    /// Whether no row is in both sets.
    pub fn is_disjoint(&self, other: &RowSet) -> bool {
        self.rows.is_disjoint(&other.rows)
    }

    /// Whether every row of this set is in the other.
    pub fn is_subset(&self, other: &RowSet) -> bool {
        self.rows.is_subset(&other.rows)
    }

    /// The rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.rows.iter()
    }

    /// The set behind its serialised bytes, without file framing.
    ///
    /// # Errors
    /// [`FormatError::CorruptDv`] if the bytes are not exactly one serialised set.
    pub fn parse(bytes: &[u8]) -> Result<RowSet> {
        RowSet::parse_from(bytes, INLINE)
    }

    fn parse_from(bytes: &[u8], path: &str) -> Result<RowSet> {
        let rows = bitmap::parse(bytes).map_err(|what| FormatError::corrupt_dv(path, what))?;
        Ok(RowSet { rows })
    }

    /// The serialised bytes, without file framing.
    pub fn to_bytes(&self) -> Vec<u8> {
        bitmap::serialise(&self.rows)
    }
}

impl FromIterator<u64> for RowSet {
    fn from_iter<I: IntoIterator<Item = u64>>(rows: I) -> Self {
        RowSet { rows: rows.into_iter().collect() }
    }
}

impl Extend<u64> for RowSet {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, rows: I) {
        self.rows.extend(rows);
    }
}

/// A descriptor that holds the set itself.
///
/// Meant for sets of some hundred bytes: readers parse it with every commit and checkpoint.
pub fn encode_inline(rows: &RowSet) -> DeletionVectorDescriptor {
    let bytes = rows.to_bytes();
    DeletionVectorDescriptor {
        storage_type: "i".into(),
        path_or_inline_dv: z85::encode(&bytes),
        offset: None,
        size_in_bytes: i32::try_from(bytes.len()).unwrap_or(i32::MAX),
        cardinality: rows.len() as i64,
    }
}

/// The set that a descriptor holds.
///
/// # Errors
/// [`FormatError::CorruptDv`] if the descriptor is not an inline one, does not decode or counts other rows than it holds.
pub fn decode_inline(descriptor: &DeletionVectorDescriptor) -> Result<RowSet> {
    let corrupt = |what: String| FormatError::corrupt_dv(INLINE, what);
    if descriptor.storage_type != "i" {
        return Err(corrupt(format!("storage type {:?}, expected \"i\"", printable(&descriptor.storage_type))));
    }
    if descriptor.offset.is_some() {
        return Err(corrupt("an inline vector has no offset".into()));
    }
    let size = size_of(descriptor, INLINE)?;
    let mut bytes = z85::decode(&descriptor.path_or_inline_dv).map_err(corrupt)?;
    // The encoder pads to whole blocks of four bytes, so the size tells where the set ends.
    if bytes.len() != size.next_multiple_of(4) {
        return Err(corrupt(format!("{} bytes are encoded, sizeInBytes is {size}", bytes.len())));
    }
    bytes.truncate(size);
    checked(RowSet::parse_from(&bytes, INLINE)?, descriptor, INLINE)
}

/// Builds a file of sets.
#[derive(Debug)]
pub struct DvFileWriter {
    bytes: Vec<u8>,
}

impl DvFileWriter {
    /// The version byte that starts each file.
    const FORMAT_VERSION: u8 = 1;

    /// Starts a file.
    pub fn new() -> Self {
        DvFileWriter { bytes: vec![Self::FORMAT_VERSION] }
    }

    /// Appends a set; returns its offset in the file and its size in bytes, as its descriptor needs them.
    ///
    /// # Errors
    /// [`FormatError::LimitExceeded`] when the file outgrows the 2 GiB that an offset can name; the file is unchanged.
    pub fn add(&mut self, rows: &RowSet) -> Result<(i32, i32)> {
        let data = rows.to_bytes();
        let limit = i32::MAX as usize;
        let end = self.bytes.len() + data.len() + BLOB_OVERHEAD;
        if end > limit {
            let which = "size of a deletion vector file".into();
            return Err(FormatError::LimitExceeded { which, found: end as u64, limit: limit as u64 });
        }
        let (offset, size) = (self.bytes.len() as i32, data.len() as i32);
        self.bytes.extend_from_slice(&size.to_be_bytes());
        self.bytes.extend_from_slice(&data);
        self.bytes.extend_from_slice(&crc32fast::hash(&data).to_be_bytes());
        Ok((offset, size))
    }

    /// The file's bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no set was added.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == 1
    }

    /// The file.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

impl Default for DvFileWriter {
    fn default() -> Self {
        DvFileWriter::new()
    }
}

/// Where in its file the set of a descriptor lies, size and checksum included.
///
/// # Errors
/// [`FormatError::CorruptDv`] for a negative or impossible offset or size.
pub fn blob_range(descriptor: &DeletionVectorDescriptor) -> Result<Range<u64>> {
    let name = || printable(&descriptor.path_or_inline_dv);
    let size = size_of(descriptor, &name())?;
    // The protocol reads an absent offset as 0, where the version byte of the format lies: the set follows it.
    let offset = match descriptor.offset {
        None => 1,
        Some(offset) => u64::try_from(offset)
            .map_err(|_| FormatError::corrupt_dv(name(), format!("offset is {offset}, expected no negative number")))?
            .max(1),
    };
    Ok(offset..offset + (size + BLOB_OVERHEAD) as u64)
}

/// The set in the bytes that [`blob_range`] names: its size, the set, its checksum.
///
/// # Errors
/// [`FormatError::CorruptDv`] if size, checksum or cardinality disagree, or the set does not decode.
pub fn read_at(bytes: &[u8], descriptor: &DeletionVectorDescriptor) -> Result<RowSet> {
    let path = printable(&descriptor.path_or_inline_dv);
    let corrupt = |what: String| FormatError::corrupt_dv(path.as_str(), what);
    let size = size_of(descriptor, &path)?;
    if bytes.len() != size + BLOB_OVERHEAD {
        return Err(corrupt(format!(
            "{} bytes were found, expected {} for a set of {size} bytes with size and checksum",
            bytes.len(),
            size + BLOB_OVERHEAD
        )));
    }
    let (stored_size, rest) = split_u32(bytes).ok_or_else(|| corrupt("no size".into()))?;
    if stored_size as usize != size {
        return Err(corrupt(format!("the file says {stored_size} bytes, the descriptor says {size}")));
    }
    let (data, checksum) = rest.split_at(size);
    let (stored, _) = split_u32(checksum).ok_or_else(|| corrupt("no checksum".into()))?;
    let computed = crc32fast::hash(data);
    if stored != computed {
        return Err(corrupt(format!("checksum is {stored:08x}, the bytes have {computed:08x}")));
    }
    checked(RowSet::parse_from(data, &path)?, descriptor, &path)
}

/// The place on storage of a descriptor's file, as [`TableRoot::decode`] gives it; none for an inline vector.
///
/// # Errors
/// As [`TableRoot::decode`] for an absolute path; [`FormatError::CorruptDv`] for an unknown storage type or a malformed UUID.
pub fn path_in(descriptor: &DeletionVectorDescriptor, root: &TableRoot) -> Result<Option<String>> {
    let text = &descriptor.path_or_inline_dv;
    match descriptor.storage_type.as_str() {
        "i" => Ok(None),
        "p" => root.decode(text).map(Some),
        "u" => {
            let corrupt = |what: String| FormatError::corrupt_dv(printable(text), what);
            let split = text.len().checked_sub(UUID_CHARACTERS).filter(|at| text.is_char_boundary(*at));
            let (prefix, encoded) = split
                .map(|at| text.split_at(at))
                .ok_or_else(|| corrupt(format!("expected a UUID in {UUID_CHARACTERS} characters")))?;
            let bytes = z85::decode(encoded).map_err(corrupt)?;
            let uuid = Uuid::from_slice(&bytes).map_err(|e| corrupt(e.to_string()))?;
            let path = file_path(prefix, uuid);
            // The prefix is a folder's name, written as it is: the same rules hold for it as for a decoded path.
            DataPath::check(&path, text)?;
            if prefix.contains('/') {
                return Err(corrupt("the prefix is not the name of a folder".into()));
            }
            Ok(Some(path))
        }
        other => Err(FormatError::corrupt_dv(
            printable(text),
            format!("storage type {:?}, expected \"u\", \"i\" or \"p\"", printable(other)),
        )),
    }
}

/// Where a file of sets lies, relative to the table's root: `<prefix>/deletion_vector_<uuid>.bin`, without a prefix in
/// the root itself.
pub fn file_path(prefix: &str, uuid: Uuid) -> String {
    let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    format!("{folder}deletion_vector_{uuid}.bin")
}

/// The descriptor of a set that [`DvFileWriter::add`] put at an offset of the file at [`file_path`].
pub fn descriptor_for_file(
    prefix: &str,
    uuid: Uuid,
    offset: i32,
    size_in_bytes: i32,
    cardinality: u64,
) -> DeletionVectorDescriptor {
    DeletionVectorDescriptor {
        storage_type: "u".into(),
        path_or_inline_dv: format!("{prefix}{}", z85::encode(uuid.as_bytes())),
        offset: Some(offset),
        size_in_bytes,
        cardinality: i64::try_from(cardinality).unwrap_or(i64::MAX),
    }
}

/// What tells the vectors of one file apart: together with the path it is the key of a logical file.
///
/// Protocol section "Derived Fields".
pub fn unique_id(descriptor: &DeletionVectorDescriptor) -> String {
    let DeletionVectorDescriptor { storage_type, path_or_inline_dv, offset, .. } = descriptor;
    match offset {
        Some(offset) => format!("{storage_type}{path_or_inline_dv}@{offset}"),
        None => format!("{storage_type}{path_or_inline_dv}"),
    }
}

/// The size of the serialised set, which at least has a magic number and a count.
fn size_of(descriptor: &DeletionVectorDescriptor, path: &str) -> Result<usize> {
    let size = usize::try_from(descriptor.size_in_bytes).ok().filter(|size| *size >= bitmap::BYTES_MIN);
    size.ok_or_else(|| {
        let (found, least) = (descriptor.size_in_bytes, bitmap::BYTES_MIN);
        FormatError::corrupt_dv(path, format!("sizeInBytes is {found}, expected at least {least}"))
    })
}

/// The set, if it marks as many rows as the descriptor says.
fn checked(rows: RowSet, descriptor: &DeletionVectorDescriptor, path: &str) -> Result<RowSet> {
    if i64::try_from(rows.len()) == Ok(descriptor.cardinality) {
        return Ok(rows);
    }
    let (found, claimed) = (rows.len(), descriptor.cardinality);
    Err(FormatError::corrupt_dv(path, format!("marks {found} rows, its descriptor says {claimed}")))
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(head, rest)| (u32::from_be_bytes(*head), rest))
}

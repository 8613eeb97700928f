//! The runs of the index: immutable sorted lists of entries, as bytes.
//!
//! ```text
//!   block 0 │ block 1 │ ... │ footer (JSON) │ fences │ trailer
//!   ──┬────                                     │        └ 40 bytes: lengths, run id, checksum, magic
//!     │                                         └ the upper half of each block's first hash
//!     └ 4096 bytes: up to 170 entries of 24 bytes, their number, a checksum
//! ```
//!
//! All numbers are little-endian. A block's checksum is seeded with the run's id and the block's number, so that neither a
//! flipped bit nor a block of another place or run passes for it.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;
use uuid::Uuid;

use crate::entry::{Entry, KeySet, Slice};
use crate::error::{IndexError, Result};
use crate::hash::KeyHash;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 4096;
/// Entries of a full block.
pub const BLOCK_ENTRIES: usize = 170;
/// Bytes of the end of a run that says where its footer is.
pub const TRAILER_BYTES: usize = 40;
/// Bytes of an entry.
const ENTRY_BYTES: usize = 24;
/// Where the number of a block's entries stands.
const COUNT_AT: usize = BLOCK_ENTRIES * ENTRY_BYTES;
const CHECKSUM_AT: usize = BLOCK_BYTES - 8;
const MAGIC: &[u8; 8] = b"FLOEIDX1";
/// A footer larger than this is not believed.
const FOOTER_BYTES_MAX: u64 = 1 << 30;

/// What a run is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunAbout {
    /// The table's id, from its metadata. A run of another table covers nothing.
    pub table: String,
    /// The primary key's columns, by the names they have in files. A run of another key covers nothing.
    pub key_columns: Vec<String>,
    /// The files covered: every row of theirs that has a key is in the run. Paths as in the log.
    pub files: Vec<String>,
}

impl RunAbout {
    /// A run of these files.
    pub fn new(table: impl Into<String>, key_columns: Vec<String>, files: Vec<String>) -> Self {
        RunAbout { table: table.into(), key_columns, files }
    }
}

/// Makes the bytes of a run from its entries, a piece at a time.
#[derive(Debug)]
pub struct RunEncoder {
    run: Uuid,
    fences: Vec<u64>,
    block: Vec<u8>,
    count: usize,
    entries: u64,
    last: Option<Entry>,
}

impl RunEncoder {
    /// The encoder of the run with this id.
    pub fn new(run: Uuid) -> Self {
        RunEncoder { run, fences: Vec::new(), block: Vec::with_capacity(BLOCK_BYTES), count: 0, entries: 0, last: None }
    }

    /// Takes entries in, ascending, and appends the blocks that are full to `out`.
    ///
    /// # Errors
    /// [`IndexError::Limit`] for an entry that does not follow the one before.
    pub fn push(&mut self, entries: &[Entry], out: &mut Vec<u8>) -> Result<()> {
        out.reserve(entries.len() / BLOCK_ENTRIES * BLOCK_BYTES);
        let mut rest = entries;
        while let Some(first) = rest.first() {
            if self.count == 0 {
                self.fences.push(first.hash.high);
            }
            let (part, after) = rest.split_at(rest.len().min(BLOCK_ENTRIES - self.count));
            if self.last.is_some_and(|last| *first < last) || !part.is_sorted() {
                return Err(IndexError::Limit { what: "entries must ascend".into() });
            }
            self.last = part.last().copied();
            let start = self.block.len();
            self.block.resize(start + part.len() * ENTRY_BYTES, 0);
            let (records, _) = self.block[start..].as_chunks_mut::<ENTRY_BYTES>();
            for (record, entry) in records.iter_mut().zip(part) {
                record[..8].copy_from_slice(&entry.hash.high.to_le_bytes());
                record[8..16].copy_from_slice(&entry.hash.low.to_le_bytes());
                record[16..20].copy_from_slice(&entry.file.to_le_bytes());
                record[20..].copy_from_slice(&entry.row.to_le_bytes());
            }
            self.count += part.len();
            self.entries += part.len() as u64;
            if self.count == BLOCK_ENTRIES {
                self.end_block(out);
            }
            rest = after;
        }
        Ok(())
    }

    fn end_block(&mut self, out: &mut Vec<u8>) {
        let number = self.fences.len() - 1;
        self.block.resize(COUNT_AT, 0);
        self.block.extend_from_slice(&(self.count as u64).to_le_bytes());
        let sum = checksum(self.run, number as u64, &self.block);
        self.block.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&self.block);
        self.block.clear();
        self.count = 0;
    }

    /// Appends the rest of the run.
    ///
    /// # Errors
    /// [`IndexError::Limit`] for more files than can be numbered.
    pub fn finish(mut self, about: &RunAbout, out: &mut Vec<u8>) -> Result<()> {
        if u32::try_from(about.files.len()).is_err() {
            return Err(IndexError::Limit { what: format!("{} files", about.files.len()) });
        }
        if self.count > 0 {
            self.end_block(out);
        }
        let mut footer = serde_json::to_vec(about).map_err(|error| IndexError::Limit { what: error.to_string() })?;
        let json = footer.len() as u64;
        for fence in &self.fences {
            footer.extend_from_slice(&fence.to_le_bytes());
        }
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.extend_from_slice(&json.to_le_bytes());
        trailer.extend_from_slice(&self.entries.to_le_bytes());
        // The seed of the blocks' checksums: the run's id, folded.
        trailer.extend_from_slice(&fold(self.run).to_le_bytes());
        footer.extend_from_slice(&trailer);
        let sum = XxHash3_64::oneshot_with_seed(fold(self.run), &footer);
        out.extend_from_slice(&footer);
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(MAGIC);
        Ok(())
    }
}

/// A whole run at once.
///
/// # Errors
/// [`IndexError::Limit`] for entries out of order.
pub fn encode(run: Uuid, about: &RunAbout, entries: &[Entry]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(encoded_bytes(entries.len()));
    let mut encoder = RunEncoder::new(run);
    encoder.push(entries, &mut out)?;
    encoder.finish(about, &mut out)?;
    Ok(out)
}

/// About how many bytes a run of so many entries takes.
pub fn encoded_bytes(entries: usize) -> usize {
    entries.div_ceil(BLOCK_ENTRIES) * (BLOCK_BYTES + 8) + 512
}

fn fold(run: Uuid) -> u64 {
    let (high, low) = run.as_u64_pair();
    high.rotate_left(32) ^ low
}

fn checksum(run: Uuid, block: u64, bytes: &[u8]) -> u64 {
    block_checksum(fold(run), block, bytes)
}

fn block_checksum(seed: u64, block: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed ^ block.wrapping_mul(0x9e37_79b9_7f4a_7c15), bytes)
}

/// A block of a run, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block(pub u32);

/// Where the parts of a run's end lie, read from its trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    json: u64,
    entries: u64,
    seed: u64,
    checksum: u64,
}

impl Trailer {
    /// Reads the last [`TRAILER_BYTES`] of a run.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let Some((_, trailer)) = bytes.split_last_chunk::<TRAILER_BYTES>() else {
            return Err(IndexError::corrupt(format!("{} bytes are too few for a run", bytes.len())));
        };
        let (fields, magic) = trailer.split_at(TRAILER_BYTES - 8);
        if magic != MAGIC {
            return Err(IndexError::corrupt("it does not end like a run"));
        }
        let (json, entries, seed, checksum) =
            (long_at(fields, 0), long_at(fields, 8), long_at(fields, 16), long_at(fields, 24));
        Ok(Trailer { json, entries, seed, checksum })
    }

    /// How many bytes of the end of the run hold its footer, trailer included.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] for more than is believed.
    pub fn tail_bytes(&self) -> Result<u64> {
        let fences = self.entries.div_ceil(BLOCK_ENTRIES as u64).saturating_mul(8);
        let bytes = self.json.saturating_add(fences).saturating_add(TRAILER_BYTES as u64);
        if bytes > FOOTER_BYTES_MAX {
            return Err(IndexError::corrupt(format!("the footer claims {bytes} bytes")));
        }
        Ok(bytes)
    }
}

fn long_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
}

/// What is known of a run without reading its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// What the run is about.
    pub about: RunAbout,
    /// Entries in it.
    pub entries: u64,
    fences: Vec<u64>,
    seed: u64,
}

impl Footer {
    /// Reads the footer from the end of a run: at least [`Trailer::tail_bytes`] of it.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] if anything is not as it was written.
    pub fn parse(tail: &[u8]) -> Result<Self> {
        let trailer = Trailer::parse(tail)?;
        let bytes = usize::try_from(trailer.tail_bytes()?).unwrap_or(usize::MAX);
        let Some(start) = tail.len().checked_sub(bytes) else {
            return Err(IndexError::corrupt(format!("the footer takes {bytes} bytes, {} are there", tail.len())));
        };
        let footer = &tail[start..];
        let summed = &footer[..footer.len() - 16];
        if XxHash3_64::oneshot_with_seed(trailer.seed, summed) != trailer.checksum {
            return Err(IndexError::corrupt("the footer does not match its checksum"));
        }
        let json = usize::try_from(trailer.json).unwrap_or(usize::MAX);
        let about: RunAbout = footer
            .get(..json)
            .and_then(|json| serde_json::from_slice(json).ok())
            .ok_or_else(|| IndexError::corrupt("the footer does not say what the run is about"))?;
        let (words, _) = footer[json..footer.len() - TRAILER_BYTES].as_chunks::<8>();
        let fences: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        if fences.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(IndexError::corrupt("the blocks are not in order"));
        }
        Ok(Footer { about, entries: trailer.entries, fences, seed: trailer.seed })
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> u32 {
        self.fences.len() as u32
    }

    /// Where a block lies in the run.
    pub fn range_of(&self, block: Block) -> Range<usize> {
        let start = block.0 as usize * BLOCK_BYTES;
        start..start + BLOCK_BYTES
    }

    /// The blocks that may hold entries of these keys, ascending.
    pub fn blocks_for<'a>(&'a self, keys: &'a KeySet) -> impl Iterator<Item = Block> + 'a {
        let mut hashes = keys.hashes().iter().map(|hash| hash.high).peekable();
        let mut next = 0usize;
        std::iter::from_fn(move || {
            loop {
                let high = *hashes.peek()?;
                if next >= self.fences.len() {
                    return None;
                }
                // The first block that may hold it is the one before the first fence that is not below it.
                let first = next + self.fences[next..].partition_point(|fence| *fence < high);
                let first = if first > next { first - 1 } else { next };
                if self.fences[first] > high {
                    // Below all entries that are left.
                    hashes.next();
                    continue;
                }
                // Equal upper halves may go on in the next block.
                let goes_on = self.fences.get(first + 1).is_some_and(|fence| *fence <= high);
                if !goes_on {
                    let end = self.fences.get(first + 1).copied();
                    while hashes.next_if(|high| end.is_none_or(|end| *high < end)).is_some() {}
                }
                next = first + 1;
                return Some(Block(first as u32));
            }
        })
    }

    /// The blocks that may hold entries of a slice, ascending.
    pub fn blocks_of(&self, slice: Slice) -> Range<u32> {
        let first = self.fences.partition_point(|fence| *fence < slice.first).saturating_sub(1);
        let end = self.fences.partition_point(|fence| *fence <= slice.last);
        first as u32..(end.max(first)) as u32
    }

    /// The entries of a block.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] for bytes that are not this block as it was written.
    pub fn entries_of(&self, block: Block, bytes: &[u8]) -> Result<Vec<Entry>> {
        let corrupt = |what: &str| IndexError::corrupt(format!("block {}: {what}", block.0));
        if bytes.len() != BLOCK_BYTES {
            return Err(corrupt("it is cut short"));
        }
        if block_checksum(self.seed, u64::from(block.0), &bytes[..CHECKSUM_AT]) != long_at(bytes, CHECKSUM_AT) {
            return Err(corrupt("it does not match its checksum"));
        }
        let count = usize::try_from(long_at(bytes, COUNT_AT)).unwrap_or(usize::MAX);
        if count == 0 || count > BLOCK_ENTRIES {
            return Err(corrupt("it claims a wrong number of entries"));
        }
        let mut entries = Vec::with_capacity(count);
        let (records, _) = bytes[..COUNT_AT].as_chunks::<ENTRY_BYTES>();
        for record in &records[..count] {
            let (file, row) = (long_at(record, 16) as u32, (long_at(record, 16) >> 32) as u32);
            if file as usize >= self.about.files.len() {
                return Err(corrupt("it names a file that the run does not"));
            }
            entries.push(Entry { hash: KeyHash { high: long_at(record, 0), low: long_at(record, 8) }, file, row });
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests;

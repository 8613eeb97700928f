//! The serialised form of a set of rows: 32-bit roaring bitmaps behind their high halves.
//!
//! Protocol section "Deletion Vector Format". Two layouts are read, one is written:
//!
//! ```text
//! portable  magic 1681511377 LE u32 │ buckets LE u64 │ (key LE u32 │ bitmap) ...
//! native    magic 1681511376    u32 │ buckets    u32 │ (size    u32 │ bitmap) ...     keys are 0, 1, 2, ...
//! ```
//!
//! The native layout is what the protocol's own example of an inline vector holds (in big-endian numbers).

use std::io::Cursor;

use roaring::{RoaringBitmap, RoaringTreemap};

const PORTABLE_MAGIC: u32 = 1_681_511_377;
const NATIVE_MAGIC: u32 = 1_681_511_376;

/// The smallest serialised set: a magic number and a count, which is shorter in the native layout.
pub(super) const BYTES_MIN: usize = 8;

/// The smallest 32-bit bitmap: a cookie and a count.
const BITMAP_BYTES_MIN: usize = 8;

/// What Trino (seen in 476) leaves behind the last bitmap: it counts the size of a key twice. Its checksum covers them.
const TRINO_PADDING: &[u8] = &[0; 4];

/// The rows, if the bytes are exactly one set; else what is wrong with them.
pub(super) fn parse(bytes: &[u8]) -> Result<RoaringTreemap, String> {
    let (magic, rest) = bytes.split_first_chunk().ok_or_else(|| cut_short("the magic number", 4, bytes.len()))?;
    match (u32::from_le_bytes(*magic), u32::from_be_bytes(*magic)) {
        (PORTABLE_MAGIC, _) => parse_portable(rest),
        (NATIVE_MAGIC, _) => parse_native(rest, u32::from_le_bytes),
        (_, NATIVE_MAGIC) => parse_native(rest, u32::from_be_bytes),
        (found, _) => Err(format!("magic number is {found}, expected {PORTABLE_MAGIC}")),
    }
}

/// The bytes of the rows in the portable layout.
pub(super) fn serialise(rows: &RoaringTreemap) -> Vec<u8> {
    // Ranges of rows, the common case of a deletion, shrink to a few bytes each.
    let mut rows = rows.clone();
    rows.optimize();
    let mut out = Vec::with_capacity(4 + rows.serialized_size());
    out.extend_from_slice(&PORTABLE_MAGIC.to_le_bytes());
    rows.serialize_into(&mut out).expect("writing to memory does not fail");
    out
}

fn parse_portable(bytes: &[u8]) -> Result<RoaringTreemap, String> {
    let (count, mut rest) =
        bytes.split_first_chunk().ok_or_else(|| cut_short("the number of buckets", 8, bytes.len()))?;
    let count = u64::from_le_bytes(*count);
    // Checked before the loop, so that a claimed 2^64 buckets cost nothing.
    if count > (rest.len() / (4 + BITMAP_BYTES_MIN)) as u64 {
        return Err(format!("{count} buckets do not fit into {} bytes", rest.len()));
    }
    let mut previous: Option<u32> = None;
    let mut buckets = Vec::new();
    for _ in 0..count {
        let (key, after) = rest.split_first_chunk().ok_or_else(|| cut_short("a bucket's key", 4, rest.len()))?;
        let key = u32::from_le_bytes(*key);
        if previous.is_some_and(|previous| key <= previous) {
            return Err(format!("bucket {key} follows bucket {}: keys must ascend", previous.unwrap_or_default()));
        }
        if key > i32::MAX as u32 {
            return Err(format!("bucket {key} is beyond {}", i32::MAX));
        }
        previous = Some(key);
        let (bitmap, after) = parse_bitmap(after)?;
        buckets.push((key, bitmap));
        rest = after;
    }
    finish(buckets, if rest == TRINO_PADDING { &[] } else { rest })
}

fn parse_native(bytes: &[u8], number: fn([u8; 4]) -> u32) -> Result<RoaringTreemap, String> {
    let (count, mut rest) =
        bytes.split_first_chunk().ok_or_else(|| cut_short("the number of bitmaps", 4, bytes.len()))?;
    let count = number(*count);
    if count as usize > rest.len() / (4 + BITMAP_BYTES_MIN) {
        return Err(format!("{count} bitmaps do not fit into {} bytes", rest.len()));
    }
    let mut buckets = Vec::new();
    for key in 0..count {
        let (size, after) = rest.split_first_chunk().ok_or_else(|| cut_short("a bitmap's size", 4, rest.len()))?;
        let size = number(*size) as usize;
        let (data, after) =
            after.split_at_checked(size).ok_or_else(|| cut_short("a bitmap", size as u64, after.len()))?;
        let (bitmap, trailing) = parse_bitmap(data)?;
        if !trailing.is_empty() {
            return Err(format!("bitmap {key} ends {} bytes before its size says", trailing.len()));
        }
        buckets.push((key, bitmap));
        rest = after;
    }
    finish(buckets, rest)
}

/// One 32-bit bitmap and the bytes behind it.
fn parse_bitmap(bytes: &[u8]) -> Result<(RoaringBitmap, &[u8]), String> {
    // The checked reader proves the order of keys and values and the counts; it allocates at most 512 KiB ahead of
    // what it reads, whatever the header claims.
    let mut cursor = Cursor::new(bytes);
    let bitmap = RoaringBitmap::deserialize_from(&mut cursor).map_err(|e| format!("not a roaring bitmap: {e}"))?;
    let read = usize::try_from(cursor.position()).unwrap_or(bytes.len()).min(bytes.len());
    Ok((bitmap, &bytes[read..]))
}

fn finish(buckets: Vec<(u32, RoaringBitmap)>, trailing: &[u8]) -> Result<RoaringTreemap, String> {
    if !trailing.is_empty() {
        return Err(format!("{} bytes follow the last bitmap", trailing.len()));
    }
    Ok(RoaringTreemap::from_bitmaps(buckets.into_iter().filter(|(_, bitmap)| !bitmap.is_empty())))
}

fn cut_short(part: &str, expected: u64, found: usize) -> String {
    format!("cut short: {part} takes {expected} bytes, {found} are left")
}

//! Packed text, unpacked as it comes.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use floe_table_format::error::printable;
use zstd::stream::raw::Decoder;
use zstd::stream::zio;

use crate::error::QueryError;
use crate::load::SourceFile;

/// Bytes that are unpacked at once: so few, because they may stand for a hundred thousand times as many.
const STEP: usize = 4096;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    /// By the end of a path, and the path without that end.
    pub(crate) fn of_path(path: &str) -> (Packing, &str) {
        let trimmed = path.trim_end_matches('/');
        let ends = |end: &str| trimmed.len() > end.len() && trimmed.to_ascii_lowercase().ends_with(end);
        match (ends(".gz"), ends(".zst")) {
            (true, _) => (Packing::Gzip, &trimmed[..trimmed.len() - 3]),
            (_, true) => (Packing::Zstd, &trimmed[..trimmed.len() - 4]),
            _ => (Packing::None, path),
        }
    }

    /// By the name that people use in options.
    pub(crate) fn named(name: &str) -> Option<Packing> {
        match name.to_ascii_lowercase().as_str() {
            "none" | "uncompressed" => Some(Packing::None),
            "gzip" | "gz" => Some(Packing::Gzip),
            "zstd" | "zst" => Some(Packing::Zstd),
            _ => None,
        }
    }
}

/// Unpacks one file.
pub(crate) enum Unpack {
    None,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd(Box<zio::Writer<Vec<u8>, Decoder<'static>>>),
}

impl Unpack {
    pub(crate) fn new(packing: Packing) -> std::io::Result<Unpack> {
        Ok(match packing {
            Packing::None => Unpack::None,
            Packing::Gzip => Unpack::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Packing::Zstd => Unpack::Zstd(Box::new(zio::Writer::new(Vec::new(), Decoder::new()?))),
        })
    }

    /// Hands over what the next bytes stand for, piece by piece.
    pub(crate) fn push<E: From<std::io::Error>>(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Unpack::None => take(bytes),
            Unpack::Gzip(decoder) => bytes.chunks(STEP).try_for_each(|step| {
                decoder.write_all(step)?;
                decoder.flush()?;
                take(&std::mem::take(decoder.get_mut()))
            }),
            Unpack::Zstd(decoder) => bytes.chunks(STEP).try_for_each(|step| {
                decoder.write_all(step)?;
                decoder.flush()?;
                take(&std::mem::take(decoder.writer_mut()))
            }),
        }
    }

    /// Hands over what is left. Fails for a file that is cut short.
    pub(crate) fn finish<E: From<std::io::Error>>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Unpack::None => Ok(()),
            Unpack::Gzip(decoder) => {
                decoder.try_finish()?;
                take(&std::mem::take(decoder.get_mut()))
            }
            Unpack::Zstd(decoder) => {
                decoder.finish()?;
                take(&std::mem::take(decoder.writer_mut()))
            }
        }
    }
}

/// The error of a file whose packing is broken.
pub(super) fn unpacked_badly(file: &SourceFile, error: &std::io::Error) -> QueryError {
    QueryError::UnreadablePath {
        path: printable(&file.uri),
        what: format!("it cannot be unpacked: {}", printable(&error.to_string())),
    }
}

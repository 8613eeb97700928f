//! Formats that hold values as they are, at a terminal: what could move its cursor is written as an escape.

use std::io::Write;

use arrow::record_batch::RecordBatch;

use super::cells::is_hostile;
use super::{RenderError, Renderer, Shown};

/// Passes text on with control characters as escapes of JSON, which mean the same in JSON and nothing to a terminal.
pub(super) struct Harmless {
    inner: Box<dyn Renderer + Send>,
}

impl Harmless {
    pub(super) fn new(inner: Box<dyn Renderer + Send>) -> Self {
        Self { inner }
    }
}

impl Renderer for Harmless {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RenderError> {
        let mut text = Vec::new();
        self.inner.batch(batch, &mut text)?;
        pass(&text, out)
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<Shown, RenderError> {
        let mut text = Vec::new();
        let shown = self.inner.finish(&mut text)?;
        pass(&text, out)?;
        Ok(shown)
    }
}

fn pass(text: &[u8], out: &mut dyn Write) -> Result<(), RenderError> {
    let mut rest = &*String::from_utf8_lossy(text);
    while let Some((at, found)) = rest.char_indices().find(|(_, c)| *c != '\n' && is_hostile(*c)) {
        write!(out, "{}\\u{:04x}", &rest[..at], u32::from(found))?;
        rest = &rest[at + found.len_utf8()..];
    }
    out.write_all(rest.as_bytes())?;
    Ok(())
}

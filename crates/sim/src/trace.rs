//! What happened in a run, as a hash and, when asked for, as text.

use std::fmt;

/// The events of a run. Two runs of one seed must agree in every event, and so in the hash.
#[derive(Debug, Clone)]
pub struct Trace {
    hash: u64,
    events: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(verbose: bool) -> Self {
        Trace { hash: 0xCBF2_9CE4_8422_2325, events: 0, lines: verbose.then(Vec::new) }
    }

    pub(crate) fn record(&mut self, micros: u64, who: &str, what: fmt::Arguments<'_>) {
        let line = format!("{:>12.6}  {who:<14} {what}", micros as f64 / 1e6);
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        self.events += 1;
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// The hash over all events.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The events as text; empty unless the run was verbose.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}

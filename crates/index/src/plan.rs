//! Which way to look keys up, and which runs to merge: decisions as values.

/// What reading one row of the key columns costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostModel {
    /// Nanoseconds to decode a row's key and see that it is not wanted.
    pub scan_ns_per_row: f64,
    /// Bytes of a row's key in its file.
    pub scan_bytes_per_row: f64,
    /// Nanoseconds to open a data file.
    pub file_ns: f64,
    /// Nanoseconds to read, check and search a block of a run.
    pub block_ns: f64,
    /// Nanoseconds that a byte takes on its way from the store.
    pub byte_ns: f64,
    /// Nanoseconds that a request to the store takes, seen from a reader that has several on their way.
    pub request_ns: f64,
}

impl CostModel {
    /// A store on this machine.
    pub const LOCAL: CostModel = CostModel {
        scan_ns_per_row: 12.0,
        scan_bytes_per_row: 8.0,
        file_ns: 300_000.0,
        block_ns: 3_000.0,
        byte_ns: 0.3,
        request_ns: 2_000.0,
    };

    /// A store across a network.
    pub const REMOTE: CostModel = CostModel { byte_ns: 12.0, request_ns: 4_000_000.0, ..CostModel::LOCAL };
}

/// The way a look-up takes through the files that one run covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Through the run.
    Index,
    /// By reading the key columns of the files.
    Scan,
}

/// What is to be decided on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Keys wanted.
    pub keys: u64,
    /// Blocks of the run.
    pub blocks: u64,
    /// Files that the run covers and that statistics do not rule out.
    pub files: u64,
    /// Rows of those files.
    pub rows: u64,
}

/// How many of `blocks` so many keys touch, hashes being spread evenly.
pub fn blocks_touched(keys: u64, blocks: u64) -> f64 {
    if blocks == 0 {
        return 0.0;
    }
    let blocks = blocks as f64;
    blocks * (1.0 - (-(keys as f64) / blocks).exp())
}

impl Choice {
    /// Nanoseconds through the run, estimated.
    pub fn index_ns(&self, cost: &CostModel) -> f64 {
        let touched = blocks_touched(self.keys, self.blocks);
        touched * (cost.block_ns + 4096.0 * cost.byte_ns) + requests(touched, self.blocks) * cost.request_ns
    }

    /// Nanoseconds through the key columns, estimated.
    pub fn scan_ns(&self, cost: &CostModel) -> f64 {
        let per_row = cost.scan_ns_per_row + cost.scan_bytes_per_row * cost.byte_ns;
        self.rows as f64 * per_row + self.files as f64 * (cost.file_ns + 2.0 * cost.request_ns)
    }

    /// The cheaper way.
    pub fn way(&self, cost: &CostModel) -> Way {
        if self.index_ns(cost) < self.scan_ns(cost) { Way::Index } else { Way::Scan }
    }
}

/// Neighbouring blocks are read together: at most one request for sixteen.
fn requests(touched: f64, blocks: u64) -> f64 {
    touched.min(blocks as f64 / 16.0).max(1.0)
}

/// A run as far as merging looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSize {
    /// Entries of the run.
    pub entries: u64,
    /// Whether a file of it is still part of the table.
    pub live: bool,
}

/// How many runs of about one size are merged into one, where look-ups have to ask each.
pub const RUNS_OF_A_SIZE_MAX: usize = 8;
/// And where nobody asks them, as long as rows come in the order of their keys.
pub const RUNS_UNASKED_MAX: usize = 32;

/// The runs to merge into one, as indices; empty if there is nothing to gain.
///
/// Runs are put into classes, each eight times as large as the one before. A class with `most` runs is merged, so every
/// entry is written again once a class, and a table has fewer of each.
pub fn plan_merge(runs: &[RunSize], most: usize) -> Vec<usize> {
    let class = |entries: u64| (entries.max(1024) / 1024).ilog2() / 3;
    let mut classes: std::collections::BTreeMap<u32, Vec<usize>> = Default::default();
    for (index, run) in runs.iter().enumerate().filter(|(_, run)| run.live) {
        classes.entry(class(run.entries)).or_default().push(index);
    }
    // All smaller ones go along: they would be in the way of the next merge.
    let full = classes.iter().filter(|(_, members)| members.len() >= most.max(2)).map(|(class, _)| *class).max();
    let Some(full) = full else { return Vec::new() };
    classes.range(..=full).flat_map(|(_, members)| members.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(keys: u64, rows: u64) -> Way {
        let choice = Choice { keys, blocks: rows.div_ceil(170), files: rows.div_ceil(500_000), rows };
        choice.way(&CostModel::LOCAL)
    }

    #[test]
    fn few_keys_go_through_the_index_and_many_through_the_columns() {
        assert_eq!(way(1, 10_000_000), Way::Index);
        assert_eq!(way(10_000, 10_000_000), Way::Index);
        assert_eq!(way(1_000_000, 10_000_000), Way::Scan);
        assert_eq!(way(100_000, 100_000_000), Way::Index);
    }

    #[test]
    fn what_statistics_rule_out_is_not_paid_for() {
        let all = Choice { keys: 10_000, blocks: 59_000, files: 21, rows: 10_000_000 };
        assert_eq!(all.way(&CostModel::LOCAL), Way::Index);
        assert_eq!(Choice { files: 1, rows: 500_000, ..all }.way(&CostModel::LOCAL), Way::Scan);
    }

    #[test]
    fn runs_are_merged_when_eight_of_a_size_are_there() {
        let run = |entries| RunSize { entries, live: true };
        assert!(plan_merge(&[run(100); 7], 8).is_empty());
        assert_eq!(plan_merge(&[run(100); 8], 8), (0..8).collect::<Vec<_>>());
        assert!(plan_merge(&[run(100); 8], 32).is_empty());
        let mut runs = vec![run(10_000_000), run(100)];
        runs.extend([run(20_000); 8]);
        assert_eq!(plan_merge(&runs, 8), (1..10).collect::<Vec<_>>());
        assert!(plan_merge(&[RunSize { entries: 5, live: false }; 9], 8).is_empty());
    }

    #[test]
    fn a_key_touches_a_block_and_many_keys_touch_all() {
        assert!((blocks_touched(1, 1_000_000) - 1.0).abs() < 0.01);
        assert!((blocks_touched(10_000_000, 1000) - 1000.0).abs() < 1.0);
    }
}

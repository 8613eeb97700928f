//! Which world a seed makes.

use crate::fault::{FaultRates, PlannedFault};
use crate::rng::SimRng;
use crate::sabotage::Sabotage;

/// The settings of one simulated world. All follow from the seed; single ones can be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Where all choices come from.
    pub seed: u64,
    /// Actors that change rows.
    pub writers: u32,
    /// Operations of each of them.
    pub ops: u32,
    /// Actors that read rows.
    pub readers: u32,
    /// Whether somebody compacts files.
    pub compactor: bool,
    /// Whether somebody vacuums.
    pub vacuum: bool,
    /// Whether somebody writes checkpoints and cleans up the log.
    pub checkpointer: bool,
    /// Actors that change properties, columns, features and domains, and restore earlier versions.
    pub stewards: u32,
    /// How often the nemesis kills somebody, in permille of its chances.
    pub kills: u32,
    /// How often each fault strikes.
    pub rates: FaultRates,
    /// Faults for picked requests.
    pub plan: Vec<PlannedFault>,
    /// Whether the table is partitioned.
    pub partitioned: bool,
    /// Whether writers are serializable, or write-serializable.
    pub serializable: bool,
    /// Whether commits carry their time.
    pub in_commit_timestamps: bool,
    /// Whether deletes write deletion vectors, or rewrite files.
    pub deletion_vectors: bool,
    /// A checkpoint every so many versions.
    pub checkpoint_interval: u64,
    /// Whether checkpoints are of the V2 kind, with sidecars.
    pub v2_checkpoints: bool,
    /// How wrong an actor's clock may be, in milliseconds.
    pub skew_ms_max: u64,
    /// Keys are smaller than this; the fewer, the more operations meet.
    pub keys: u64,
    /// Rows of a batch at most; the more, the more operations meet in one file.
    pub batch_rows_max: u64,
    /// How many of 100 operations delete or update rows.
    pub changes: u64,
    /// How long actors rest between operations at most, in milliseconds.
    pub rest_ms_max: u64,
    /// Whether the table has a primary key, and writers write by it.
    pub keyed: bool,
    /// Whether somebody builds, drops and damages the record index.
    pub indexer: bool,
    /// A bug to plant.
    pub sabotage: Option<Sabotage>,
}

impl Scenario {
    /// The world of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = SimRng::new(seed).fork("scenario");
        let (rates, kills) = match rng.below(10) {
            0 | 1 => (FaultRates::calm(), 0),
            2 => (FaultRates::calm(), 200),
            3..=6 => (FaultRates::flaky(), 60),
            7 | 8 => (FaultRates::lossy_writes(), 60),
            _ => (FaultRates::deadly(), 200),
        };
        Scenario {
            seed,
            writers: rng.between(2, 4) as u32,
            ops: rng.between(4, 8) as u32,
            readers: rng.between(0, 2) as u32,
            compactor: rng.chance(600),
            vacuum: rng.chance(600),
            checkpointer: rng.chance(500),
            stewards: if rng.chance(250) { 2 } else { 0 },
            kills,
            rates,
            plan: Vec::new(),
            partitioned: rng.chance(300),
            serializable: rng.chance(500),
            in_commit_timestamps: rng.chance(400),
            deletion_vectors: rng.chance(800),
            checkpoint_interval: *rng.pick(&[3, 5, 10, 100]),
            // Of a generator of its own: the worlds of old seeds stay what they were, but for this.
            v2_checkpoints: SimRng::new(seed).fork("checkpoint policy").chance(300),
            skew_ms_max: *rng.pick(&[0, 0, 1_000, 120_000]),
            keys: *rng.pick(&[12, 40, 200]),
            batch_rows_max: *rng.pick(&[6, 6, 60]),
            changes: *rng.pick(&[38, 38, 70]),
            rest_ms_max: *rng.pick(&[0, 2_000, 900_000, 1_800_000, 3_600_000]),
            keyed: false,
            indexer: false,
            sabotage: None,
        }
    }

    /// The world of a seed in which at least four writers upsert rows of shared keys, beside a compactor, a vacuum and a
    /// builder of the index.
    pub fn keyed(seed: u64) -> Self {
        let mut rng = SimRng::new(seed).fork("keyed scenario");
        let scenario = Scenario::of(seed ^ 0x6b65_7973);
        Scenario {
            seed,
            keyed: true,
            indexer: true,
            compactor: true,
            vacuum: true,
            writers: rng.between(4, 5) as u32,
            ops: rng.between(3, 6) as u32,
            readers: rng.below(2) as u32,
            keys: *rng.pick(&[6, 12, 40]),
            rest_ms_max: *rng.pick(&[0, 0, 2_000, 900_000, 3_600_000]),
            ..scenario
        }
    }

    /// Whether requests neither fail nor disappear, so that actors have no reason to complain.
    pub fn is_calm(&self) -> bool {
        self.rates == FaultRates::calm() && self.plan.is_empty()
    }

    /// The world of a seed that gives a planted bug every chance to show.
    ///
    /// A bug in compaction cannot show where nobody compacts.
    pub fn sabotaged(seed: u64, bug: Sabotage) -> Self {
        let keyed =
            matches!(bug, Sabotage::WinnersAddsHidden | Sabotage::IndexForgetsRow | Sabotage::IndexNamesOtherRow);
        let of = if keyed { Scenario::keyed } else { Scenario::of };
        let mut scenario = Scenario { sabotage: Some(bug), ..of(seed) };
        match bug {
            Sabotage::WinnersAddsHidden => {
                (scenario.rest_ms_max, scenario.keys, scenario.ops) = (30, 6, 8);
            }
            Sabotage::IndexForgetsRow | Sabotage::IndexNamesOtherRow => {
                (scenario.rates, scenario.keys, scenario.ops) = (FaultRates::calm(), 40, 8);
            }
            Sabotage::WinnersRemovesHidden => {
                (scenario.rest_ms_max, scenario.keys, scenario.ops) = (30, 12, 8);
            }
            Sabotage::WinnersProgressHidden => {
                scenario.rates = FaultRates::deadly();
                (scenario.ops, scenario.rest_ms_max) = (8, 30);
            }
            Sabotage::WinnersProtocolHidden | Sabotage::WinnersMetadataHidden | Sabotage::WinnersDomainsHidden => {
                (scenario.stewards, scenario.rest_ms_max, scenario.ops) = (4, 2_000, 12);
            }
            Sabotage::CheckThenWrite
            | Sabotage::LostWrite
            | Sabotage::WinnersIgnored
            | Sabotage::BlindAppendClaimed => {
                scenario.rest_ms_max = 30;
                scenario.keys = 12;
                scenario.ops = 8;
            }
            Sabotage::TokenForgotten | Sabotage::StagedFilesDeletedOnDoubt => {
                scenario.rates = FaultRates::lossy_writes()
            }
            Sabotage::ProgressForgotten => {
                scenario.rates = FaultRates::deadly();
                scenario.ops = 8;
            }
            Sabotage::VectorNotUnioned | Sabotage::RemoveWithoutVector | Sabotage::VectorsMisread => {
                scenario.deletion_vectors = true;
            }
            Sabotage::WinnersVectorForgotten => {
                scenario.deletion_vectors = true;
                (scenario.keys, scenario.batch_rows_max, scenario.changes) = (40, 60, 70);
                (scenario.writers, scenario.ops, scenario.rest_ms_max) = (4, 10, 0);
            }
            Sabotage::RemovesSkippedOnRead => scenario.readers = 2,
            Sabotage::CheckpointDropsFiles => (scenario.checkpoint_interval, scenario.v2_checkpoints) = (5, false),
            Sabotage::CompactionLosesRow => scenario.compactor = true,
            Sabotage::VacuumIgnoresAge => {
                scenario.vacuum = true;
                scenario.rest_ms_max = 2_000;
            }
            Sabotage::ClockTrusted => scenario.in_commit_timestamps = true,
            Sabotage::StatisticsTooNarrow | Sabotage::CleanupTooEager => {}
        }
        scenario
    }
}

//! The judge finds every planted bug, and soon. A bug it does not find would be one it does not look for.
//!
//! `FLOE_SIM_SEED` with one of these tests prints the world of that seed.

use floe_sim::{Sabotage, SimWorld};

/// A planted bug is found within this many seeds.
const SEEDS_MAX: u64 = 40;

fn is_found(bug: Sabotage) {
    let only = std::env::var("FLOE_SIM_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    if let Some(seed) = only {
        let report = SimWorld::sabotaged(seed, bug).verbose().run();
        println!("{}\n{report}", report.trace.join("\n"));
        return;
    }
    for seed in 0..SEEDS_MAX {
        let report = SimWorld::sabotaged(seed, bug).run();
        if !report.violations.is_empty() {
            println!("{bug:?} is found in seed {seed}:\n  {}", report.violations.join("\n  "));
            return;
        }
    }
    panic!("{bug:?} is not found in {SEEDS_MAX} seeds");
}

macro_rules! bugs {
    ($($name:ident $bug:ident)*) => {
        $(#[test]
        fn $name() {
            is_found(Sabotage::$bug);
        })*

        #[test]
        fn every_bug_has_its_test() {
            let tested = [$(Sabotage::$bug),*];
            for bug in Sabotage::ALL {
                assert!(tested.contains(&bug), "{bug:?}");
            }
        }
    };
}

bugs! {
    put_if_absent_that_looks_first_is_found CheckThenWrite
    an_acknowledged_write_that_is_lost_is_found LostWrite
    a_commit_without_token_is_found TokenForgotten
    a_commit_without_progress_is_found ProgressForgotten
    cleaning_up_staged_files_in_doubt_is_found StagedFilesDeletedOnDoubt
    ignoring_winners_is_found WinnersIgnored
    claiming_a_blind_append_is_found BlindAppendClaimed
    a_vector_that_forgets_the_old_one_is_found VectorNotUnioned
    forgetting_the_winners_vector_is_found WinnersVectorForgotten
    a_remove_without_its_vector_is_found RemoveWithoutVector
    misreading_vectors_is_found VectorsMisread
    skipping_removes_is_found RemovesSkippedOnRead
    a_checkpoint_without_some_files_is_found CheckpointDropsFiles
    statistics_that_are_too_narrow_are_found StatisticsTooNarrow
    compaction_that_loses_a_row_is_found CompactionLosesRow
    a_vacuum_that_ignores_age_is_found VacuumIgnoresAge
    a_clean_up_that_is_too_eager_is_found CleanupTooEager
    trusting_the_clock_is_found ClockTrusted
    keys_not_sought_in_what_winners_added_are_found WinnersAddsHidden
    removes_of_winners_that_do_not_count_are_found WinnersRemovesHidden
    progress_of_winners_that_does_not_count_is_found WinnersProgressHidden
    a_protocol_of_winners_that_does_not_count_is_found WinnersProtocolHidden
    metadata_of_winners_that_does_not_count_is_found WinnersMetadataHidden
    domains_of_winners_that_do_not_count_are_found WinnersDomainsHidden
    an_index_that_forgets_a_row_is_found IndexForgetsRow
    an_index_that_names_another_row_is_found IndexNamesOtherRow
}

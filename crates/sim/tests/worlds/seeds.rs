//! No seed may break a law.
//!
//! `FLOE_SIM_SEEDS` sets how many worlds are tried, `FLOE_SIM_FIRST_SEED` where they start, `FLOE_SIM_SEED` runs a single
//! one and prints everything that happens in it.

use std::collections::BTreeMap;

use floe_sim::{Fault, Report, Scenario, SimWorld};

/// Worlds tried unless the environment says otherwise.
const SEEDS: u64 = 520;
/// Worlds of upserts by key tried unless the environment says otherwise.
const KEYED_SEEDS: u64 = 1_000;
/// The seeds are dealt out to this many tests, so that every core has some.
const SHARES: u64 = 8;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text:?}")))
}

fn check_share(share: u64) {
    check_worlds(share, SEEDS, SimWorld::new);
}

fn check_worlds(share: u64, seeds: u64, world: fn(u64) -> SimWorld) {
    if number("FLOE_SIM_SEED").is_some() {
        return;
    }
    let first = number("FLOE_SIM_FIRST_SEED").unwrap_or(0);
    let seeds = number("FLOE_SIM_SEEDS").unwrap_or(seeds);
    let mut failed: Vec<Report> = Vec::new();
    let (mut worlds, mut versions, mut events) = (0, 0, 0);
    let mut struck: BTreeMap<Fault, u64> = BTreeMap::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for seed in (first..first + seeds).filter(|seed| seed % SHARES == share) {
        let report = world(seed).run();
        worlds += 1;
        versions += report.versions;
        events += report.events;
        for (fault, times) in &report.struck {
            *struck.entry(*fault).or_default() += times;
        }
        for (what, times) in &report.counts {
            *counts.entry(what.clone()).or_default() += times;
        }
        if !report.violations.is_empty() {
            println!("{report}");
            failed.push(report);
        }
    }
    println!("{worlds} worlds, {versions} versions, {events} events\nfaults: {struck:?}\n{counts:?}");
    let seeds_failed: Vec<u64> = failed.iter().map(|report| report.seed).collect();
    assert!(failed.is_empty(), "seeds {seeds_failed:?} break a law; the first:\n{}", failed[0]);
    // A fault that never strikes proves nothing.
    if worlds >= 60 {
        for fault in Fault::ALL {
            assert!(struck.contains_key(&fault), "{fault:?} never struck in {worlds} worlds");
        }
    }
}

macro_rules! shares {
    ($($name:ident $share:literal)*) => {
        $(#[test]
        fn $name() {
            check_share($share);
        })*
    };
}

shares! {
    no_seed_breaks_a_law_1 0
    no_seed_breaks_a_law_2 1
    no_seed_breaks_a_law_3 2
    no_seed_breaks_a_law_4 3
    no_seed_breaks_a_law_5 4
    no_seed_breaks_a_law_6 5
    no_seed_breaks_a_law_7 6
    no_seed_breaks_a_law_8 7
}

macro_rules! keyed_shares {
    ($($name:ident $share:literal)*) => {
        $(#[test]
        fn $name() {
            check_worlds($share, KEYED_SEEDS, |seed| SimWorld::of(Scenario::keyed(seed)));
        })*
    };
}

keyed_shares! {
    no_seed_breaks_a_law_of_keys_1 0
    no_seed_breaks_a_law_of_keys_2 1
    no_seed_breaks_a_law_of_keys_3 2
    no_seed_breaks_a_law_of_keys_4 3
    no_seed_breaks_a_law_of_keys_5 4
    no_seed_breaks_a_law_of_keys_6 5
    no_seed_breaks_a_law_of_keys_7 6
    no_seed_breaks_a_law_of_keys_8 7
}

#[test]
fn one_seed() {
    print_world(SimWorld::new);
}

#[test]
fn one_keyed_seed() {
    print_world(|seed| SimWorld::of(Scenario::keyed(seed)));
}

fn print_world(world: fn(u64) -> SimWorld) {
    let Some(seed) = number("FLOE_SIM_SEED") else { return };
    let report = world(seed).verbose().run();
    for line in &report.trace {
        println!("{line}");
    }
    println!("{report}\nfaults: {:?}\n{:?}", report.struck, report.counts);
    assert!(report.violations.is_empty(), "seed {seed} breaks a law");
}

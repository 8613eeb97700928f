//! A seed gives one run, or a failing seed would be worth nothing.

use floe_sim::{Scenario, SimWorld};

#[test]
fn a_seed_gives_the_same_run_twice() {
    for seed in [3, 11, 17, 42, 99, 1000] {
        let (one, two) = (SimWorld::new(seed).verbose().run(), SimWorld::new(seed).verbose().run());
        if one.trace_hash != two.trace_hash {
            let pairs = one.trace.iter().zip(&two.trace);
            let apart = pairs.enumerate().find(|(_, (a, b))| a != b);
            panic!("seed {seed} gives two different runs, which part at {apart:?}");
        }
        assert_eq!(one.violations, two.violations);
    }
}

#[test]
fn different_seeds_give_different_runs() {
    assert_ne!(SimWorld::new(1).run().trace_hash, SimWorld::new(2).run().trace_hash);
    assert_ne!(Scenario::of(1), Scenario::of(2));
}

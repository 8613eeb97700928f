//! Any bytes, thrown at everything that decodes bytes from outside: nothing panics, and what decodes keeps its laws.
//!
//! Bounded runs of the fuzz targets in `fuzz/`. A crasher that those find becomes a named test here.

use floe_testkit::hostile::{TARGETS, Target, seeds};
use proptest::prelude::*;
use proptest::sample::Index;

/// What is done to bytes that decode.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index),
    Swap(Index, Index),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match self {
            Damage::Flip(at, mask) => bytes[at.index(length)] ^= mask,
            Damage::Cut(at) => bytes.truncate(at.index(length)),
            Damage::Insert(at, more) => {
                let at = at.index(length);
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Repeat(a, b) => {
                let (a, b) = (a.index(length), b.index(length));
                let part = bytes[a.min(b)..a.max(b)].to_vec();
                bytes.extend(part);
            }
            Damage::Swap(a, b) => bytes.swap(a.index(length), b.index(length)),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let telling = prop::sample::select(vec![
        b"{".to_vec(),
        b"}".to_vec(),
        b"[[[[".to_vec(),
        b"\"".to_vec(),
        b"\\u0000".to_vec(),
        b"null".to_vec(),
        b"-1".to_vec(),
        b"9223372036854775808".to_vec(),
        b"1e999".to_vec(),
        b"../".to_vec(),
        b"%2e%2e/".to_vec(),
        b"%00".to_vec(),
        b"\xff\xff\xff\x7f".to_vec(),
        b"\0\0\0\0".to_vec(),
    ]);
    prop_oneof![
        4 => (any::<Index>(), 1u8..).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        1 => any::<Index>().prop_map(Damage::Cut),
        3 => (any::<Index>(), telling).prop_map(|(at, more)| Damage::Insert(at, more)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Damage::Repeat(a, b)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Damage::Swap(a, b)),
    ]
}

fn target(name: &str) -> Target {
    TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name").1
}

fn throw(name: &str, cases: u32) {
    let target = target(name);
    let seeds = seeds(name);
    seeds.iter().for_each(|seed| target(seed));
    let damaged =
        (prop::sample::select(seeds), prop::collection::vec(damage(), 1..6)).prop_map(|(mut bytes, damages)| {
            damages.iter().for_each(|damage| damage.apply(&mut bytes));
            bytes
        });
    let anything = prop_oneof![4 => damaged, 1 => prop::collection::vec(any::<u8>(), 0..200)];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let ran = runner.run(&anything, |bytes| {
        target(&bytes);
        Ok(())
    });
    ran.unwrap_or_else(|failure| match failure {
        proptest::test_runner::TestError::Fail(why, bytes) => {
            panic!("{name}: {why}\non {:?}", String::from_utf8_lossy(&bytes))
        }
        abort => panic!("{name}: {abort}"),
    });
}

#[test]
fn any_bytes_as_a_commit_give_a_state_or_an_error() {
    throw("commit", 2000);
}

#[test]
fn any_text_as_a_schema_gives_a_schema_or_an_error() {
    throw("schema", 2000);
}

#[test]
fn any_text_as_statistics_gives_bounds_or_nothing() {
    throw("statistics", 2000);
}

#[test]
fn any_bytes_as_a_checkpoint_give_a_table_or_an_error() {
    throw("checkpoint", 500);
}

#[test]
fn any_bytes_as_a_deletion_vector_give_rows_or_an_error() {
    throw("deletion_vector", 2000);
}

#[test]
fn any_text_as_a_path_stays_inside_the_table() {
    throw("path", 2000);
}

#[test]
fn every_fuzz_target_is_thrown_at_here() {
    let tested = ["commit", "schema", "statistics", "checkpoint", "deletion_vector", "path"];
    assert!(TARGETS.iter().map(|(name, _)| *name).eq(tested));
    for name in tested {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/fuzz_targets");
        assert!(std::path::Path::new(file).join(format!("{name}.rs")).exists(), "{name} has no fuzz target");
    }
}

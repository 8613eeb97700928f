use proptest::prelude::*;

use super::*;

fn about(files: usize) -> RunAbout {
    let files = (0..files).map(|n| format!("part-{n}.parquet")).collect();
    RunAbout::new("7", vec!["id".into(), "zone".into()], files)
}

fn entries(max: usize) -> impl Strategy<Value = Vec<Entry>> {
    let high = prop_oneof![3 => any::<u64>(), 1 => 0u64..3, 1 => Just(u64::MAX)];
    let entry = (high, 0u64..3, 0u32..4, any::<u32>()).prop_map(|(high, low, file, row)| Entry {
        hash: KeyHash { high, low },
        file,
        row,
    });
    proptest::collection::vec(entry, 0..max).prop_map(|mut entries| {
        entries.sort_unstable();
        entries
    })
}

fn look_up(bytes: &[u8], keys: &KeySet) -> Result<Vec<Entry>> {
    let footer = Footer::parse(bytes)?;
    let mut found = Vec::new();
    for block in footer.blocks_for(keys) {
        let block_bytes = bytes.get(footer.range_of(block)).unwrap_or_default();
        found.extend(footer.entries_of(block, block_bytes)?.into_iter().filter(|e| keys.contains(&e.hash)));
    }
    Ok(found)
}

fn expected(entries: &[Entry], keys: &KeySet) -> Vec<Entry> {
    entries.iter().filter(|entry| keys.contains(&entry.hash)).copied().collect()
}

proptest! {
    /// Law 6.
    #[test]
    fn a_look_up_gives_every_entry_of_its_keys(
        entries in entries(900),
        others in entries(20),
        picks in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
    ) {
        let mut hashes: Vec<KeyHash> = others.iter().map(|entry| entry.hash).collect();
        if !entries.is_empty() {
            hashes.extend(picks.iter().map(|pick| entries[pick.index(entries.len())].hash));
        }
        let keys = KeySet::new(hashes);
        let bytes = encode(Uuid::from_u128(1), &about(4), &entries).expect("it fits");
        prop_assert_eq!(look_up(&bytes, &keys).expect("it is sound"), expected(&entries, &keys));
    }

    #[test]
    fn slices_hold_all_entries_once(entries in entries(900), per_slice in 1u64..400) {
        let bytes = encode(Uuid::from_u128(1), &about(4), &entries).expect("it fits");
        let footer = Footer::parse(&bytes).expect("it is sound");
        let mut all = Vec::new();
        for slice in crate::entry::slices(footer.entries, per_slice) {
            for number in footer.blocks_of(slice) {
                let block = Block(number);
                let found = footer.entries_of(block, &bytes[footer.range_of(block)]).expect("it is sound");
                all.extend(found.into_iter().filter(|entry| slice.contains(&entry.hash)));
            }
        }
        prop_assert_eq!(all, entries);
    }

    /// What is damaged is noticed, or was not looked at: no damage changes an answer.
    #[test]
    fn damage_gives_an_error_or_the_truth(
        entries in entries(700),
        at in any::<proptest::sample::Index>(),
        bits in 1u8..=255,
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut bytes = encode(Uuid::from_u128(1), &about(4), &entries).expect("it fits");
        let keys = KeySet::new(entries.iter().step_by(3).map(|entry| entry.hash).collect());
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(found) = look_up(&bytes, &keys) {
            prop_assert_eq!(found, expected(&entries, &keys));
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut ended = bytes.clone();
        ended.extend_from_slice(MAGIC);
        prop_assert!(Footer::parse(&bytes).is_err());
        prop_assert!(Footer::parse(&ended).is_err());
    }
}

#[test]
fn a_block_of_another_run_or_place_is_refused() {
    let all: Vec<Entry> =
        (0..400).map(|n| Entry { hash: KeyHash { high: n << 40, low: n }, file: 0, row: n as u32 }).collect();
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let bytes = encode(one, &about(1), &all).expect("it fits");
    let foreign = encode(other, &about(1), &all).expect("it fits");
    let footer = Footer::parse(&bytes).expect("it is sound");
    let (first, second) = (footer.range_of(Block(0)), footer.range_of(Block(1)));
    assert!(footer.entries_of(Block(0), &bytes[first.clone()]).is_ok());
    assert!(footer.entries_of(Block(0), &foreign[first]).is_err());
    assert!(footer.entries_of(Block(0), &bytes[second]).is_err());
}

#[test]
fn the_layout_does_not_change() {
    // A run once written is read for as long as its table lives.
    let entries = [Entry { hash: KeyHash { high: 1, low: 2 }, file: 3, row: 4 }];
    let bytes = encode(Uuid::from_u128(9), &about(4), &entries).expect("it fits");
    assert_eq!(bytes[..24], [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(bytes[COUNT_AT], 1);
    assert_eq!(&bytes[bytes.len() - 8..], MAGIC);
    assert_eq!(long_at(&bytes, CHECKSUM_AT), 61_935_044_453_546_368);
}

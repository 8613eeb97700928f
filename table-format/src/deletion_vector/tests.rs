use proptest::prelude::*;

use super::*;

fn rows(numbers: &[u64]) -> RowSet {
    numbers.iter().copied().collect()
}

fn check_corrupt<T: std::fmt::Debug>(result: Result<T>, part: &str) {
    match result {
        Err(FormatError::CorruptDv { what, .. }) => assert!(what.contains(part), "{what:?} lacks {part:?}"),
        other => panic!("expected a corrupt vector ({part}), got {other:?}"),
    }
}

/// A file with one set, and its descriptor.
fn file_of(set: &RowSet) -> (Vec<u8>, DeletionVectorDescriptor) {
    let mut writer = DvFileWriter::new();
    let (offset, size) = writer.add(set).expect("a small set");
    (writer.finish(), descriptor_for_file("", Uuid::from_u128(7), offset, size, set.len()))
}

/// Protocol section "Deletion Vectors", JSON example 1.
fn root() -> TableRoot {
    TableRoot::of("file:///lake/t")
}

#[test]
fn the_protocols_relative_example_resolves() {
    let descriptor = DeletionVectorDescriptor {
        storage_type: "u".into(),
        path_or_inline_dv: "ab^-aqEH.-t@S}K{vb[*k^".into(),
        offset: Some(4),
        size_in_bytes: 40,
        cardinality: 6,
    };
    let path = "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin";
    assert_eq!(path_in(&descriptor, &root()), Ok(Some(path.into())));
    assert_eq!(unique_id(&descriptor), "uab^-aqEH.-t@S}K{vb[*k^@4");
    let uuid = Uuid::parse_str("d2c639aa-8816-431a-aaf6-d3fe2512ff61").expect("a UUID");
    assert_eq!(descriptor_for_file("ab", uuid, 4, 40, 6), descriptor);
    assert_eq!(file_path("ab", uuid), path);
    assert_eq!(blob_range(&descriptor), Ok(4..52));
}

/// Protocol section "Deletion Vectors", JSON example 2.
#[test]
fn the_protocols_absolute_example_resolves_below_its_table_only() {
    let descriptor = DeletionVectorDescriptor {
        storage_type: "p".into(),
        path_or_inline_dv: "s3://mytable/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin".into(),
        offset: Some(4),
        size_in_bytes: 40,
        cardinality: 6,
    };
    let name = "deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin";
    assert_eq!(path_in(&descriptor, &TableRoot::of("s3://mytable/")), Ok(Some(name.into())));
    assert_eq!(path_in(&descriptor, &TableRoot::of("s3://mytable/clone")), Ok(Some(format!("/{name}"))));
    let refused = path_in(&descriptor, &TableRoot::of("s3://other"));
    assert!(matches!(refused, Err(FormatError::PathEscapesTable { .. })), "{refused:?}");
    let inside = DeletionVectorDescriptor { path_or_inline_dv: "a%20b.bin".into(), ..descriptor };
    assert_eq!(path_in(&inside, &TableRoot::of("s3://mytable")), Ok(Some("a b.bin".into())));
}

/// Protocol section "Deletion Vectors", JSON example 3.
#[test]
fn the_protocols_inline_example_decodes() {
    let descriptor = DeletionVectorDescriptor {
        storage_type: "i".into(),
        path_or_inline_dv: "wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L".into(),
        offset: None,
        size_in_bytes: 40,
        cardinality: 6,
    };
    assert_eq!(decode_inline(&descriptor), Ok(rows(&[3, 4, 7, 11, 18, 29])));
    assert_eq!(path_in(&descriptor, &root()), Ok(None));
    assert_eq!(unique_id(&descriptor), "iwi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L");
}

/// The same rows in the layout that the protocol describes, as Spark writes them.
#[test]
fn an_inline_vector_of_spark_decodes() {
    let descriptor = DeletionVectorDescriptor {
        storage_type: "i".into(),
        path_or_inline_dv: "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L".into(),
        offset: None,
        size_in_bytes: 44,
        cardinality: 6,
    };
    let expected = rows(&[3, 4, 7, 11, 18, 29]);
    assert_eq!(decode_inline(&descriptor), Ok(expected.clone()));
    assert_eq!(encode_inline(&expected), descriptor);
}

#[test]
fn a_file_holds_several_sets() {
    let sets = [rows(&[0]), RowSet::new(), rows(&[1, 2, 3, 1 << 33]), (0..100_000).collect()];
    let mut writer = DvFileWriter::new();
    assert!(writer.is_empty());
    let places: Vec<(i32, i32)> = sets.iter().map(|set| writer.add(set).expect("small sets")).collect();
    let file = writer.finish();
    assert_eq!((file[0], places[0].0), (1, 1));
    for (set, (offset, size)) in sets.iter().zip(places) {
        let descriptor = descriptor_for_file("", Uuid::nil(), offset, size, set.len());
        let range = blob_range(&descriptor).expect("our own descriptor");
        let bytes = &file[range.start as usize..range.end as usize];
        assert_eq!(read_at(bytes, &descriptor).as_ref(), Ok(set));
    }
}

#[test]
fn ranges_take_few_bytes() {
    assert!((0..10_000_000).collect::<RowSet>().to_bytes().len() < 4000);
}

#[test]
fn a_flipped_bit_in_a_file_is_found() {
    let (file, descriptor) = file_of(&rows(&[1, 5, 9]));
    let blob = &file[1..];
    assert!(read_at(blob, &descriptor).is_ok());
    for byte in 0..blob.len() {
        let mut damaged = blob.to_vec();
        damaged[byte] ^= 1;
        check_corrupt(read_at(&damaged, &descriptor), "");
    }
    check_corrupt(read_at(&blob[..blob.len() - 1], &descriptor), "bytes were found");
    check_corrupt(read_at(&[], &descriptor), "bytes were found");
}

#[test]
fn a_vector_that_marks_other_rows_than_its_descriptor_says_is_refused() {
    let (file, descriptor) = file_of(&rows(&[1, 5, 9]));
    for cardinality in [0, 2, 4, -3, i64::MAX] {
        let lying = DeletionVectorDescriptor { cardinality, ..descriptor.clone() };
        check_corrupt(read_at(&file[1..], &lying), "marks 3 rows");
        let lying = DeletionVectorDescriptor { cardinality, ..encode_inline(&rows(&[1, 5, 9])) };
        check_corrupt(decode_inline(&lying), "marks 3 rows");
    }
}

#[test]
fn impossible_descriptors_are_refused() {
    let good = encode_inline(&rows(&[1]));
    for size_in_bytes in [i32::MIN, -1, 0, 3, 7] {
        let bad = DeletionVectorDescriptor { size_in_bytes, ..good.clone() };
        check_corrupt(decode_inline(&bad), "sizeInBytes");
        check_corrupt(read_at(&[0; 8], &bad), "sizeInBytes");
        check_corrupt(blob_range(&bad), "sizeInBytes");
    }
    for size_in_bytes in [8, good.size_in_bytes + 4, i32::MAX] {
        check_corrupt(decode_inline(&DeletionVectorDescriptor { size_in_bytes, ..good.clone() }), "are encoded");
    }
    check_corrupt(decode_inline(&DeletionVectorDescriptor { offset: Some(1), ..good.clone() }), "no offset");
    check_corrupt(
        decode_inline(&DeletionVectorDescriptor { storage_type: "u".into(), ..good.clone() }),
        "storage type",
    );
    check_corrupt(blob_range(&DeletionVectorDescriptor { offset: Some(-1), ..good.clone() }), "offset");
    check_corrupt(
        path_in(&DeletionVectorDescriptor { storage_type: "x".into(), ..good.clone() }, &root()),
        "storage type",
    );
    for (text, part) in
        [("a b c", "not a base85 digit"), ("abcd", "multiple of 5"), ("#####", "too large"), ("é0000", "multiple")]
    {
        let bad = DeletionVectorDescriptor { path_or_inline_dv: text.into(), ..good.clone() };
        check_corrupt(decode_inline(&bad), part);
    }
}

#[test]
fn malformed_file_references_are_refused() {
    let reference = |text: &str| {
        let descriptor = DeletionVectorDescriptor {
            storage_type: "u".into(),
            path_or_inline_dv: text.into(),
            ..DeletionVectorDescriptor::default()
        };
        path_in(&descriptor, &root())
    };
    check_corrupt(reference(""), "20 characters");
    check_corrupt(reference("0123456789"), "20 characters");
    check_corrupt(reference("####################"), "too large");
    check_corrupt(reference("é-aqEH.-t@S}K{vb[*k^"), "");
    check_corrupt(reference("a/b^-aqEH.-t@S}K{vb[*k^"), "not the name of a folder");
    for prefix in ["..", "/", "../..", "\\..", "a\0", "."] {
        let refused = reference(&format!("{prefix}^-aqEH.-t@S}}K{{vb[*k^"));
        assert!(matches!(refused, Err(FormatError::PathEscapesTable { .. })), "{prefix:?}: {refused:?}");
    }
}

/// A portable set with these buckets: key and serialised bitmap.
fn portable(count: u64, buckets: &[(u32, &[u8])]) -> Vec<u8> {
    let mut bytes = 1_681_511_377u32.to_le_bytes().to_vec();
    bytes.extend(count.to_le_bytes());
    for (key, bitmap) in buckets {
        bytes.extend(key.to_le_bytes());
        bytes.extend(*bitmap);
    }
    bytes
}

#[test]
fn hostile_bitmaps_are_refused() {
    let one = &rows(&[1]).to_bytes()[16..];
    assert_eq!(RowSet::parse(&portable(1, &[(0, one)])), Ok(rows(&[1])));
    check_corrupt(RowSet::parse(&[]), "magic");
    check_corrupt(RowSet::parse(&[1, 2, 3, 4]), "magic number is");
    check_corrupt(RowSet::parse(&portable(0, &[])[..8]), "number of buckets");
    check_corrupt(RowSet::parse(&portable(u64::MAX, &[(0, one)])), "do not fit");
    check_corrupt(RowSet::parse(&portable(2, &[(0, one)])), "");
    check_corrupt(RowSet::parse(&portable(2, &[(3, one), (3, one)])), "must ascend");
    check_corrupt(RowSet::parse(&portable(2, &[(3, one), (1, one)])), "must ascend");
    check_corrupt(RowSet::parse(&portable(1, &[(1 << 31, one)])), "beyond");
    check_corrupt(RowSet::parse(&portable(1, &[(0, &[one, &[0]].concat())])), "1 bytes follow");
    check_corrupt(RowSet::parse(&portable(1, &[(0, &one[..one.len() - 1])])), "roaring");
    // A header that claims 65536 containers, or a count beyond that, with nothing behind it.
    for claim in [65_536u32, u32::MAX] {
        let header = [12_346u32.to_le_bytes(), claim.to_le_bytes()].concat();
        check_corrupt(RowSet::parse(&portable(1, &[(0, &header)])), "roaring");
    }
    let runs = [(12_347u32 | 0xffff_0000).to_le_bytes().to_vec(), vec![0xff; 64]].concat();
    check_corrupt(RowSet::parse(&portable(1, &[(0, &runs)])), "roaring");
}

#[test]
fn the_four_zero_bytes_that_trino_leaves_behind_a_set_are_read_over() {
    // Written by Trino 476: rows 4, 14 and 24.
    let written =
        "d1d339640100000000000000000000003a300000010000000000020010000000".to_owned() + "04000e00180000000000";
    let bytes: Vec<u8> =
        (0..written.len()).step_by(2).map(|at| u8::from_str_radix(&written[at..at + 2], 16).unwrap()).collect();
    assert_eq!(bytes.len(), 42);
    assert_eq!(RowSet::parse(&bytes), Ok(rows(&[4, 14, 24])));
    check_corrupt(RowSet::parse(&[&bytes[..38], &[0, 0, 0, 1]].concat()), "4 bytes follow");
    check_corrupt(RowSet::parse(&[&bytes[..], &[0; 4]].concat()), "8 bytes follow");
}

#[test]
fn hostile_native_bitmaps_are_refused() {
    let native = |count: u32, size: u32, bitmap: &[u8]| {
        [&1_681_511_376u32.to_le_bytes()[..], &count.to_le_bytes(), &size.to_le_bytes(), bitmap].concat()
    };
    let one = &rows(&[1]).to_bytes()[16..];
    assert_eq!(RowSet::parse(&native(1, one.len() as u32, one)), Ok(rows(&[1])));
    check_corrupt(RowSet::parse(&native(u32::MAX, 8, one)), "do not fit");
    check_corrupt(RowSet::parse(&native(1, u32::MAX, one)), "a bitmap takes");
    check_corrupt(RowSet::parse(&native(1, one.len() as u32 + 1, &[one, &[0]].concat())), "before its size says");
    check_corrupt(RowSet::parse(&native(1, one.len() as u32, &[one, &[0]].concat())), "1 bytes follow");
}

#[test]
fn empty_buckets_do_not_matter() {
    let empty = [12_346u32.to_le_bytes(), 0u32.to_le_bytes()].concat();
    assert_eq!(RowSet::parse(&portable(1, &[(5, &empty)])), Ok(RowSet::new()));
    assert_eq!(RowSet::parse(&portable(0, &[])), Ok(RowSet::new()));
}

#[test]
fn sets_combine() {
    let (a, b) = (rows(&[1, 2, 3]), rows(&[3, 4]));
    assert_eq!(a.union(&b), rows(&[1, 2, 3, 4]));
    assert_eq!(a.difference(&b), rows(&[1, 2]));
    assert_eq!(a.intersection(&b), rows(&[3]));
    assert!(!a.is_disjoint(&b) && a.is_disjoint(&rows(&[7])));
    assert!(rows(&[1, 3]).is_subset(&a) && !b.is_subset(&a));
    assert_eq!((a.min(), a.max(), a.len(), a.count_in(2..9)), (Some(1), Some(3), 3, 2));
    let mut c = RowSet::new();
    assert!(c.insert(5) && !c.insert(5));
    assert_eq!((c.insert_range(4..8), c.iter().collect::<Vec<_>>()), (3, vec![4, 5, 6, 7]));
}

/// Sparse rows, dense runs, and rows beyond 32 bits.
fn any_rows() -> impl Strategy<Value = RowSet> {
    let range = (prop_oneof![0..200_000u64, Just(1 << 32), Just((1 << 40) - 7)], 0..9_000u64);
    let ranges = proptest::collection::vec(range, 0..3);
    let single = proptest::collection::vec(prop_oneof![0..1_000_000u64, 0..=i64::MAX as u64], 0..50);
    (ranges, single).prop_map(|(ranges, single)| {
        let mut set: RowSet = single.into_iter().collect();
        for (start, length) in ranges {
            set.insert_range(start..start + length);
        }
        set
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sets_round_trip(set in any_rows()) {
        let bytes = set.to_bytes();
        prop_assert_eq!(RowSet::parse(&bytes), Ok(set.clone()));
        prop_assert_eq!(decode_inline(&encode_inline(&set)), Ok(set.clone()));
        let (file, descriptor) = file_of(&set);
        prop_assert_eq!(read_at(&file[1..], &descriptor), Ok(set));
    }

    #[test]
    fn truncated_sets_are_refused(set in any_rows(), cut in any::<prop::sample::Index>()) {
        let bytes = set.to_bytes();
        prop_assert!(RowSet::parse(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn damaged_sets_never_panic(set in any_rows(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = set.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = with;
        let _ = RowSet::parse(&bytes);
    }

    #[test]
    fn base85_round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut padded = bytes.clone();
        padded.resize(bytes.len().next_multiple_of(4), 0);
        prop_assert_eq!(z85::decode(&z85::encode(&bytes)), Ok(padded));
    }

    #[test]
    fn any_text_decodes_or_is_refused(text in "\\PC{0,30}") {
        let _ = z85::decode(&text);
    }
}

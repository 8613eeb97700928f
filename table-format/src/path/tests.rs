use proptest::prelude::*;

use super::*;
use crate::error::FormatError;

fn v(number: u64) -> Version {
    Version::new(number).expect("a small version")
}

#[test]
fn names_of_log_files_are_recognised() {
    let name = |rest: &str| format!("00000000000000000010.{rest}");
    let uuid = "80a083e8-7026-4e79-81be-64bd76c43a11";
    let uuid_checkpoint = |json| LogFile::UuidCheckpoint { version: v(10), uuid: uuid.into(), json };
    for (rest, expected) in [
        ("json", LogFile::Commit(v(10))),
        ("crc", LogFile::Checksum(v(10))),
        ("checkpoint.parquet", LogFile::ClassicCheckpoint(v(10))),
        (
            "checkpoint.0000000002.0000000003.parquet",
            LogFile::MultiPartCheckpoint { version: v(10), part: 2, parts: 3 },
        ),
        ("00000000000000000012.compacted.json", LogFile::CompactedCommits { from: v(10), to: v(12) }),
        (&format!("checkpoint.{uuid}.json"), uuid_checkpoint(true)),
        (&format!("checkpoint.{uuid}.parquet"), uuid_checkpoint(false)),
    ] {
        assert_eq!(LogFile::parse(&name(rest)), expected, "{rest}");
    }
}

#[test]
fn other_names_are_ignored() {
    for name in [
        "",
        "_last_checkpoint",
        "_commits",
        "10.json",
        "0000000000000000010.json",
        "000000000000000000010.json",
        "0000000000000000001a.json",
        "+0000000000000000010.json",
        "00000000000000000010.json.tmp",
        ".00000000000000000010.json.crc",
        "00000000000000000010.JSON",
        "99999999999999999999.json",
        "00000000000000000010.checkpoint.0000000000.0000000003.parquet",
        "00000000000000000010.checkpoint.0000000004.0000000003.parquet",
        "00000000000000000010.checkpoint.1.3.parquet",
        "00000000000000000010.checkpoint.9999999999.9999999999.parquet",
        "00000000000000000010.checkpoint.not-a-uuid.parquet",
        "00000000000000000010.checkpoint.80a083e870264e7981be64bd76c43a11.json",
        "00000000000000000012.00000000000000000010.compacted.json",
        "00000000000000000012.00000000000000000012.compacted.json",
        "00000000000000000010.80a083e8-7026-4e79-81be-64bd76c43a11.json",
        "0000000000000000001é.json",
    ] {
        assert_eq!(LogFile::parse(name), LogFile::Other, "{name}");
    }
}

#[test]
fn compacted_commits_bring_a_reader_to_their_last_version() {
    assert_eq!(LogFile::CompactedCommits { from: v(1), to: v(5) }.version(), Some(v(5)));
    assert_eq!(LogFile::Other.version(), None);
    assert!(LogFile::ClassicCheckpoint(v(1)).is_checkpoint());
    assert!(!LogFile::Commit(v(1)).is_checkpoint());
}

fn check_decodes(encoded: &str, expected: &str) {
    assert_eq!(DataPath::decode(encoded).as_deref(), Ok(expected), "{encoded}");
}

fn check_escapes(encoded: &str) {
    match DataPath::decode(encoded) {
        Err(FormatError::PathEscapesTable { .. }) => {}
        other => panic!("{encoded:?} gave {other:?}"),
    }
}

#[test]
fn paths_are_decoded_exactly_once() {
    check_decodes("part-0.parquet", "part-0.parquet");
    check_decodes("a%20b/c.parquet", "a b/c.parquet");
    check_decodes("region=a%252Fb/c.parquet", "region=a%2Fb/c.parquet");
    check_decodes("t=2020-01-01%2000%253A00/x", "t=2020-01-01 00%3A00/x");
    check_decodes("caf%C3%A9=%E2%82%AC/x", "café=€/x");
    check_decodes("café/x", "café/x");
    check_decodes("./a:b", "a:b");
    check_decodes("a=1:2/x", "a=1:2/x");
    check_decodes("100%/x", "100%/x");
    check_decodes("..a/b../...", "..a/b../...");
}

#[test]
fn paths_that_leave_the_table_are_refused() {
    for path in [
        "",
        "..",
        "../x",
        "a/../../x",
        "a/..",
        "%2e%2e/x",
        "a/%2E%2E/x",
        "a%2F..%2F..%2Fx",
        "..\\x",
        "a/..\\x",
        "a%5c..%5cx",
        "/etc/passwd",
        "%2Fetc/passwd",
        "//host/x",
        "\\\\host\\x",
        "C:/x",
        "c%3A%5Cx",
        "s3://other/x",
        "file:/x",
        "abfss://c@a/x",
        "a\0b",
        "a%00b",
        "a//b",
        "a/",
        "./",
        "a/./b",
        "././a",
        "%ff%fe",
    ] {
        check_escapes(path);
    }
}

#[test]
fn absolute_paths_below_the_root_are_taken_where_the_root_is_known() {
    let root = TableRoot::of("s3://bucket/table/");
    for inside in ["a%20b", "s3://bucket/table/a%20b", "s3a://bucket/table/a%20b"] {
        assert_eq!(root.decode(inside).as_deref(), Ok("a b"), "{inside}");
    }
    // The last two name a file where a folder is, which nobody will find.
    for (path, outside) in
        [("s3://bucket/table2/a%20b", "/table2/a b"), ("s3://bucket/a", "/a"), ("s3://bucket/table", "/table")]
    {
        assert_eq!(root.decode(path).as_deref(), Ok(outside), "{path}");
        assert!(TableRoot::is_outside(outside));
    }
    for path in [
        "s3://bucket/table/../a",
        "s3://bucket/table/%2e%2e/a",
        "s3://bucket/table/",
        "s3://bucket/other//a",
        "s3://bucket",
        "s3://bucket/",
        "s3://other/table/a",
        "https://bucket/table/a",
        "s3:bucket/table/a",
        "/a",
        "//bucket/a",
    ] {
        assert!(matches!(root.decode(path), Err(FormatError::PathEscapesTable { .. })), "{path}");
    }
}

#[test]
fn a_local_root_takes_every_form_of_a_local_path() {
    let root = TableRoot::of("file:///lake/my%20table");
    for inside in ["x", "/lake/my%20table/x", "file:/lake/my%20table/x", "file:///lake/my%20table/x"] {
        assert_eq!(root.decode(inside).as_deref(), Ok("x"), "{inside}");
    }
    for outside in ["/lake/source/x", "file:/lake/source/x", "file:///lake/source/x", "file://localhost/lake/source/x"]
    {
        assert_eq!(root.decode(outside).as_deref(), Ok("/lake/source/x"), "{outside}");
    }
    for path in ["/lake/../etc/x", "file:///lake/my%20table/%2e%2e/x", "file:///", "/", "//x", "file://host/lake/x"] {
        assert!(matches!(root.decode(path), Err(FormatError::PathEscapesTable { .. })), "{path}");
    }
    let written = TableRoot::absolute("file:///lake/my%20table", "p=a%2Fb:c/x y");
    assert_eq!(written, "file:///lake/my%20table/p=a%252Fb:c/x%20y");
    assert_eq!(root.decode(&written).as_deref(), Ok("p=a%2Fb:c/x y"));
    assert_eq!(TableRoot::of("/other").decode(&written).as_deref(), Ok("/lake/my table/p=a%2Fb:c/x y"));
}

#[test]
fn reserved_characters_are_quoted_as_spark_quotes_them() {
    assert_eq!(
        DataPath::encode("a b%c#d?e[f]g\\h^i`j{k|l}m\"n<o>p"),
        "a%20b%25c%23d%3Fe%5Bf%5Dg%5Ch%5Ei%60j%7Bk%7Cl%7Dm%22n%3Co%3Ep"
    );
    assert_eq!(DataPath::encode("x=1/a-_.!~*'()@&=+$,;:b"), "x=1/a-_.!~*'()@&=+$,;:b");
    assert_eq!(DataPath::encode("a:b/c:d"), "a%3Ab/c:d");
    assert_eq!(DataPath::encode("café"), "caf%C3%A9");
}

#[test]
fn partition_folders_are_escaped_as_hive_does() {
    let path = partition_directory(&[("year", Some("2024")), ("a=b", Some("x/y:z%")), ("n", None), ("e", Some(""))]);
    assert_eq!(path, format!("year=2024/a%3Db=x%2Fy%3Az%25/n={NULL_PARTITION}/e={NULL_PARTITION}"));
    assert_eq!(partition_directory(&[] as &[(&str, Option<&str>)]), "");
    assert_eq!(partition_directory(&[("c", Some("\n\u{7f}é .."))]), "c=%0A%7Fé ..");
}

#[test]
fn a_folder_with_a_percent_sign_is_encoded_twice_in_the_log() {
    let folder = partition_directory(&[("c", Some("a/b"))]);
    assert_eq!(DataPath::encode(&format!("{folder}/f")), "c=a%252Fb/f");
}

proptest! {
    #[test]
    fn names_round_trip(version in 0..i64::MAX as u64, parts in 1..100u32, part in 1..100u32) {
        let version = v(version);
        let part = part.min(parts);
        prop_assert_eq!(LogFile::parse(&commit_name(version)), LogFile::Commit(version));
        prop_assert_eq!(LogFile::parse(&checkpoint_name(version)), LogFile::ClassicCheckpoint(version));
        prop_assert_eq!(LogFile::parse(&checksum_name(version)), LogFile::Checksum(version));
        prop_assert_eq!(
            LogFile::parse(&multi_part_checkpoint_name(version, part, parts)),
            LogFile::MultiPartCheckpoint { version, part, parts }
        );
    }

    #[test]
    fn any_name_parses_without_panic(name in "\\PC{0,60}") {
        LogFile::parse(&name);
    }

    #[test]
    fn every_decoded_path_stays_inside(path in "[a./\\\\%25eE0:]{0,16}") {
        if let Ok(decoded) = DataPath::decode(&path) {
            prop_assert!(!decoded.starts_with('/'));
            prop_assert!(decoded.split(['/', '\\']).all(|segment| segment != ".."));
        }
    }

    #[test]
    fn a_path_comes_back_from_the_log(values in proptest::collection::vec(".{0,8}", 1..4)) {
        let columns: Vec<(String, Option<&str>)> =
            values.iter().enumerate().map(|(i, value)| (format!("c{i}"), Some(value.as_str()))).collect();
        let path = format!("{}/part.parquet", partition_directory(&columns));
        let encoded = DataPath::encode(&path);
        prop_assert!(encoded.is_ascii());
        prop_assert_eq!(DataPath::decode(&encoded), Ok(path));
    }
}

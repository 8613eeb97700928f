//! Laws of the readers of text: what a file says does not depend on the pieces that it comes in, and no record is lost.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use proptest::prelude::*;

use super::csv::CsvRecords;
use super::json::JsonRecords;
use super::unpack::Unpack;
use super::{CsvOptions, Decoded, JsonOptions, Packing, Records};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("text", DataType::Utf8, true)]))
}

fn read(mut records: impl Records, bytes: &[u8], pieces: &[usize]) -> Decoded {
    let mut out = Decoded::default();
    let mut rest = bytes;
    for piece in pieces {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        records.push(now, &mut out).expect("readable");
        rest = later;
    }
    records.push(rest, &mut out).expect("readable");
    records.finish(&mut out).expect("readable");
    out
}

fn rows(decoded: &Decoded) -> Vec<(i64, Option<String>)> {
    let all: RecordBatch = concat_batches(&schema(), &decoded.batches).expect("of one schema");
    let (ids, texts) = (all.column(0).as_primitive::<Int64Type>(), all.column(1).as_string::<i32>());
    ids.values().iter().zip(texts.iter()).map(|(id, text)| (*id, text.map(str::to_owned))).collect()
}

/// A record: its number, or what is no number, and a text.
fn record() -> impl Strategy<Value = (Result<i64, String>, String)> {
    let id = prop_oneof![8 => any::<i64>().prop_map(Ok), 1 => "[a-z]{1,3}".prop_map(Err)];
    (id, "[ -~äß\u{1f986}\n\"']{1,12}")
}

proptest! {
    #[test]
    fn csv_says_the_same_in_any_pieces(
        records in prop::collection::vec(record(), 0..40),
        pieces in prop::collection::vec(1usize..30, 0..40),
        crlf in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = format!("text,id{end}");
        let (mut expected, mut lines, mut line) = (Vec::new(), Vec::new(), 2u64);
        for (id, value) in &records {
            let quoted = value.replace('"', "\"\"");
            let id_text = match id {
                Ok(id) => id.to_string(),
                Err(other) => other.clone(),
            };
            text.push_str(&format!("\"{quoted}\",{id_text}{end}"));
            match id {
                Ok(id) => expected.push((*id, Some(value.clone()))),
                Err(_) => lines.push(line),
            }
            line += 1 + value.matches('\n').count() as u64;
        }
        let out = read(CsvRecords::new(&CsvOptions::default(), "a.csv", schema()), text.as_bytes(), &pieces);
        prop_assert_eq!(rows(&out), expected);
        prop_assert_eq!(out.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), lines);
    }

    #[test]
    fn json_says_the_same_in_any_pieces(
        records in prop::collection::vec(record(), 0..40),
        pieces in prop::collection::vec(1usize..30, 0..40),
        array in any::<bool>(),
    ) {
        let objects: Vec<String> = records
            .iter()
            .map(|(id, text)| match id {
                Ok(id) => serde_json::json!({"id": id, "text": text}).to_string(),
                Err(other) => serde_json::json!({"id": other, "text": text}).to_string(),
            })
            .collect();
        let text = if array { format!("[{}]", objects.join(",\n")) } else { objects.join("\n") };
        let expected: Vec<_> = records.iter().filter_map(|(id, text)| Some((*id.as_ref().ok()?, Some(text.clone())))).collect();
        let lines: Vec<u64> =
            records.iter().enumerate().filter(|(_, (id, _))| id.is_err()).map(|(at, _)| at as u64 + 1).collect();
        let out = read(JsonRecords::new(JsonOptions::default(), schema()), text.as_bytes(), &pieces);
        prop_assert_eq!(rows(&out), expected);
        prop_assert_eq!(out.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), lines);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1usize..50) {
        let pieces = vec![piece; 400 / piece];
        let (mut csv, mut json) = (Decoded::default(), Decoded::default());
        let csv_options = CsvOptions { header: false, ..CsvOptions::default() };
        for (records, out) in [
            (&mut CsvRecords::new(&csv_options, "a.csv", schema()) as &mut dyn Records, &mut csv),
            (&mut JsonRecords::new(JsonOptions::default(), schema()), &mut json),
        ] {
            let mut rest = &bytes[..];
            for piece in &pieces {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                records.push(now, out).expect("short records");
                rest = later;
            }
            records.push(rest, out).expect("short records");
            // An array that does not end is an error of the file.
            let _ = records.finish(out);
        }
    }

    #[test]
    fn packed_bytes_come_out_as_they_went_in(bytes in prop::collection::vec(any::<u8>(), 0..20_000), piece in 1usize..5000) {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &bytes).expect("packs");
        let gzip = gzip.finish().expect("packs");
        let zstd = zstd::encode_all(&bytes[..], 1).expect("packs");
        for (packing, packed) in [(Packing::Gzip, gzip), (Packing::Zstd, zstd), (Packing::None, bytes.clone())] {
            let unpacked = |packed: &[u8]| {
                let mut out = Vec::new();
                let mut unpack = Unpack::new(packing)?;
                let mut take = |bytes: &[u8]| -> std::io::Result<()> {
                    out.extend_from_slice(bytes);
                    Ok(())
                };
                packed.chunks(piece).try_for_each(|piece| unpack.push(piece, &mut take))?;
                unpack.finish(&mut take)?;
                Ok::<_, std::io::Error>(out)
            };
            prop_assert_eq!(unpacked(&packed).expect("unpacks"), bytes.clone());
            if packing != Packing::None {
                prop_assert!(unpacked(&packed[..packed.len() - 1]).is_err(), "{packing:?} cut short");
            }
        }
    }
}

#[test]
fn a_quote_that_is_not_closed_makes_no_row() {
    let options = CsvOptions { comment: Some(b'#'), ..CsvOptions::default() };
    let read = |text: &str| read(CsvRecords::new(&options, "a.csv", schema()), text.as_bytes(), &[]);
    for tail in ["1,\"a\n2,b\n3,c\n", "1,\"a\n2,b", "1,\""] {
        let out = read(&format!("# by hand\nid,text\n{tail}"));
        assert!(out.batches.is_empty(), "{tail:?} gives {:?}", rows(&out));
        assert_eq!(out.bad.iter().map(|bad| (bad.line, bad.record.as_str())).collect::<Vec<_>>(), [(3, tail)]);
    }
    for tail in ["1,\"a\"", "1,\"a\"\n", "1,a\n# end", "1,a\n\n\n#"] {
        let out = read(&format!("id,text\n{tail}"));
        assert_eq!((rows(&out), out.bad), (vec![(1, Some("a".into()))], vec![]), "{tail:?}");
    }
}

#[test]
fn packing_is_told_by_the_end_of_a_name() {
    assert_eq!(Packing::of_path("a/b.csv.gz"), (Packing::Gzip, "a/b.csv"));
    assert_eq!(Packing::of_path("a/b.json.ZST"), (Packing::Zstd, "a/b.json"));
    assert_eq!(Packing::of_path("a/b.csv"), (Packing::None, "a/b.csv"));
}

//! COPY INTO: files whose rows are loaded once.

use std::path::Path;
use std::time::{Duration, SystemTime};

use floe_query::{Outcome, QueryError};

use super::{World, check_in};

fn write(path: &str, text: &str) {
    std::fs::create_dir_all(Path::new(path).parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("writes");
}

/// Makes a file younger than it is.
fn touch(path: &str) {
    let file = std::fs::File::options().append(true).open(path).expect("opens");
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000)).expect("sets the time");
}

#[tokio::test]
async fn each_file_is_loaded_once() {
    let world = World::new().await;
    let folder = world.path("in");
    write(&format!("{folder}/a.csv"), "id,name\n1,a\n2,b\n");
    write(&format!("{folder}/b.csv"), "NAME,id\nc,3\n");
    world.run("CREATE TABLE t (id BIGINT NOT NULL, name STRING)").await;
    let load = format!("COPY INTO t FROM '{folder}'");
    let done = world.run(&load).await;
    assert_eq!((done.affected_rows, done.message.as_str()), (Some(3), "loaded 3 rows of 2 files into t (version 1)"));
    world.check("SELECT id, name FROM t", &["1|a", "2|b", "3|c"]).await;

    let done = world.run(&load).await;
    assert_eq!(done.message, "nothing to load into t; 2 files were loaded before");
    assert_eq!(done.version, None);

    write(&format!("{folder}/sub/c.csv"), "id,name\n4,d\n");
    write(&format!("{folder}/_tmp.csv"), "id,name\n9,z\n");
    write(&format!("{folder}/.hidden/x.csv"), "id,name\n9,z\n");
    let other = world.again().await;
    let Outcome::Done(done) = other.sql(&load).await.expect("loads") else { panic!("rows of a load") };
    assert_eq!(done.message, "loaded 1 row of 1 file into t (version 2); 2 files were loaded before");

    touch(&format!("{folder}/a.csv"));
    let done = world.run(&load).await;
    let changed =
        "nothing to load into t; 3 files were loaded before, 1 of them has changed since: FORCE loads it again";
    assert_eq!(done.message, changed);
    world.run(&format!("COPY INTO t FROM '{folder}/a.csv' FORCE")).await;
    world.run(&format!("COPY INTO t FROM '{folder}/a.csv' COPY_OPTIONS ('force' = 'true')")).await;
    world.check("SELECT count(*) FROM t WHERE id = 1", &["3"]).await;
    let history = "SELECT operation, count(*) FROM history('t') WHERE operation <> 'CREATE TABLE' GROUP BY 1";
    world.check(history, &["COPY INTO|4"]).await;
}

#[tokio::test]
async fn loaded_files_are_remembered_by_checkpoints() {
    let world = World::new().await;
    write(&world.path("a.json"), "{\"id\": 1}\n");
    world.run("CREATE TABLE t (id BIGINT) TBLPROPERTIES ('delta.checkpointInterval' = '2')").await;
    let load = format!("COPY INTO t FROM '{}'", world.path("a.json"));
    world.run(&load).await;
    world.run("INSERT INTO t VALUES (2); INSERT INTO t VALUES (3); INSERT INTO t VALUES (4)").await;
    let again = world.again().await;
    drop(again.sql(&load).await.expect("nothing to load"));
    check_in(&again, "SELECT id FROM t", &["1", "2", "3", "4"]).await;
}

#[tokio::test]
async fn two_loads_at_once_load_each_file_once() {
    let world = World::new().await;
    for file in 0..6 {
        write(&world.path(&format!("in/{file}.csv")), &format!("id\n{file}\n"));
    }
    world.run("CREATE TABLE t (id BIGINT)").await;
    let load = format!("COPY INTO t FROM '{}'", world.path("in/*.csv"));
    let sessions = [world.again().await, world.again().await, world.again().await];
    let loads = sessions.iter().map(|session| session.sql(&load));
    for done in futures::future::join_all(loads).await {
        drop(done.expect("one of them loads, the others find nothing to do"));
    }
    world.check("SELECT id FROM t", &["0", "1", "2", "3", "4", "5"]).await;
}

#[tokio::test]
async fn all_formats_are_loaded_and_packed_text_too() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, at TIMESTAMP, price DECIMAL(8, 2), tags ARRAY<STRING>, who STRUCT<name: STRING>)").await;
    let line = r#"{"id": 1, "at": "2024-05-01T12:30:00Z", "price": 1.25, "tags": ["a", "b"], "who": {"name": "Alma"}}"#;
    write(&world.path("a.json"), &format!("{line}\n"));
    write(&world.path("b.json"), &format!("[{line},\n {line}]"));
    let packed = zstd::encode_all(line.as_bytes(), 3).expect("packs");
    std::fs::write(world.path("c.json.zst"), packed).expect("writes");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, line.replace("}}", "}}\n").as_bytes()).expect("packs");
    std::fs::write(world.path("d.jsonl.gz"), gzip.finish().expect("packs")).expect("writes");
    for (file, rows) in [("a.json", 1), ("b.json", 2), ("c.json.zst", 1), ("d.jsonl.gz", 1)] {
        let done = world.run(&format!("COPY INTO t FROM '{}'", world.path(file))).await;
        assert_eq!(done.affected_rows, Some(rows), "{file}");
    }
    world.run(&format!("COPY t TO '{}'", world.path("e.parquet"))).await;
    let done = world.run(&format!("COPY INTO t FROM '{}'", world.path("e.parquet"))).await;
    assert_eq!(done.affected_rows, Some(5));
    let done = world.run(&format!("COPY INTO t FROM '{}'", world.path("e.parquet"))).await;
    assert_eq!(done.affected_rows, Some(0));
    world
        .check("SELECT DISTINCT id, at, price, tags[1], who['name'] FROM t", &["1|2024-05-01T12:30:00Z|1.25|a|Alma"])
        .await;
    let csv = world.path("f.tsv.gz");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"\xef\xbb\xbfid\tprice\n7\t 1.5 \n8\t\n").expect("packs");
    std::fs::write(&csv, gzip.finish().expect("packs")).expect("writes");
    world.run(&format!("COPY INTO t FROM '{csv}'")).await;
    world.check("SELECT id, price FROM t WHERE id > 5", &["7|1.50", "8|null"]).await;
}

#[tokio::test]
async fn bad_records_go_to_a_file_with_their_line_and_reason() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT NOT NULL, day DATE, note STRING)").await;
    let text =
        "id,day,note\n1,2024-05-01,\"two\nlines\"\nx,2024-05-01,a\n3,never,b\n4,2024-05-04\n\n,2024-05-05,c\n6,,\n";
    write(&world.path("a.csv"), text);
    let load = format!("COPY INTO t FROM '{}'", world.path("a.csv"));
    let error = world.error(&load).await;
    let QueryError::BadRecord { file, line, reason } = &error else { panic!("{error}") };
    assert!(file.ends_with("/a.csv"), "{file}");
    assert_eq!((*line, reason.as_str()), (4, "column id: \"x\" is no INT"));
    assert!(error.hint().is_some_and(|hint| hint.contains("badRecordsPath")));
    world.check("SELECT count(*) FROM t", &["0"]).await;

    let done = world.run(&format!("{load} COPY_OPTIONS ('badRecordsPath' = '{}')", world.path("bad"))).await;
    assert_eq!(done.affected_rows, Some(2));
    assert!(done.message.contains("; 4 bad records are in file://"), "{}", done.message);
    world.check("SELECT id, day, note FROM t", &["1|2024-05-01|two\nlines", "6|null|null"]).await;
    let kept = format!("SELECT line, reason, record FROM '{}'", world.path("bad"));
    let expected = [
        "4|column id: \"x\" is no INT|x,2024-05-01,a",
        "5|column day: \"never\" is no DATE|3,never,b",
        "6|it has 2 fields where 3 are expected|4,2024-05-04",
        "8|column id is NULL|,2024-05-05,c",
    ];
    world.check(&kept, &expected).await;

    let lines = "{\"id\": 1, \"note\": \"a\"}\n{\"id\": \"x\"}\n\nnonsense\n{\"id\": 2, \"other\": 1}\n{\"id\": 3\n{\"id\": 4} {\"id\": 5}\n{\"id\": 6}";
    write(&world.path("b.json"), lines);
    let bad = world.path("bad_json");
    let done = world
        .run(&format!("COPY INTO t FROM '{}' FORMAT_OPTIONS (badRecordsPath = '{bad}')", world.path("b.json")))
        .await;
    // The names are those at the beginning of the file, and those of the table.
    assert_eq!(done.affected_rows, Some(2), "{}", done.message);
    world.check("SELECT id FROM t WHERE day IS NULL AND note IS NULL AND id <> 6", &[]).await;
    world.check(&format!("SELECT line FROM '{bad}'"), &["2", "4", "5", "6", "7"]).await;
}

#[tokio::test]
async fn a_load_that_fails_leaves_nothing_behind() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT, CONSTRAINT small CHECK (id < 10))").await;
    write(&world.path("in/a.csv"), "id\n1\nx\n");
    write(&world.path("in/b.csv"), "id\n100\n");
    let load =
        format!("COPY INTO t FROM '{}' COPY_OPTIONS ('badRecordsPath' = '{}')", world.path("in"), world.path("bad"));
    world.check_error(&load, "small").await;
    world.check("SELECT count(*) FROM t", &["0"]).await;
    let left = std::fs::read_dir(world.path("bad")).map(|entries| entries.count()).unwrap_or(0);
    assert_eq!(left, 0, "the bad records of a load that came to nothing");
    write(&world.path("in/b.csv"), "id\n9\n");
    let inside = format!("COPY INTO t FROM '{0}' COPY_OPTIONS ('badRecordsPath' = '{0}/aside')", world.path("in"));
    assert_eq!(world.run(&inside).await.affected_rows, Some(2));
    assert_eq!(world.run(&inside).await.affected_rows, Some(0), "the bad records are no files to load");
    world.check("SELECT id FROM t", &["1", "9"]).await;
}

#[tokio::test]
async fn columns_are_matched_by_name_or_by_position() {
    let world = World::new().await;
    let sql = "CREATE TABLE t (id BIGINT, name STRING DEFAULT 'none', twice BIGINT GENERATED ALWAYS AS (id * 2)) \
               TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')";
    world.run(sql).await;
    write(&world.path("plain.csv"), "1;a\n2;b\n");
    let options = "FILEFORMAT = CSV FORMAT_OPTIONS ('header' = 'false', 'sep' = ';')";
    let plain = world.path("plain.csv");
    world.check_error(&format!("COPY INTO t FROM '{plain}' {options}"), "2 columns, and 3 are expected").await;
    world.run(&format!("COPY INTO t (id, name) FROM '{plain}' {options}")).await;
    world.check("SELECT id, name, twice FROM t", &["1|a|2", "2|b|4"]).await;
    world.run(&format!("COPY INTO t (name, id) FROM (SELECT _c1, _c0 + 10 FROM '{plain}') {options} FORCE")).await;
    write(&world.path("ids.csv"), "ID\n21\n");
    world.run(&format!("COPY INTO t FROM '{}'", world.path("ids.csv"))).await;
    write(&world.path("raw.csv"), "ident,text\n031,x\n");
    let raw = world.path("raw.csv");
    world
        .run(&format!(
            "COPY INTO t FROM (SELECT f.ident AS id, f.ident || f.text AS name FROM '{raw}' f) FORMAT_OPTIONS (inferSchema = false)"
        ))
        .await;
    world.check("SELECT id, name FROM t WHERE id > 2", &["11|a", "12|b", "21|none", "31|031x"]).await;
}

#[tokio::test]
async fn the_table_gets_the_columns_of_the_files_where_that_is_asked_for() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT, who STRUCT<name: STRING>)").await;
    write(&world.path("a.json"), "{\"id\": 1, \"who\": {\"name\": \"A\", \"age\": 3}, \"extra\": 1.5}\n{\"id\": 2}\n");
    let load = format!("COPY INTO t FROM '{}'", world.path("a.json"));
    let error = world.error(&load).await;
    assert!(error.to_string().contains("mergeSchema"), "{error}");
    world.run(&format!("{load} COPY_OPTIONS ('mergeSchema' = 'true')")).await;
    world.check("SELECT id, who['name'], who['age'], extra FROM t", &["1|A|3|1.5", "2|null|null|null"]).await;
    world.check("SELECT DISTINCT arrow_typeof(id) FROM t", &["Int32"]).await;
}

#[tokio::test]
async fn what_cannot_be_loaded_says_what_would_work() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT, v VARIANT, deep STRUCT<x: INT>)").await;
    write(&world.path("a.csv"), "id,v,deep\n1,2,3\n");
    world.run(&format!("CREATE TABLE delta.`{}` (id INT)", world.path("delta"))).await;
    write(&world.path("notes.txt"), "nothing\n");
    write(&world.path("cut.csv.gz"), "no gzip at all");
    write(&world.path("a.json"), "{\"id\": 1}\n");
    write(&world.path("mixed/a.json"), "{\"id\": 1}\n");
    write(&world.path("mixed/b.csv"), "id\n1\n");
    write(&world.path("half.json"), "[{\"id\": 1},\n");
    let path = |name: &str| world.path(name);
    for (sql, expected) in [
        (format!("COPY INTO t FROM '{}'", path("none.csv")), "no file is there"),
        (format!("COPY INTO t FROM '{}'", path("notes.txt")), "FILEFORMAT"),
        (format!("COPY INTO t FROM '{}' FILEFORMAT = AVRO", path("a.csv")), "PARQUET, CSV or JSON"),
        (format!("COPY INTO t FROM '{}' FORMAT_OPTIONS ('delimeter' = ';')", path("a.csv")), "did you mean delimiter?"),
        (format!("COPY INTO t FROM '{}' FORMAT_OPTIONS ('sep' = ';;')", path("a.csv")), "one ASCII character"),
        (format!("COPY INTO t FROM '{}' FORMAT_OPTIONS ('encoding' = 'latin1')", path("a.csv")), "UTF-8"),
        (format!("COPY INTO t FROM '{}'", path("a.csv")), "parse_json"),
        (format!("COPY INTO t (id, v) FROM '{}'", path("a.csv")), "3 columns, and 2 are expected"),
        (format!("COPY INTO t FROM '{}'", path("cut.csv.gz")), "cannot be unpacked"),
        ("COPY INTO t FROM u".into(), "takes files"),
        (format!("COPY INTO t (id, v) FROM '{}'", path("a.json")), "JSON by position"),
        (format!("COPY INTO t FROM '{}'", path("mixed")), "several formats"),
        (format!("COPY INTO t FROM '{}'", path("half.json")), "cut short"),
        (format!("COPY t FROM '{}'", path("a.csv")), "COPY INTO t FROM"),
        (format!("COPY INTO nosuch FROM '{}'", path("a.csv")), "unknown table nosuch"),
        ("COPY INTO t FROM (SELECT 1)".into(), "its files"),
        (format!("COPY INTO t FROM '{}'", path("delta")), "INSERT INTO t SELECT * FROM"),
        (format!("COPY INTO t FROM '{}' FILES = ('nosuch.csv')", world.folder.path().display()), "no file is there"),
    ] {
        let error = world.error(&sql).await;
        let text = format!("{error}\n{}", error.hint().unwrap_or_default());
        assert!(text.contains(expected), "{sql}: {text}");
    }
    let read_only = world.read_only().await;
    let error = read_only.sql(&format!("COPY INTO t FROM '{}'", path("a.csv"))).await;
    assert!(matches!(error, Err(QueryError::ReadOnly { .. })));
}

#[tokio::test]
async fn files_and_patterns_choose_below_a_folder() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT)").await;
    for name in ["a1.csv", "a2.csv", "b1.csv"] {
        write(&world.path(&format!("in/{name}")), &format!("id\n{}\n", &name[1..2]));
    }
    let folder = world.path("in");
    world.run(&format!("COPY INTO t FROM '{folder}' PATTERN = 'a*.csv'")).await;
    world.check("SELECT id FROM t", &["1", "2"]).await;
    let done = world.run(&format!("COPY INTO t FROM '{folder}/' FILES = ('a1.csv', 'b1.csv')")).await;
    assert_eq!(done.affected_rows, Some(1));
    world.check("SELECT id FROM t", &["1", "1", "2"]).await;
}

#[tokio::test]
async fn keys_are_enforced_on_loaded_rows() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT, name STRING, PRIMARY KEY (id)); INSERT INTO t VALUES (1, 'a')").await;
    write(&world.path("a.csv"), "id,name\n2,b\n1,c\n");
    let error = world.error(&format!("COPY INTO t FROM '{}'", world.path("a.csv"))).await;
    assert!(error.to_string().contains("key"), "{error}");
    world.check("SELECT id, name FROM t", &["1|a"]).await;
}

#[tokio::test]
async fn packed_text_is_read_in_place() {
    let world = World::new().await;
    std::fs::write(world.path("a.csv.zst"), zstd::encode_all(&b"id,name\n1,a\n2,\n"[..], 1).expect("packs"))
        .expect("writes");
    world.check(&format!("SELECT sum(id), min(name) FROM '{}'", world.path("*.csv.zst")), &["3|a"]).await;
    std::fs::write(world.path("b.json.zst"), zstd::encode_all(&b"[{\"id\": 1},\n{\"id\": 2}]"[..], 1).expect("packs"))
        .expect("writes");
    world.check(&format!("SELECT * FROM '{}'", world.path("b.json.zst")), &["1", "2"]).await;
}

#[tokio::test]
async fn describe_of_files_shows_their_first_values() {
    let world = World::new().await;
    write(&world.path("a.csv"), "id,name\n1,a\n2,\n3,c\n4,d\n");
    let expected = ["id|bigint|true|1, 2, 3", "name|string|true|a, NULL, c"];
    world.check(&format!("DESCRIBE '{}'", world.path("a.csv")), &expected).await;
}

#[tokio::test]
async fn parquet_files_with_different_columns_lose_none() {
    let world = World::new().await;
    world.run(&format!("COPY (SELECT 1 AS id) TO '{}'", world.path("p/a.parquet"))).await;
    world.run(&format!("COPY (SELECT 2 AS id, 'x' AS name) TO '{}'", world.path("p/b.parquet"))).await;
    world.run("CREATE TABLE t (id BIGINT, name STRING)").await;
    world.run(&format!("COPY INTO t FROM '{}'", world.path("p"))).await;
    world.check("SELECT id, name FROM t", &["1|null", "2|x"]).await;
    world.run(&format!("COPY (SELECT 3 AS \"ID\") TO '{}'", world.path("p/c.parquet"))).await;
    world.run(&format!("COPY (SELECT 4 AS id) TO '{}'", world.path("p/d.parquet"))).await;
    world.check_error(&format!("COPY INTO t FROM '{}'", world.path("p")), "several ways").await;
    world.run(&format!("COPY (SELECT 1.9 AS id) TO '{}'", world.path("q.parquet"))).await;
    world
        .check_error(&format!("COPY INTO t FROM '{}'", world.path("q.parquet")), "into column id, which is BIGINT")
        .await;
    world.run(&format!("COPY INTO t FROM (SELECT CAST(id AS BIGINT) AS id FROM '{}')", world.path("q.parquet"))).await;
    world.check("SELECT count(*) FROM t", &["3"]).await;
}

#[tokio::test]
async fn numbers_are_not_rounded_and_no_line_is_swallowed() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT, price DECIMAL(8, 2), deep STRUCT<n: ARRAY<INT>>)").await;
    let lines = [
        r#"{"id": 1.7}"#,
        r#"{"price": 1.239}"#,
        r#"{"deep": {"n": [1, 2.5]}}"#,
        r#"{"id": 3, "price": 1.250, "deep": {"n": [1, null]}}"#,
    ];
    write(&world.path("a.json"), &lines.join("\n"));
    let aside = format!("COPY_OPTIONS ('badRecordsPath' = '{}')", world.path("bad"));
    world.run(&format!("COPY INTO t FROM '{}' {aside}", world.path("a.json"))).await;
    world.check("SELECT id, price, deep['n'] FROM t", &["3|1.25|[1, null]"]).await;
    let reasons = [
        "1|column id: \"1.7\" is no INT",
        "2|column price: \"1.239\" is no DECIMAL(8,2)",
        "3|column deep.n: \"2.5\" is no INT",
    ];
    world.check(&format!("SELECT line, reason FROM '{}'", world.path("bad")), &reasons).await;

    world.run("CREATE TABLE n (id INT, note STRING)").await;
    write(&world.path("open.csv"), "# by hand\nid,note\n1,\"a\n2,b\n3,c\n");
    let open = format!("COPY INTO n FROM '{}' FORMAT_OPTIONS ('comment' = '#')", world.path("open.csv"));
    let error = world.error(&open).await;
    assert!(matches!(&error, QueryError::BadRecord { line: 3, reason, .. } if reason.contains("quote")), "{error}");
    write(&world.path("latin.csv"), "");
    std::fs::write(world.path("latin.csv"), b"id,note\n1,M\xfcller\n2,b\n").expect("writes");
    world.run(&format!("COPY INTO n FROM '{}' {aside}", world.path("latin.csv"))).await;
    write(&world.path("tail.csv"), "id\n3\n# end");
    let tail = format!("COPY INTO n FROM '{}' FORMAT_OPTIONS ('comment' = '#')", world.path("tail.csv"));
    world.run(&tail).await;
    world.check("SELECT id, note FROM n", &["2|b", "3|null"]).await;
}

#[tokio::test]
async fn a_file_is_the_same_by_whichever_folder_it_is_found() {
    let world = World::new().await;
    let location = floe_storage::Location::open("memory://loads-by-name/a b", &Default::default()).expect("a place");
    let path = location.absolute("x ü.csv").expect("a path");
    object_store::ObjectStoreExt::put(&location.store, &path, "id\n1\n".into()).await.expect("put");
    world.run("CREATE TABLE t (id INT)").await;
    for (from, rows) in [("a b", 1), ("a b/x ü.csv", 0), ("*/*.csv", 0), ("a b/*.csv", 0), ("", 0)] {
        let done = world.run(&format!("COPY INTO t FROM 'memory://loads-by-name/{from}'")).await;
        assert_eq!(done.affected_rows, Some(rows), "{from}: {}", done.message);
    }
}

#[tokio::test]
async fn types_of_json_are_taken_from_all_its_records() {
    let world = World::new().await;
    write(&world.path("j/a.json"), "{\"x\": null, \"y\": 1}\n");
    write(&world.path("j/b.json"), "{\"x\": 5, \"y\": 1.5}\n");
    world.run("CREATE TABLE t (x INT, y DOUBLE)").await;
    world.run(&format!("COPY INTO t FROM '{}'", world.path("j"))).await;
    world.check("SELECT x, y FROM t", &["null|1.0", "5|1.5"]).await;
    world.run(&format!("COPY INTO t FROM (SELECT x + 1 AS x, y FROM '{}') FORCE", world.path("j"))).await;
    world.check("SELECT count(*) FROM t WHERE x = 6 AND y = 1.5", &["1"]).await;
}

#[tokio::test]
async fn an_empty_text_in_quotes_is_no_null() {
    let world = World::new().await;
    world.run("CREATE TABLE t (a STRING, b STRING, n INT)").await;
    write(&world.path("a.csv"), "a,b,n\n\"\",,1\n,\"\",\"2\"\n\"x,\"\"y\",\"\",\n");
    world.run(&format!("COPY INTO t FROM '{}'", world.path("a.csv"))).await;
    world.check("SELECT a, b, n FROM t", &["|null|1", "null||2", "x,\"y||null"]).await;
}

#[tokio::test]
async fn folders_with_values_in_their_names_are_refused() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT, day DATE) PARTITIONED BY (day)").await;
    write(&world.path("in/day=2024-01-01/a[1].csv"), "id\n1\n");
    world.check_error(&format!("COPY INTO t FROM '{}'", world.path("in")), "from the names of folders").await;
    let folder = world.path("in/day=2024-01-01");
    world.run(&format!("COPY INTO t FROM (SELECT *, DATE '2024-01-01' AS day FROM '{folder}')")).await;
    world.check("SELECT id, day FROM t", &["1|2024-01-01"]).await;
    let done = world.run(&format!("COPY INTO t FROM '{folder}/a[1].csv'")).await;
    assert!(done.message.contains("1 file was loaded before"), "{}", done.message);
}

#[tokio::test]
async fn a_bad_record_below_a_query_is_told_as_one() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT)").await;
    write(&world.path("a.json"), "{\"id\": 1}\n{\"id\": 2, \"ID\": 3}\n");
    let error = world.error(&format!("COPY INTO t FROM '{}'", world.path("a.json"))).await;
    assert!(matches!(error, QueryError::BadRecord { line: 2, .. }), "{error}");
    let mut late = "id\n".to_owned();
    (0..200_000).for_each(|id| late.push_str(&format!("{id}\n")));
    write(&world.path("late.csv"), &format!("{late}x\n"));
    let late =
        format!("COPY INTO t FROM (SELECT CAST(id AS INT) AS id FROM '{}' WHERE id > 1)", world.path("late.csv"));
    let error = world.error(&late).await;
    assert!(matches!(error, QueryError::BadRecord { line: 200_002, .. }), "{error}");
    let error = world.error(&format!("DESCRIBE '{}'", world.path("none.csv"))).await;
    assert!(!error.to_string().contains("Delta log"), "{error}");
}

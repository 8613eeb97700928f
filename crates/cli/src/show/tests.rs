use floe_query::{Session, SessionOptions};

use super::*;

/// A table of some shape, in memory.
fn overview(warehouse: &str, script: &str) -> Overview {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = SessionOptions::new(format!("memory://show-{warehouse}/w")).with_target_partitions(1);
        let session = Session::open(options).await.expect("opened");
        for statement in session.statements(script).expect("readable") {
            let outcome = session.run(&statement).await.expect("runs");
            outcome.collect().await.expect("rows");
        }
        session.overview("t").await.expect("seen")
    })
}

fn drawn(overview: &Overview) -> String {
    drawing(overview, Pen { bar: '#' }).join("\n")
}

#[track_caller]
fn check_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

/// Elements are closed in the order in which they were opened, and nothing is asked of anybody.
fn check_page(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>"));
    for asking in ["http:", "https:", "<script", "src=", "@import", "url("] {
        assert!(!page.contains(asking), "{asking}");
    }
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1).filter(|tag| !tag.starts_with('!')) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split_whitespace().next().expect("a name");
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
            None if tag.ends_with('/') || ["meta", "link", "br"].contains(&name) => {}
            None => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn a_table_of_many_small_files_is_told_to_be_compacted() {
    let inserts = "INSERT INTO t VALUES (1, 'a'), (2, 'b'); ".repeat(6);
    let overview = overview(
        "small",
        &format!(
            "CREATE TABLE t (id BIGINT, p STRING) PARTITIONED BY (p); {inserts} DELETE FROM t WHERE id = 1 AND p = 'a';"
        ),
    );
    assert_eq!((overview.files.count, overview.files.rows, overview.partition_count), (6, 6, 1));
    let text = drawn(&overview);
    check_contains(
        &text,
        &[
            "version 7, 2 columns, 6 rows, 6 files",
            "partitioned by p",
            "7  20",
            "DELETE",
            "-6 files",
            "< 64 KiB   ########################      6 files",
            "  b                        ########################",
            "! 6 of 6 files are small or hold deleted rows\n    OPTIMIZE t;",
        ],
    );
    assert_eq!(overview.commits[0].operation.as_deref(), Some("DELETE"));
    assert_eq!((overview.commits[0].files_removed, overview.commits[0].rows_removed), (6, 6));
    check_page(&page(&overview));
}

#[test]
fn what_it_advises_mends_it() {
    let script = "CREATE TABLE t AS SELECT value AS id FROM generate_series(1, 100); INSERT INTO t SELECT 101 AS id; DELETE FROM t WHERE id < 50;";
    let before = overview("mends", script);
    assert!((before.files.deleted_share() - 49.0 / 101.0).abs() < 1e-9, "{:?}", before.files);
    check_contains(&drawn(&before), &["48.5% of the rows deleted (49 in 1 file)", "1 vector", "OPTIMIZE t;"][..1]);
    let commands: String = before.advice.iter().map(|advice| format!("{};", advice.command)).collect();
    let after = overview("mended", &format!("{script} {commands}"));
    assert_eq!((after.files.count, after.files.deleted_rows, after.advice), (1, 0, Vec::new()));
}

#[test]
fn overlap_of_clustering_columns_is_measured() {
    let apart = overview(
        "apart",
        "CREATE TABLE t (id BIGINT) CLUSTER BY (id); INSERT INTO t VALUES (1), (2); INSERT INTO t VALUES (3), (4); INSERT INTO t VALUES (5), (9);",
    );
    assert_eq!((apart.overlap[0].files, apart.overlap[0].depth), (3, 1.0));
    // The end of one file is the beginning of the next.
    let touching = overview(
        "touching",
        "CREATE TABLE t (id BIGINT) CLUSTER BY (id); INSERT INTO t VALUES (1), (3); INSERT INTO t VALUES (3), (5);",
    );
    assert_eq!((touching.overlap[0].files, touching.overlap[0].depth), (2, 1.5));
    let overlapping = overview(
        "overlapping",
        "CREATE TABLE t (id BIGINT) CLUSTER BY (id); INSERT INTO t VALUES (1), (9); INSERT INTO t VALUES (1), (9); INSERT INTO t VALUES (1), (2);",
    );
    assert_eq!((overlapping.overlap[0].files, overlapping.overlap[0].depth), (3, 3.0));
    check_contains(
        &drawn(&overlapping),
        &["clustered by id", "overlap of the clustering columns", "a value lies in 3.0 of 3 files"],
    );
    check_page(&page(&overlapping));
}

#[test]
fn a_hostile_table_stays_text() {
    let script = "CREATE TABLE t (id BIGINT, `<script>alert` STRING) PARTITIONED BY (`<script>alert`); \
                  INSERT INTO t VALUES (1, '\"><img src=x onerror=alert(1)>');";
    let overview = overview("hostile", script);
    let page = page(&overview);
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    check_contains(&page, &["&lt;script&gt;alert", "&quot;&gt;&lt;img"]);
    let json = serde_json::to_value(&overview).expect("JSON");
    assert_eq!(json["partitions"][0]["values"][0], "\"><img src=x onerror=alert(1)>");
    assert_eq!(json["partitions"][0]["count"], 1);
}

#[test]
fn an_empty_table_can_be_seen_too() {
    let overview = overview("empty", "CREATE TABLE t (id BIGINT);");
    check_contains(&drawn(&overview), &["0 rows, 0 files, 0 B", "no checkpoint", "nothing to mend"]);
    check_page(&page(&overview));
}

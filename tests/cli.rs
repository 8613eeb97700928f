//! The binary as scripts meet it: what goes where, and with which status it ends.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The binary in a folder of its own, without the storage options of whoever runs the tests.
fn floe(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    floe(folder).args(arguments).output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output of a run that must succeed.
#[track_caller]
fn answer(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Standard error of a run that must fail with status 1 and say nothing on standard output.
#[track_caller]
fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
    let said = text(&output.stderr);
    assert!(said.starts_with("error: "), "{arguments:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

const DUCKS: &str = "CREATE TABLE ducks (name STRING NOT NULL, weight DOUBLE);
    INSERT INTO ducks VALUES ('Alma', 1.25), ('Bert', NULL)";

#[test]
fn rows_go_to_standard_output_and_everything_else_to_standard_error() {
    let folder = folder();
    let output = run(folder.path(), &["-c", DUCKS, "-c", "SELECT * FROM ducks ORDER BY name", "--format", "csv"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "name,weight\nAlma,1.25\nBert,\n");
    assert!(text(&output.stderr).contains("2 rows in "), "{}", text(&output.stderr));
    assert!(
        folder.path().join("warehouse/default/ducks/_delta_log").is_dir(),
        "the default warehouse is made on first use"
    );
}

#[test]
fn scripts_may_hold_commands_and_end_with_the_first_error() {
    let folder = folder();
    let script = ".mode csv\nSELECT '\n.mode line' AS a,\n 1 AS b;\n.timing off\nSELECT 2 AS b;\n";
    std::fs::write(folder.path().join("s.sql"), script).expect("writes");
    let expected = "a,b\n\"\n.mode line\",1\nb\n2\n";
    assert_eq!(answer(folder.path(), &["-f", "s.sql"]), expected);
    let mut piped = floe(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    piped.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("writes");
    assert_eq!(text(&piped.wait_with_output().expect("ends").stdout), expected);
    std::fs::write(folder.path().join("e.sql"), ".mode csv\nSELECT 1 AS a;\nSELECT nosuch;\nSELECT 2 AS a;\n")
        .expect("writes");
    let output = run(folder.path(), &["-f", "e.sql"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), "a\n1\n"));
}

#[test]
fn quiet_says_nothing_but_rows() {
    let folder = folder();
    let output = run(folder.path(), &["--quiet", "-c", DUCKS, "-c", "SELECT 1 AS one", "--format", "jsonl"]);
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("{\"one\":1}\n", ""));
}

#[test]
fn every_format_shows_the_same_rows() {
    let folder = folder();
    let query = "SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS t (n, s) ORDER BY n";
    for (format, expected) in [
        ("csv", "n,s\n1,a\n2,\n"),
        ("json", "[\n  {\"n\":1,\"s\":\"a\"},\n  {\"n\":2,\"s\":null}\n]\n"),
        ("jsonl", "{\"n\":1,\"s\":\"a\"}\n{\"n\":2,\"s\":null}\n"),
        ("markdown", "| n | s |\n|---:|---|\n| 1 | a |\n| 2 | NULL |\n"),
        ("line", "n = 1\ns = a\n\nn = 2\ns = NULL\n"),
    ] {
        assert_eq!(answer(folder.path(), &["-c", query, "--format", format]), expected, "{format}");
    }
    let table = answer(folder.path(), &["-c", query]);
    assert!(table.contains("│ 2 │ NULL   │") || table.contains("NULL"), "{table}");
}

#[test]
fn statements_come_from_arguments_files_and_standard_input() {
    let folder = folder();
    std::fs::write(folder.path().join("load.sql"), format!("-- ducks\n{DUCKS};\n")).expect("a script");
    let count = "SELECT count(*) AS n FROM ducks";
    assert_eq!(answer(folder.path(), &["-f", "load.sql", "-c", count, "--format", "csv"]), "n\n2\n");
    assert_eq!(answer(folder.path(), &["load.sql", "-w", "other", "-c", count, "--format", "csv"]), "n\n2\n");

    let mut child = floe(folder.path())
        .args(["--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(b"SELECT count(*) AS n\nFROM ducks;").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("n\n2\n", Some(0)));
}

#[test]
fn the_first_failing_statement_ends_the_run() {
    let folder = folder();
    let script = "CREATE TABLE a (n BIGINT); SELECT * FROM nowhere; CREATE TABLE b (n BIGINT)";
    let said = refusal(folder.path(), &["--quiet", "-c", script, "-c", "CREATE TABLE c (n BIGINT)"]);
    assert!(said.contains("statement 2") && said.contains("nowhere"), "{said}");
    let tables = answer(folder.path(), &["--quiet", "--format", "csv", "-c", "SHOW TABLES"]);
    assert!(tables.contains(",a,") && !tables.contains(",b,") && !tables.contains(",c,"), "{tables}");
}

#[test]
fn errors_offer_the_nearest_name() {
    let folder = folder();
    answer(folder.path(), &["-c", DUCKS]);
    assert!(refusal(folder.path(), &["-c", "SELECT * FROM duks"]).contains("did you mean ducks"));
    assert!(refusal(folder.path(), &["-c", "SELECT wieght FROM ducks"]).contains("did you mean weight"));
}

#[test]
fn errors_point_at_their_place_in_the_script() {
    let folder = folder();
    answer(folder.path(), &["-c", DUCKS]);
    for (script, shown) in [
        ("CREATE SCHEMA s;\nSELECT name,\n  wieght FROM ducks", "  3 |   wieght FROM ducks\n    |   ^^^^^^"),
        (
            "SELECT name FROM ducks WHRE true",
            "  1 | SELECT name FROM ducks WHRE true\n    |                             ^^^^",
        ),
        ("SELECT * FROM duks", "  1 | SELECT * FROM duks\n    |               ^^^^"),
        ("SELECT nofun(1)", "  1 | SELECT nofun(1)\n    |        ^^^^^"),
        ("SELECT 'open", "  1 | SELECT 'open\n    |        ^"),
    ] {
        let said = refusal(folder.path(), &["--quiet", "-c", script]);
        assert!(said.contains(shown), "{script}\n{said}");
    }
}

#[test]
fn a_read_only_run_changes_nothing() {
    let folder = folder();
    answer(folder.path(), &["-c", DUCKS]);
    for statement in
        ["DELETE FROM ducks", "CREATE TABLE x (n BIGINT)", "DROP TABLE ducks", "VACUUM ducks", "OPTIMIZE ducks"]
    {
        assert!(refusal(folder.path(), &["--read-only", "-c", statement]).contains("read-only"), "{statement}");
    }
    let count = ["--read-only", "--format", "csv", "-c", "SELECT count(*) AS n FROM ducks"];
    assert_eq!(answer(folder.path(), &count), "n\n2\n");
}

#[test]
fn a_file_or_table_is_opened_under_its_own_name() {
    let folder = folder();
    let query = "COPY (SELECT 7 AS n) TO 'seven.parquet'; COPY (SELECT 8 AS n) TO 'eight.csv'; CREATE TABLE nine AS SELECT 9 AS n";
    answer(folder.path(), &["-c", query]);
    let all = |name: &str| format!("SELECT n FROM {name}");
    assert_eq!(answer(folder.path(), &["seven.parquet", "-c", &all("seven"), "--format", "csv"]), "n\n7\n");
    assert_eq!(answer(folder.path(), &["eight.csv", "-c", &all("eight"), "--format", "csv"]), "n\n8\n");
    let place = ["warehouse/default/nine", "-w", "other"];
    let query = all("nine");
    let changed = [&place[..], &["-c", "UPDATE nine SET n = n + 1", "-c", &query, "--format", "csv"]].concat();
    assert_eq!(answer(folder.path(), &changed), "n\n10\n");
    assert!(!folder.path().join("other").exists(), "opening a table by its path makes no warehouse");
    assert!(refusal(folder.path(), &["missing.parquet"]).contains("missing.parquet"));
    assert!(refusal(folder.path(), &["warehouse"]).contains("--warehouse"));
}

#[test]
fn secrets_appear_nowhere() {
    let folder = folder();
    let secret = "canary-4711-canary";
    let options = [
        "--option",
        "AWS_SECRET_ACCESS_KEY=canary-4711-canary",
        "--option",
        "AWS_ACCESS_KEY_ID=canary-4711-canary",
        "--option",
        "AWS_ENDPOINT_URL=http://127.0.0.1:9",
        "--option",
        "AWS_ALLOW_HTTP=true",
        "--option",
        "AWS_REGION=us-east-1",
    ];
    for rest in
        [&["-c", "SHOW nonsense"][..], &["-c", "SELECT * FROM 'ftp://user:canary-4711-canary@host/x'"], &["--bogus"]]
    {
        let output = run(folder.path(), &[&options[..], rest].concat());
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!output.status.success() && !said.contains(secret), "{rest:?}: {said}");
    }
}

#[test]
fn control_characters_in_errors_are_escaped() {
    let folder = folder();
    let said = refusal(folder.path(), &["-c", "SELECT * FROM \"\u{1b}[31mred\""]);
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn a_reader_that_goes_away_ends_the_run_without_a_word() {
    let folder = folder();
    let mut child = floe(folder.path())
        .args(["--format", "csv", "-c", "SELECT value FROM generate_series(1, 3000000)"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut first = [0; 16];
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut first).expect("the first rows");
    drop(stdout);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(1)));
}

#[test]
fn the_doctor_finds_a_local_folder_fit() {
    let folder = folder();
    let found = answer(folder.path(), &["doctor", "somewhere"]);
    assert!(found.contains("ok") && !found.contains("FAIL"), "{found}");
}

#[test]
fn a_damaged_table_is_checked_and_repaired() {
    let folder = folder();
    answer(folder.path(), &["-c", "CREATE TABLE t AS SELECT 1 AS id; INSERT INTO t VALUES (2)"]);
    assert_eq!(answer(folder.path(), &["check", "t"]), "sound: version 1, 2 files\n");
    let table = folder.path().join("warehouse/default/t");
    let hint = table.join("_delta_log/_last_checkpoint");
    std::fs::write(&hint, "rubbish").expect("written");
    let data = std::fs::read_dir(&table).expect("listed").map(|entry| entry.expect("an entry").path());
    let file = data.into_iter().find(|path| path.extension().is_some_and(|e| e == "parquet")).expect("a data file");
    std::fs::remove_file(&file).expect("removed");

    let path = table.to_str().expect("text").to_owned();
    for named in ["t", &path] {
        let found = run(folder.path(), &["check", named, "--json"]);
        assert_eq!(found.status.code(), Some(1));
        let report = text(&found.stdout);
        assert_eq!(report.lines().count(), 1, "one JSON object");
        assert!(report.contains("\"sound\":false"), "{report}");
        for rule in ["hint-right", "file-there"] {
            assert!(report.contains(&format!("\"rule\":\"{rule}\"")), "{report}");
        }
    }
    let dry = run(folder.path(), &["check", "t", "--repair", "--drop-missing-files", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(1));
    assert!(text(&dry.stdout).contains("would repair: 1 missing files to give up"), "{}", text(&dry.stdout));
    assert!(run(folder.path(), &["--read-only", "check", "t", "--repair"]).status.code() == Some(1));
    assert!(hint.exists(), "nothing was changed");
    let repaired = answer(folder.path(), &["check", "t", "--repair", "--drop-missing-files"]);
    assert!(repaired.ends_with("sound: version 2, 1 files\n"), "{repaired}");
    assert!(!hint.exists(), "there is no checkpoint to name");
    assert!(refusal(folder.path(), &["check", "t", "--dry-run"]).contains("--repair"));
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = folder();
    assert!(answer(folder.path(), &["--help"]).contains("--warehouse"));
    let version = answer(folder.path(), &["--version"]);
    assert!(version.starts_with("floe ") && version.contains("reads tables with\n  columnMapping"), "{version}");
    assert!(version.contains(" variantShredding") && version.lines().all(|line| line.len() <= 80), "{version}");
    assert_eq!(answer(folder.path(), &["-V"]).lines().count(), 1);
    for command in ["doctor", "check", "show", "completions", "index", "index build", "index status", "index drop"] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        assert!(answer(folder.path(), &words).contains("Examples:\n"), "{command}");
    }
    assert!(!folder.path().join("warehouse").exists());
}

#[test]
fn a_shell_is_told_how_to_complete_arguments() {
    let folder = folder();
    for (shell, part) in [("bash", "complete -F _floe"), ("zsh", "#compdef floe"), ("fish", "complete -c floe")] {
        let written = answer(folder.path(), &["completions", shell]);
        assert!(written.contains(part) && written.contains("warehouse"), "{shell}");
    }
}

#[test]
fn a_table_is_shown_drawn_and_as_json_and_as_a_page() {
    let folder = folder();
    answer(folder.path(), &["-c", DUCKS]);
    let drawn = answer(folder.path(), &["show", "ducks"]);
    assert!(drawn.contains("files by size") && drawn.contains("nothing to mend"), "{drawn}");
    let json: serde_json::Value =
        serde_json::from_str(&answer(folder.path(), &["show", "ducks", "--json"])).expect("JSON");
    assert_eq!(json["files"]["rows"], json["commits"][0]["rowsAdded"]);
    answer(folder.path(), &["show", "ducks", "--html", "ducks.html"]);
    let page = std::fs::read_to_string(folder.path().join("ducks.html")).expect("a page");
    assert!(page.contains("</html>"), "{page}");
    assert!(refusal(folder.path(), &["show", "duks"]).contains("did you mean ducks"));
}

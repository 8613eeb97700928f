use super::*;

fn one(line: &str) -> Result<Action> {
    parse_commit(Version::ZERO, "0.json", line.as_bytes()).map(|mut actions| actions.remove(0))
}

fn info(json: &str) -> CommitInfo {
    match one(&format!(r#"{{"commitInfo":{json}}}"#)) {
        Ok(Action::CommitInfo(info)) => info,
        other => panic!("expected a commitInfo, got {other:?}"),
    }
}

#[test]
fn commit_info_may_hold_anything() {
    let odd = r#"{"timestamp":1700000000000.5,"operation":["WRITE"],"operationParameters":7,"isBlindAppend":"no","inCommitTimestamp":"x","readVersion":null,"userId":17,"custom":[[]]}"#;
    let found = info(odd);
    assert_eq!((found.timestamp, found.operation.as_ref(), found.in_commit_timestamp), (None, None, None));
    assert_eq!(found.rest["custom"], serde_json::json!([[]]));
    assert_eq!(found.rest["operation"], serde_json::json!(["WRITE"]));
    assert!(!found.rest.contains_key("readVersion"));
    // What is of its type is found beside what is not, and nothing is lost on the way through.
    let mixed = info(r#"{"timestamp":5,"operation":"WRITE","operationMetrics":{"n":{"deep":[1]}},"engineInfo":3}"#);
    assert_eq!((mixed.timestamp, mixed.operation.as_deref()), (Some(5), Some("WRITE")));
    let again = write_commit(&[Action::CommitInfo(mixed.clone())]);
    assert_eq!(one(std::str::from_utf8(&again).expect("JSON")), Ok(Action::CommitInfo(mixed)));
    // Protocol section "Commit Provenance Information": an object literal.
    assert!(matches!(one(r#"{"commitInfo":7}"#), Err(FormatError::CorruptLog { line: Some(1), .. })));
}

use super::*;

fn messages(options: &[(&str, &str)]) -> Messages {
    let options: Vec<_> = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Messages::new(false, &options)
}

#[test]
fn secrets_given_as_options_are_never_said() {
    let messages = messages(&[("AWS_SECRET_ACCESS_KEY", "hunter2-hunter2"), ("AWS_REGION", "eu-central-1")]);
    let said = messages.harmless("403 for hunter2-hunter2 in eu-central-1");
    assert_eq!(said, "403 for *** in eu-central-1");
}

#[test]
fn a_secret_inside_a_longer_one_does_not_leave_its_rest() {
    let messages = messages(&[("AZURE_STORAGE_SAS_KEY", "abcdef"), ("AZURE_STORAGE_TOKEN", "abcdef-ghijkl")]);
    assert_eq!(messages.harmless("saw abcdef-ghijkl"), "saw ***");
}

#[test]
fn control_characters_in_errors_are_escaped_and_lines_kept() {
    let said = messages(&[]).harmless("first\nsecond \x1b[31m");
    assert_eq!(said, "first\nsecond \\u{1b}[31m");
}

#[test]
fn causes_that_repeat_what_was_said_are_left_out() {
    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }
    let root = Layer { text: "disk full", source: None };
    let middle = Layer { text: "cannot write x: disk full", source: Some(Box::new(root)) };
    let top = Layer { text: "commit failed", source: Some(Box::new(middle)) };
    assert_eq!(with_causes(&top), "commit failed\n  because: cannot write x: disk full");
}

#[test]
fn bytes_are_said_in_the_unit_that_fits() {
    for (bytes, text) in
        [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (1 << 40, "1.1 TB")]
    {
        assert_eq!(bytes_text(bytes), text);
    }
}

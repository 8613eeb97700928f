use super::*;

fn parse(arguments: &[&str]) -> Result<Invocation, clap::Error> {
    Invocation::parse(std::iter::once("floe").chain(arguments.iter().copied()).map(OsString::from))
}

fn request(arguments: &[&str]) -> Request {
    match parse(arguments) {
        Ok(Invocation::Sql(request)) => request,
        other => panic!("{arguments:?} gave {other:?}"),
    }
}

#[test]
fn without_arguments_the_shell_opens_on_the_default_warehouse() {
    let request = request(&[]);
    assert_eq!(request.warehouse, "./warehouse");
    assert_eq!((request.place, request.sources, request.format), (None, vec![], Format::Table));
    assert!(!request.read_only && !request.quiet);
}

#[test]
fn commands_and_files_keep_the_order_they_stand_in() {
    let request = request(&["-c", "SELECT 1", "-f", "a.sql", "-c", "SELECT 2", "--file=b.sql"]);
    let names = ["a.sql", "b.sql"].map(|name| Source::File(name.into()));
    let [a, b] = names;
    assert_eq!(request.sources, vec![Source::Text("SELECT 1".into()), a, Source::Text("SELECT 2".into()), b]);
}

#[test]
fn a_sql_file_in_place_of_a_table_is_run_first() {
    let request = request(&["load.SQL", "-c", "SELECT 1"]);
    assert_eq!(request.place, None);
    assert_eq!(request.sources, vec![Source::File("load.SQL".into()), Source::Text("SELECT 1".into())]);
}

#[test]
fn options_are_split_at_the_first_equals_sign() {
    let request = request(&["--option", "AWS_SECRET_ACCESS_KEY=a=b", "--option=AWS_REGION=x", "t.parquet"]);
    let expected = [("AWS_SECRET_ACCESS_KEY", "a=b"), ("AWS_REGION", "x")];
    assert_eq!(request.options, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(request.place.as_deref(), Some("t.parquet"));
}

#[test]
fn a_malformed_option_is_refused_without_repeating_it() {
    for arguments in
        [&["--option", "hunter2"][..], &["--option=hunter2"], &["doctor", "s3://b", "--option", "=hunter2"]]
    {
        let error = parse(arguments).expect_err("no key").to_string();
        assert!(error.contains("KEY=VALUE") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn doctor_takes_the_shared_options_on_either_side() {
    for arguments in [["--option", "A=b", "doctor", "s3://b/x"], ["doctor", "s3://b/x", "--option", "A=b"]] {
        let Ok(Invocation::Doctor(examination)) = parse(&arguments) else { panic!("{arguments:?}") };
        assert_eq!(examination.uri, "s3://b/x");
        assert_eq!(examination.options, vec![("A".to_owned(), "b".to_owned())]);
    }
}

#[test]
fn the_command_line_is_sound() {
    CommandLine::command().debug_assert();
}

#[test]
fn the_manual_has_every_command_and_its_examples() {
    let page = String::from_utf8(Invocation::manual().expect("written")).expect("text");
    assert!(page.contains(".TH floe 1"), "{page}");
    for name in ["DOCTOR", "CHECK", "SHOW", "COMPLETIONS", "MAN", "INDEX", "INDEX BUILD", "INDEX DROP"] {
        assert!(page.contains(&format!(".SH \"FLOE {name}\"")), "{name}: {page}");
    }
    for part in ["\\-\\-read\\-only", "floe doctor ./warehouse", "the shell, on ./warehouse"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

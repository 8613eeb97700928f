//! What begins with a dot, or with a backslash as in psql.

/// What a person typed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Typed {
    /// Statements to run.
    Sql(String),
    /// The columns of every table.
    AllColumns,
    /// What a table looks like.
    Show(String),
    Help,
    Leave,
    /// Shows the format of results, or sets it, and the table that inserts are into.
    Mode(Option<String>, Option<String>),
    /// Sets the format to lines, or back.
    Lines,
    /// Where results go from now on; to the screen without a file.
    Output(Option<String>),
    /// Where the next result goes.
    Once(String),
    /// The program that shows long results: on, off, or a command; shows it without an argument.
    Pager(Option<String>),
    /// Sets a switch, or turns it over.
    Switch(Switch, Option<bool>),
    /// Opens the last statements in an editor, and runs what comes back.
    Edit,
    /// Runs a script.
    Read(String),
    /// Runs the last statements every so many seconds.
    Watch(f64),
    /// Nothing that is known; what would have been.
    Unknown(String),
}

/// Something that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
    Timing,
    Echo,
    Bail,
}

impl Switch {
    pub(super) fn name(self) -> &'static str {
        match self {
            Switch::Timing => "timing",
            Switch::Echo => "echo",
            Switch::Bail => "bail",
        }
    }
}

/// Whether this is a command and no SQL.
pub(super) fn is_command(text: &str) -> bool {
    text.trim_start().starts_with(['.', '\\'])
}

impl Typed {
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim();
        if !is_command(text) {
            return Self::Sql(text.to_owned());
        }
        let text = text.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
        let (command, argument) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let command = whole(command);
        let argument = argument.trim();
        let given = || (!argument.is_empty()).then(|| unquoted(argument));
        match (command, argument) {
            (".help" | "\\?" | "\\h", _) => Self::Help,
            (".quit" | ".exit" | "\\q", _) => Self::Leave,
            (".tables" | "\\dt", "") => Self::Sql("SHOW TABLES".to_owned()),
            (".tables" | "\\dt", like) => Self::Sql(format!("SHOW TABLES LIKE '{}'", like.replace('\'', "''"))),
            (".schemas" | ".databases" | "\\l" | "\\dn", "") => Self::Sql("SHOW SCHEMAS".to_owned()),
            (".schema" | "\\d", "") => Self::AllColumns,
            (".schema" | "\\d", table) => Self::Sql(format!("DESCRIBE {table}")),
            (".show", "") => Self::Unknown(".show takes a table, path or URI".to_owned()),
            (".show", _) => Self::Show(unquoted(argument)),
            (".mode", argument) => {
                let mut words = argument.split_whitespace().map(str::to_owned);
                Self::Mode(words.next(), words.next())
            }
            ("\\x", "") => Self::Lines,
            (".output" | "\\o", _) => Self::Output(given()),
            (".once", "") => Self::Unknown(".once takes the name of a file".to_owned()),
            (".once", _) => Self::Once(unquoted(argument)),
            (".read" | "\\i", "") => Self::Unknown(format!("{command} takes the name of a file")),
            (".read" | "\\i", _) => Self::Read(unquoted(argument)),
            (".edit" | "\\e", "") => Self::Edit,
            (".pager" | "\\pager", _) => Self::Pager(given()),
            (".timing" | "\\timing", _) => switch(Switch::Timing, command, argument),
            (".echo", _) => switch(Switch::Echo, command, argument),
            (".bail", _) => switch(Switch::Bail, command, argument),
            (".watch" | "\\watch", "") => Self::Watch(2.0),
            (".watch" | "\\watch", seconds) => match seconds.parse::<f64>() {
                Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Self::Watch(seconds),
                _ => Self::Unknown(format!("{command} takes a number of seconds, from 0.1 to 86400")),
            },
            _ => Self::Unknown(match nearest(command) {
                Some(near) => format!("unknown command {text}, did you mean {near}? .help lists the commands"),
                None => format!("unknown command {text}; .help lists the commands"),
            }),
        }
    }
}

/// The command that begins so, if there is one only.
fn whole(command: &str) -> &str {
    let mut known = KNOWN.iter().filter(|known| command.len() > 1 && known.starts_with(command));
    match (known.next(), known.next()) {
        (Some(only), None) => only,
        _ => command,
    }
}

fn switch(which: Switch, command: &str, argument: &str) -> Typed {
    match argument.to_ascii_lowercase().as_str() {
        "" => Typed::Switch(which, None),
        "on" | "true" | "1" => Typed::Switch(which, Some(true)),
        "off" | "false" | "0" => Typed::Switch(which, Some(false)),
        _ => Typed::Unknown(format!("{command} takes on or off")),
    }
}

/// A file's name, which may stand in quotes.
fn unquoted(text: &str) -> String {
    let inner = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(text).to_owned()
}

const KNOWN: [&str; 17] = [
    ".help", ".quit", ".exit", ".tables", ".schemas", ".schema", ".mode", ".output", ".once", ".read", ".timing",
    ".echo", ".bail", ".watch", ".show", ".edit", ".pager",
];

fn nearest(command: &str) -> Option<&'static str> {
    floe_query::nearest(command, KNOWN.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood_in_both_spellings() {
        let sql = |text: &str| Typed::Sql(text.to_owned());
        for (text, typed) in [
            (".help", Typed::Help),
            ("\\?", Typed::Help),
            (" .quit ", Typed::Leave),
            (".exit;", Typed::Leave),
            ("\\q", Typed::Leave),
            (".tables", sql("SHOW TABLES")),
            ("\\dt", sql("SHOW TABLES")),
            (".tables o'd%", sql("SHOW TABLES LIKE 'o''d%'")),
            (".schema", Typed::AllColumns),
            ("\\d", Typed::AllColumns),
            (".schema  ducks ;", sql("DESCRIBE ducks")),
            ("\\d ducks", sql("DESCRIBE ducks")),
            ("\\l", sql("SHOW SCHEMAS")),
            (".show 's3://b/t'", Typed::Show("s3://b/t".into())),
            (".mode", Typed::Mode(None, None)),
            (".mode insert t", Typed::Mode(Some("insert".into()), Some("t".into()))),
            (".output 'a b.csv'", Typed::Output(Some("a b.csv".into()))),
            ("\\o", Typed::Output(None)),
            (".once x", Typed::Once("x".into())),
            ("\\i \"x y\"", Typed::Read("x y".into())),
            (".timing", Typed::Switch(Switch::Timing, None)),
            ("\\timing OFF", Typed::Switch(Switch::Timing, Some(false))),
            (".bail on;", Typed::Switch(Switch::Bail, Some(true))),
            ("\\e", Typed::Edit),
            (".pager", Typed::Pager(None)),
            ("\\pager off", Typed::Pager(Some("off".into()))),
            (".pag less -S", Typed::Pager(Some("less -S".into()))),
            (".tab", sql("SHOW TABLES")),
            (".mo csv", Typed::Mode(Some("csv".into()), None)),
            // .schema and .schemas.
            (".schema t", sql("DESCRIBE t")),
            ("\\watch", Typed::Watch(2.0)),
            (".watch 0.5", Typed::Watch(0.5)),
            ("SELECT .5;", sql("SELECT .5;")),
        ] {
            assert_eq!(Typed::parse(text), typed, "{text}");
        }
    }

    #[test]
    fn what_is_no_command_is_told_with_what_would_be() {
        for (text, part) in [
            (".tabels", "did you mean .tables?"),
            (".e", "unknown command"),
            (".nothing-like-it", ".help lists"),
            (".once", "name of a file"),
            (".show", "takes a table"),
            (".echo maybe", "on or off"),
            (".watch 0", "number of seconds"),
            (".watch NaN", "number of seconds"),
        ] {
            let Typed::Unknown(said) = Typed::parse(text) else { panic!("{text} is understood") };
            assert!(said.contains(part), "{said}");
        }
    }
}

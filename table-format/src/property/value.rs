//! Texts of property values. Each function returns the value or what would be acceptable.

use super::IsolationLevel;
use super::{CheckpointPolicy, DAY_MS, DuplicateKeys, MergeMode};
use crate::schema::ColumnMappingMode;
use crate::version::{TimestampMs, Version};

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

pub(super) fn positive(text: &str) -> Result<u64, String> {
    let number: Option<u64> = text.trim().parse().ok();
    number.filter(|n| (1..=i64::MAX as u64).contains(n)).ok_or_else(|| "expected a whole number from 1".into())
}

pub(super) fn version(text: &str) -> Result<Version, String> {
    let number: Option<u64> = text.trim().parse().ok();
    number.and_then(|n| Version::new(n).ok()).ok_or_else(|| "expected a version".into())
}

pub(super) fn timestamp(text: &str) -> Result<TimestampMs, String> {
    text.trim().parse().map(TimestampMs).map_err(|_| "expected milliseconds since 1970".into())
}

/// A number of columns; -1 stands for all.
pub(super) fn indexed_columns(text: &str) -> Result<Option<usize>, String> {
    match text.trim().parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(number) => usize::try_from(number).map(Some).map_err(|_| "expected -1 or more".into()),
        Err(_) => Err("expected a number of columns, or -1 for all".into()),
    }
}

pub(super) fn mapping_mode(text: &str) -> Result<ColumnMappingMode, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "none" => Ok(ColumnMappingMode::None),
        "name" => Ok(ColumnMappingMode::Name),
        "id" => Ok(ColumnMappingMode::Id),
        _ => Err("expected none, name or id".into()),
    }
}

pub(super) fn checkpoint_policy(text: &str) -> Result<CheckpointPolicy, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "classic" => Ok(CheckpointPolicy::Classic),
        "v2" => Ok(CheckpointPolicy::V2),
        _ => Err("expected classic or v2".into()),
    }
}

/// Names of columns, as a JSON list or parted by commas.
pub(super) fn column_names(text: &str) -> Result<Vec<String>, String> {
    let listed: Vec<String> = match text.trim().starts_with('[') {
        true => serde_json::from_str(text).map_err(|_| "expected a JSON list of names")?,
        false => text.split(',').map(|name| name.trim().to_owned()).collect(),
    };
    if listed.is_empty() || listed.iter().any(String::is_empty) {
        return Err("expected names of columns".into());
    }
    match listed.iter().enumerate().find(|(at, name)| listed[..*at].contains(name)) {
        Some((_, twice)) => Err(format!("{twice} is named twice")),
        None => Ok(listed),
    }
}

pub(super) fn column_name(text: &str) -> Result<String, String> {
    match column_names(text)?.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err("expected the name of one column".into()),
    }
}

pub(super) fn merge_mode(text: &str) -> Result<MergeMode, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "overwrite" => Ok(MergeMode::Overwrite),
        "partial" => Ok(MergeMode::Partial),
        "firstrow" => Ok(MergeMode::FirstRow),
        _ => Err("expected overwrite, partial or firstRow".into()),
    }
}

pub(super) fn duplicate_keys(text: &str) -> Result<DuplicateKeys, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "fail" => Ok(DuplicateKeys::Fail),
        "latest" => Ok(DuplicateKeys::Latest),
        _ => Err("expected fail or latest".into()),
    }
}

pub(super) fn isolation_level(text: &str) -> Result<IsolationLevel, String> {
    let levels = [IsolationLevel::Serializable, IsolationLevel::WriteSerializable, IsolationLevel::Snapshot];
    let level = levels.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text.trim()));
    level.ok_or_else(|| "expected Serializable, WriteSerializable or SnapshotIsolation".into())
}

/// Bytes as Spark writes them: a number, or one with a unit such as `128mb` or `1g`, each 1024 of the one before.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim().to_ascii_lowercase();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim() {
        "" | "b" => Some(0),
        "k" | "kb" => Some(10),
        "m" | "mb" => Some(20),
        "g" | "gb" => Some(30),
        "t" | "tb" => Some(40),
        "p" | "pb" => Some(50),
        _ => None,
    };
    let size = number.parse::<u64>().ok().zip(shift).and_then(|(n, shift)| n.checked_mul(1u64 << shift));
    size.filter(|size| (1..=i64::MAX as u64).contains(size))
        .ok_or_else(|| "expected a size such as 134217728 or 128mb".into())
}

/// A length of time in milliseconds, without months and years, whose length depends on where they lie.
pub(super) fn interval(text: &str) -> Result<i64, String> {
    parse_interval(text, false)
}

/// As [`interval`], but a month counts as 31 days and a year as 366: long enough, so that nothing is deleted too early.
pub(super) fn lenient_interval(text: &str) -> Result<i64, String> {
    parse_interval(text, true)
}

/// `interval 30 days`, `1 week 2 hours`: whole numbers and units, in any case. Less than a millisecond rounds up.
fn parse_interval(text: &str, calendar_units: bool) -> Result<i64, String> {
    const DAY_US: i64 = DAY_MS * 1000;
    let expected = || "expected a length of time such as interval 30 days".to_owned();
    let text = text.to_ascii_lowercase().replace('\'', " ");
    let mut words = text.split_whitespace().peekable();
    words.next_if_eq(&"interval");
    let mut total_us = 0i64;
    let mut parts = 0;
    while let Some(number) = words.next() {
        let number: i64 = number.parse().map_err(|_| expected())?;
        if number < 0 {
            return Err("a length of time is not negative".into());
        }
        let unit = words.next().ok_or_else(expected)?;
        let unit_us = match unit.strip_suffix('s').unwrap_or(unit) {
            "microsecond" => 1,
            "millisecond" => 1000,
            "second" => 1_000_000,
            "minute" => 60_000_000,
            "hour" => 3_600_000_000,
            "day" => DAY_US,
            "week" => 7 * DAY_US,
            "month" if calendar_units => 31 * DAY_US,
            "year" if calendar_units => 366 * DAY_US,
            "month" | "year" => return Err("months and years differ in length: use days or weeks".into()),
            _ => return Err(expected()),
        };
        let part = number.checked_mul(unit_us).and_then(|part| total_us.checked_add(part));
        total_us = part.ok_or_else(|| "the length of time is too large".to_owned())?;
        parts += 1;
    }
    if parts == 0 {
        return Err(expected());
    }
    Ok(total_us / 1000 + i64::from(total_us % 1000 > 0))
}

/// Column names with commas between them; dots lead into structs, and a name in backticks is taken as it is.
pub(super) fn column_paths(text: &str) -> Result<Vec<Vec<String>>, String> {
    let expected = || "expected column names with commas between them".to_owned();
    let mut paths = vec![Vec::new()];
    let mut name = String::new();
    // Whether the current name has been closed by a backtick: then only a separator may follow.
    let (mut quoted, mut in_quotes) = (false, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '`' if in_quotes && characters.next_if_eq(&'`').is_some() => name.push('`'),
            '`' if in_quotes => in_quotes = false,
            '`' if name.trim().is_empty() && !quoted => {
                name.clear();
                (quoted, in_quotes) = (true, true);
            }
            _ if in_quotes => name.push(c),
            '.' | ',' => {
                finish_name(&mut paths, &mut name, &mut quoted).ok_or_else(expected)?;
                if c == ',' {
                    paths.push(Vec::new());
                }
            }
            _ if quoted && !c.is_whitespace() => return Err(expected()),
            _ if quoted => {}
            _ => name.push(c),
        }
    }
    if in_quotes {
        return Err("a backtick is not closed".into());
    }
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    finish_name(&mut paths, &mut name, &mut quoted).ok_or_else(expected)?;
    Ok(paths)
}

fn finish_name(paths: &mut [Vec<String>], name: &mut String, quoted: &mut bool) -> Option<()> {
    let finished = if *quoted { std::mem::take(name) } else { std::mem::take(name).trim().to_owned() };
    *quoted = false;
    if finished.is_empty() {
        return None;
    }
    paths.last_mut()?.push(finished);
    Some(())
}

//! Scalars as text: what partition values and statistics are written as.

use std::cmp::Ordering;
use std::fmt::Write as _;

use chrono::{Datelike, NaiveDate, Timelike};

/// Compares `a.0 / 10^a.1` with `b.0 / 10^b.1` exactly; none for a scale above 38.
pub(crate) fn compare_decimals(a: (i128, u8), b: (i128, u8)) -> Option<Ordering> {
    if a.1 == b.1 {
        return Some(a.0.cmp(&b.0));
    }
    let (pow_a, pow_b) = (power_of_ten(a.1)?, power_of_ten(b.1)?);
    // Whole parts first: bringing both to one scale could overflow, their fractions cannot.
    let whole = a.0.div_euclid(pow_a).cmp(&b.0.div_euclid(pow_b));
    if whole != Ordering::Equal {
        return Some(whole);
    }
    let scale = a.1.max(b.1);
    let fraction_a = a.0.rem_euclid(pow_a) * power_of_ten(scale - a.1)?;
    let fraction_b = b.0.rem_euclid(pow_b) * power_of_ten(scale - b.1)?;
    Some(fraction_a.cmp(&fraction_b))
}

/// `10^exponent`, up to 10^38.
pub(crate) fn power_of_ten(exponent: u8) -> Option<i128> {
    (exponent <= 38).then(|| 10i128.pow(exponent.into()))
}

/// The unscaled value of a decimal's text at a precision and scale; none if it is not a number or does not fit exactly.
/// Accepts an exponent: Java writes a zero of scale 10 as `0E-10`.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut unscaled: i128 = 0;
    // How many of the digits taken stand after the point once the exponent is applied.
    let mut after_point = -i64::from(exponent);
    for (digit, in_fraction) in whole.bytes().map(|d| (d, false)).chain(fraction.bytes().map(|d| (d, true))) {
        if !digit.is_ascii_digit() {
            return None;
        }
        unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        after_point += i64::from(in_fraction);
    }
    while after_point > i64::from(scale) {
        if unscaled == 0 {
            break;
        }
        if unscaled % 10 != 0 {
            return None;
        }
        unscaled /= 10;
        after_point -= 1;
    }
    while after_point < i64::from(scale) {
        if unscaled == 0 {
            break;
        }
        unscaled = unscaled.checked_mul(10)?;
        after_point += 1;
    }
    if unscaled >= power_of_ten(precision)? {
        return None;
    }
    Some(if negative { -unscaled } else { unscaled })
}

/// Digits with a point, never with an exponent.
pub(crate) fn decimal_text(unscaled: i128, scale: u8) -> String {
    let digits = unscaled.unsigned_abs().to_string();
    let scale = usize::from(scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

pub(super) fn double_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        format!("{value:?}")
    }
}

/// Text that is all `\uXXXX` escapes of single bytes, or else the text's own bytes.
pub(super) fn parse_binary(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 6);
    let mut rest = text;
    while !rest.is_empty() {
        let byte = rest
            .strip_prefix("\\u00")
            .and_then(|r| r.get(..2))
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => bytes.push(byte),
            None => return text.as_bytes().to_vec(),
        }
        rest = &rest[6..];
    }
    bytes
}

/// The bytes as text where they are text, else every byte as a `\uXXXX` escape.
pub(super) fn binary_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        // Text that would be read back as escapes must be escaped itself.
        Ok(text) if parse_binary(text) == bytes => text.to_owned(),
        _ => bytes.iter().fold(String::new(), |mut out, byte| {
            write!(out, "\\u{byte:04X}").expect("writing to a String cannot fail");
            out
        }),
    }
}

/// Days since 1970 of `yyyy-MM-dd`, with an optional sign before the year.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = digits.splitn(3, '-');
    let year = unsigned(parts.next()?, 1, 6)? as i32;
    let month = unsigned(parts.next()?, 1, 2)?;
    let day = unsigned(parts.next()?, 1, 2)?;
    let date = NaiveDate::from_ymd_opt(if negative { -year } else { year }, month, day)?;
    Some(date.num_days_from_ce() - DAYS_FROM_CE_TO_1970)
}

const DAYS_FROM_CE_TO_1970: i32 = 719_163;
const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Microseconds since 1970 of `yyyy-MM-dd[( |T)HH:mm[:ss[.fraction]][Z|±HH[[:]mm[[:]ss]]]]`; without an offset the time
/// is taken as it stands. Digits beyond the microsecond are dropped.
///
/// Offsets with seconds are accepted because one engine writes them for times before time zones (delta-rs 3782).
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let Some(split) = text.find(['T', ' ']) else {
        return i64::from(parse_date(text)?).checked_mul(MICROS_PER_DAY);
    };
    let (date, rest) = (&text[..split], &text[split + 1..]);
    let (time, offset_seconds) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (&rest[..at], parse_offset(&rest[at..])?),
        None => (rest, 0),
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.split(':');
    let hour = unsigned(parts.next()?, 1, 2).filter(|h| *h < 24)?;
    let minute = unsigned(parts.next()?, 1, 2).filter(|m| *m < 60)?;
    let second = parts.next().map_or(Some(0), |s| unsigned(s, 1, 2)).filter(|s| *s < 60)?;
    if parts.next().is_some() || !fraction.bytes().all(|b| b.is_ascii_digit()) || fraction.len() > 12 {
        return None;
    }
    let mut micros = 0;
    for index in 0..6 {
        micros = micros * 10 + fraction.as_bytes().get(index).map_or(0, |d| i64::from(d - b'0'));
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second) - offset_seconds;
    i64::from(parse_date(date)?).checked_mul(MICROS_PER_DAY)?.checked_add(seconds * MICROS_PER_SECOND + micros)
}

/// Seconds east of UTC.
fn parse_offset(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    if digits.len() < 2 || !digits.len().is_multiple_of(2) || digits.len() > 6 {
        return None;
    }
    let part = |index: usize| digits.get(index..index + 2).map_or(Some(0), |d| unsigned(d, 2, 2));
    let (hours, minutes, seconds) = (part(0)?, part(2)?, part(4)?);
    (hours <= 18 && minutes < 60 && seconds < 60)
        .then(|| sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds)))
}

fn unsigned(text: &str, digits_min: usize, digits_max: usize) -> Option<u32> {
    let fits = (digits_min..=digits_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// `yyyy-MM-dd`.
pub(crate) fn date_text(days: i32) -> String {
    match days.checked_add(DAYS_FROM_CE_TO_1970).and_then(NaiveDate::from_num_days_from_ce_opt) {
        Some(date) => year_text(date) + &format!("-{:02}-{:02}", date.month(), date.day()),
        None => days.to_string(),
    }
}

/// `yyyy-MM-ddTHH:mm:ss.` and as many digits as asked, 3 or 6.
pub(crate) fn timestamp_text(micros: i64, separator: char, digits: usize) -> String {
    match chrono::DateTime::from_timestamp_micros(micros) {
        Some(time) => {
            let (date, time) = (time.date_naive(), time.time());
            let mut out = year_text(date);
            let fraction = micros.rem_euclid(MICROS_PER_SECOND);
            write!(out, "-{:02}-{:02}{separator}", date.month(), date.day()).expect("writing to a String cannot fail");
            write!(out, "{:02}:{:02}:{:02}.", time.hour(), time.minute(), time.second())
                .expect("writing to a String cannot fail");
            let fraction = format!("{fraction:06}");
            out.push_str(&fraction[..digits.min(6)]);
            out
        }
        None => micros.to_string(),
    }
}

fn year_text(date: NaiveDate) -> String {
    let year = date.year();
    match year {
        0..=9999 => format!("{year:04}"),
        10_000.. => format!("+{year}"),
        _ => format!("-{:04}", -year),
    }
}

//! What the environment says of characters.

/// Whether other characters than ASCII may be drawn: not where the locale says that the terminal has none. An environment
/// without a locale says nothing, and terminals have known UTF-8 for long.
pub(crate) fn has_unicode() -> bool {
    let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    says_unicode(said("LC_ALL").or_else(|| said("LC_CTYPE")).or_else(|| said("LANG")).as_deref())
}

fn says_unicode(locale: Option<&str>) -> bool {
    locale.is_none_or(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

#[cfg(test)]
mod tests {
    use super::says_unicode;

    #[test]
    fn a_locale_of_another_charset_has_ascii_alone() {
        for unicode in [None, Some("C.UTF-8"), Some("de_DE.utf8")] {
            assert!(says_unicode(unicode), "{unicode:?}");
        }
        for ascii in ["C", "POSIX", "de_DE", "en_US.ISO-8859-1"] {
            assert!(!says_unicode(Some(ascii)), "{ascii}");
        }
    }
}

//! Values on the command line: sizes, times, pairs.

use std::time::Duration;

/// `256M`, `1G`, `64K`, or bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let bad = || format!("expected a size such as 256M, 1G or 65536; found {text:?}");
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err(bad()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(bad)
}

/// A size, or `never` for one that nothing exceeds.
pub fn size_or_never(text: &str) -> Result<u64, String> {
    if text == "never" { Ok(u64::MAX) } else { size(text) }
}

/// `10s`, `250ms`, `2m`, or seconds.
pub fn time(text: &str) -> Result<Duration, String> {
    let bad = || format!("expected a time such as 10s, 250ms or 2m; found {text:?}");
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    let seconds: f64 = number.parse().map_err(|_| bad())?;
    Duration::try_from_secs_f64(seconds * unit).ok().filter(|t| !t.is_zero()).ok_or_else(bad)
}

/// `NAME=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected NAME=VALUE; found {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("256M"), Ok(256 << 20));
        assert_eq!((size_or_never("0"), size_or_never("never")), (Ok(0), Ok(u64::MAX)));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("77"), Ok(77));
        for bad in ["", "M", "1.5G", "-1", "5X", "99999999999G", "5µ"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "-1s", "0", "1y", "1e400", "NaN"] {
            assert!(time(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn pairs() {
        assert_eq!(pair("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(pair("A="), Ok(("A".into(), String::new())));
        assert!(pair("A").is_err() && pair("=b").is_err());
    }
}

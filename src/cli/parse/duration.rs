//! Durations as Docker writes them: `90s`, `1h30m`, `1.5s`, `250ms`; days too, since history is
//! long.

use std::time::Duration;

/// A duration in nanoseconds.
pub(crate) fn duration_ns(text: &str) -> Result<u64, String> {
    let bad = || "it is not a duration; write for example 90s, 5m or 1h30m".to_owned();
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut total: f64 = 0.0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number * unit_ns(&rest[..letters]).ok_or_else(bad)?;
        rest = &rest[letters..];
    }
    // Beyond this a float no longer counts single nanoseconds, and it is a century and more anyway.
    if total > 4e18 { Err("it is too long".into()) } else { Ok(total.round() as u64) }
}

/// The same, as the standard library has it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    duration_ns(text).map(Duration::from_nanos)
}

fn unit_ns(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3_600e9,
        "d" => 86_400e9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        assert_eq!(duration_ns("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(duration_ns("1.5s"), Ok(1_500_000_000));
        assert_eq!(duration_ns("250ms"), Ok(250_000_000));
        assert_eq!(duration_ns("0"), Ok(0));
        assert_eq!(duration_ns("2d"), Ok(172_800_000_000_000));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "s", "-5s", "5 s", "1..5s", "5x", "900000000h"] {
            assert!(duration_ns(text).is_err(), "{text:?}");
        }
    }
}

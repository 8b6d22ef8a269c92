//! Sizes as people read them. PURE.

/// The units, each 1,024 of the one before.
const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A size in the largest unit of which there is one, with two decimals at most: `512MiB`, `1.5GiB`.
/// The whole program writes sizes so.
pub fn bytes_size(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut unit = 0;
    // What would be written as 1024 is one of the next unit.
    while rounded(size) >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{}{}", rounded(size), UNITS[unit])
}

fn rounded(size: f64) -> f64 {
    (size * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_the_largest_unit_that_they_reach() {
        let written = [
            (0, "0B"),
            (100, "100B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (512 << 20, "512MiB"),
            ((3 << 20) + (1 << 19), "3.5MiB"),
            (3 << 29, "1.5GiB"),
            (19_654_321_987, "18.3GiB"),
            (5 << 40, "5TiB"),
            (u64::MAX, "16EiB"),
        ];
        for (bytes, expected) in written {
            assert_eq!(bytes_size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn no_size_is_written_as_1024_of_a_unit() {
        for unit in [20, 30, 40] {
            let just_below = (1_u64 << unit) - 1;
            assert!(bytes_size(just_below).starts_with('1'), "{}", bytes_size(just_below));
            assert!(!bytes_size(just_below).starts_with("1024"), "{}", bytes_size(just_below));
        }
    }
}

//! Amounts of processor and memory. PURE.

/// Most CPUs of one task or machine; more are a slip of the keyboard.
const CPUS_MAX: f64 = 1e6;

/// A number of CPUs in thousand-millionths of one: `0.5` is half a CPU.
pub(crate) fn cpus(text: &str) -> Result<i64, String> {
    let bad = || "it is not a number of CPUs; write for example 0.5 or 2".to_owned();
    let number: f64 = text.parse().map_err(|_| bad())?;
    if number.is_nan() || number < 0.0 {
        return Err(bad());
    }
    if number > CPUS_MAX {
        return Err(format!("it is too large: at most {CPUS_MAX}"));
    }
    let nano = (number * 1e9).round() as i64;
    if nano != 0 && nano < 1_000_000 {
        Err("it is too little: at least 0.001".into())
    } else {
        Ok(nano)
    }
}

/// A size in bytes: `512m`, `1g`, `64MiB`, `4096`. Units are powers of 1024, as Docker's are.
pub(crate) fn memory(text: &str) -> Result<i64, String> {
    let bad = || "it is not a size; write for example 64m, 512MiB or 1g".to_owned();
    let lower = text.to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let number: f64 = lower[..digits].parse().map_err(|_| bad())?;
    let scale = match lower[digits..].trim_start() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        "g" | "gb" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tb" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(bad()),
    };
    let bytes = number * scale;
    if bytes > 9e18 {
        Err("it is too large: no machine has as much".into())
    } else {
        Ok(bytes as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(memory("64m"), Ok(64 << 20));
        assert_eq!(memory("1.5g"), Ok(3 << 29));
        assert_eq!(memory("512MiB"), Ok(512 << 20));
        assert_eq!(memory("4096"), Ok(4096));
        for text in ["99999999999999g", "9223372036854775808"] {
            let wrong = memory(text).expect_err("no machine has as much");
            assert!(wrong.starts_with("it is too large"), "{text}: {wrong}");
        }
        assert!(memory("many").is_err() && memory("5x").is_err() && memory("-5m").is_err());
    }

    #[test]
    fn cpus_are_counted_in_thousand_millionths() {
        assert_eq!(cpus("0.5"), Ok(500_000_000));
        assert_eq!(cpus("2"), Ok(2_000_000_000));
        assert!(
            cpus("x").is_err()
                && cpus("-1").is_err()
                && cpus("NaN").is_err()
                && cpus("0.0001").is_err()
                && cpus("inf").is_err()
        );
        assert_eq!((cpus("0"), cpus("0.001")), (Ok(0), Ok(1_000_000)));
        assert!(cpus("1000000").is_ok());
        assert_eq!(cpus("1000001"), Err("it is too large: at most 1000000".into()));
    }
}

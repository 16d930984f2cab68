//! Durations and sizes as people write them: `90s`, `5m`, `512m`, `1g`.

use std::{str::FromStr, time::Duration};

/// The text is not a duration, a size or a number of cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAUnit {
    /// Not a duration.
    #[error("must be seconds, or a number with `ms`, `s`, `m`, `h` or `d`")]
    Duration,
    /// Not a size.
    #[error("must be bytes, or a number with `k`, `m` or `g` (1024-based)")]
    Bytes,
    /// Not a number of cores.
    #[error("must be a number of cores, such as 2 or 0.5")]
    Cores,
}

/// Reads `90`, `90s`, `5m`, `2h`, `30d` or `250ms`.
///
/// # Errors
/// Anything else, and what does not fit 64 bits of milliseconds.
pub fn duration(text: &str) -> Result<Duration, NotAUnit> {
    let (number, unit) = split(text).ok_or(NotAUnit::Duration)?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(NotAUnit::Duration),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or(NotAUnit::Duration)
}

/// Reads `1048576`, `64k`, `256m` or `1g`; units are 1024-based and may be upper case.
///
/// # Errors
/// Anything else, and what does not fit 63 bits: Docker's fields are signed.
pub fn bytes(text: &str) -> Result<u64, NotAUnit> {
    let (number, unit) = split(text).ok_or(NotAUnit::Bytes)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return Err(NotAUnit::Bytes),
    };
    number.checked_mul(factor).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or(NotAUnit::Bytes)
}

/// A number of cores, as settings are written: `2` or `0.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    millis: u64,
}

impl Cores {
    /// In thousandths of a core.
    pub fn millis(self) -> u64 {
        self.millis
    }
}

impl FromStr for Cores {
    type Err = NotAUnit;

    fn from_str(text: &str) -> Result<Self, NotAUnit> {
        let millis = text.parse::<f64>().map_err(|_| NotAUnit::Cores)? * 1000.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
        if (10.0..=1e9).contains(&millis) { Ok(Self { millis: millis as u64 }) } else { Err(NotAUnit::Cores) }
    }
}

/// A size as people read it, for messages.
pub fn show_bytes(bytes: u64) -> String {
    for (factor, unit) in [(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes} bytes")
}

/// A duration as people read it, for messages: `8 ms`, `1.3 s`, `60 s`.
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms < 100 {
        format!("{ms} ms")
    } else if ms.is_multiple_of(1000) {
        format!("{} s", ms / 1000)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim_start()))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("90" => Ok(90_000))]
    #[test_case("90s" => Ok(90_000))]
    #[test_case("5m" => Ok(300_000))]
    #[test_case("250ms" => Ok(250))]
    #[test_case("-1" => Err(NotAUnit::Duration))]
    #[test_case("" => Err(NotAUnit::Duration))]
    #[test_case("1w" => Err(NotAUnit::Duration))]
    #[test_case("99999999999999999999" => Err(NotAUnit::Duration))]
    fn durations_in_ms(text: &str) -> Result<u128, NotAUnit> {
        duration(text).map(|duration| duration.as_millis())
    }

    #[test_case(8 => "8 ms")]
    #[test_case(512 => "0.5 s")]
    #[test_case(1312 => "1.3 s")]
    #[test_case(60_000 => "60 s")]
    fn shown(ms: u64) -> String {
        show_duration(Duration::from_millis(ms))
    }

    #[test_case("2" => Ok(2000))]
    #[test_case("0.5" => Ok(500))]
    #[test_case("0" => Err(NotAUnit::Cores))]
    #[test_case("all" => Err(NotAUnit::Cores))]
    fn cores(text: &str) -> Result<u64, NotAUnit> {
        text.parse().map(Cores::millis)
    }

    #[test_case("512m" => Ok(536_870_912))]
    #[test_case("1G" => Ok(1_073_741_824))]
    #[test_case("1024" => Ok(1024))]
    #[test_case("9999999999g" => Err(NotAUnit::Bytes))]
    #[test_case("1.5g" => Err(NotAUnit::Bytes))]
    fn sizes(text: &str) -> Result<u64, NotAUnit> {
        bytes(text)
    }
}

//! How long and how much: lengths of time, shares of a lifetime, numbers of bytes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Malformed;

/// A length of time: `"30s"`, `"1h30m"`, `"500ms"`, `"30d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

text_value!(
    Period,
    "Period",
    "^([0-9]+(ms|s|m|h|d))+$",
    "A length of time: a number and a unit (ms, s, m, h, d), as often as needed: `1h30m`."
);

impl Period {
    /// This many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The length as the standard library's type.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let wrong = || {
            Malformed::new(
                "this is not a length of time",
                "write a number and a unit, such as `30s`, `1h30m` or `500ms`",
            )
        };
        let mut rest = text;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let millis = UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(wrong)?
                .1;
            let part = number
                .checked_mul(millis)
                .map(Duration::from_millis)
                .ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
            rest = tail;
        }
        // Ten thousand years is more than any key can mean and keeps later sums from overflowing.
        if text.is_empty() || total > Duration::from_secs(10_000 * 365 * 86_400) {
            return Err(wrong());
        }
        Ok(Self(total))
    }
}

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in UNITS {
            let count = millis / size;
            millis %= size;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

/// A length of time after which something happens, or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// No limit.
    Never,
    /// After this long.
    After(Period),
}

text_value!(
    Deadline,
    "Deadline",
    "^(never|([0-9]+(ms|s|m|h|d))+)$",
    "A length of time such as `30s`, or `never`."
);

impl Deadline {
    /// After this many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self::After(Period::seconds(seconds))
    }

    /// The length, or nothing for `never`.
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::After(period) => Some(period.duration()),
        }
    }
}

impl FromStr for Deadline {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "never" => Ok(Self::Never),
            text => text.parse().map(Self::After),
        }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::After(period) => period.fmt(f),
        }
    }
}

/// How much of an access token's life is left when its successor is fetched: `"10%"` or `"30s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Margin {
    /// A share of the token's lifetime, in percent, 1 to 50.
    Percent(u8),
    /// A length of time.
    Period(Period),
}

text_value!(
    Margin,
    "Margin",
    "^([0-9]+%|([0-9]+(ms|s|m|h|d))+)$",
    "A share of the lifetime from `1%` to `50%`, or a length of time such as `30s`."
);

impl FromStr for Margin {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Period);
        };
        match whole(percent).and_then(|percent| u8::try_from(percent).ok()) {
            Some(percent @ 1..=50) => Ok(Self::Percent(percent)),
            _ => Err(Malformed::new(
                "this is not a share of a lifetime",
                "write a share from `1%` to `50%`, or a length of time such as `30s`",
            )),
        }
    }
}

impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Period(period) => period.fmt(f),
        }
    }
}

/// A number of bytes: `"64KiB"`, `"1MiB"`, `"500B"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

text_value!(
    Size,
    "Size",
    "^[0-9]+(B|KiB|MiB|GiB)$",
    "A number of bytes with a unit (B, KiB, MiB, GiB)."
);

impl Size {
    /// This many times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count * 1024)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as an index type; a size beyond memory is all of it.
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// True for zero bytes.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl FromStr for Size {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        SIZES
            .iter()
            .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))
            .and_then(|(number, size)| whole(number)?.checked_mul(*size))
            .map(Self)
            .ok_or_else(|| {
                Malformed::new(
                    "this is not a size",
                    "write a number and a unit, such as `64KiB` or `1MiB`",
                )
            })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in SIZES {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// A number of nothing but digits; the standard parser would take a `+` too.
fn whole(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

//! The words of a lease: who holds the right to spend a grant's refresh token, and until when.
//!
//! What always holds: a [`Holder`] is told from every other by its text alone; a fence grows
//! whenever the holder changes and never goes back, so the holder with the highest fence is the
//! latest.

use std::fmt;
use std::time::Duration;

use super::{Error, ErrorKind};

/// The longest text of a holder in bytes: what others wrote is cut there.
const LONGEST: usize = 128;

/// Who asks for a lease: one start of one process.
///
/// A process that is started again is another holder: it knows nothing of what the one before it
/// had under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder(String);

impl Holder {
    /// A new holder: the machine's name, the process's id, and a random part, because neither of
    /// them tells two pods or two starts apart for sure.
    pub fn generate() -> Result<Self, Error> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|cause| {
            Error::new(ErrorKind::Away, "the system's random source gives nothing").because(cause)
        })?;
        let machine = rustix::system::uname();
        let machine = machine.nodename().to_string_lossy();
        let random = u64::from_be_bytes(random);
        Ok(Self::named(&format!(
            "{machine}/{}/{random:016x}",
            std::process::id()
        )))
    }

    /// The holder of this name, which whoever gives it keeps to itself.
    pub fn named(name: &str) -> Self {
        Self(printable(name))
    }

    /// The text that tells it from others; no secret.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A lease that was taken or renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who has it.
    pub holder: Holder,
    /// The number of this holder in the row of all: higher than that of any other holder before.
    pub fence: u64,
    /// How long it was given for. Count from before the claim was made: the engine counts from
    /// some moment while it was under way.
    pub ttl: Duration,
}

/// What came of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is ours, for the time it says.
    Taken(Lease),
    /// Somebody else has it; waiting helps.
    Held {
        /// Who has it, as far as the engine tells: to be shown, not to be decided on.
        by: String,
        /// How long it still has, where the engine tells; it may be renewed, or given back.
        remaining: Option<Duration>,
    },
}

impl Claim {
    /// Somebody else's lease. Its name comes from outside: made printable and cut.
    pub fn held(by: &str, remaining: Option<Duration>) -> Self {
        let by = printable(by);
        Self::Held { by, remaining }
    }
}

/// Whether other processes may write the same record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Whoever has opened the store is alone with it: a lease is always to be had.
    Exclusive,
    /// Others may read, write and lease beside us.
    Shared,
}

fn printable(text: &str) -> String {
    let escaped = text.chars().flat_map(char::escape_default);
    escaped.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_starts_are_two_holders() {
        let (one, two) = (Holder::generate().unwrap(), Holder::generate().unwrap());
        assert_ne!(one, two);
        let id = format!("/{}/", std::process::id());
        assert!(one.as_str().contains(&id), "{one}");
    }

    #[test]
    fn a_name_from_outside_is_shown_printable_and_short() {
        let by = format!("pod\u{1b}[31m\n{}", "x".repeat(4096));
        let Claim::Held { by, .. } = Claim::held(&by, None) else {
            unreachable!()
        };
        assert_eq!(by.len(), LONGEST);
        assert!(by.starts_with("pod\\u{1b}[31m\\n"), "{by}");
    }
}

//! `bearward keygen`: a key that seals stores.

use super::{Failure, say};
use crate::store::Key;

pub(super) fn run() -> Result<(), Failure> {
    let key = Key::generate()?;
    say(key.text().expose());
    Ok(())
}

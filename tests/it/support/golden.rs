//! Texts that are kept beside the tests and compared.

use std::fmt::Write;
use std::path::Path;

/// True when the kept texts are to be written anew: `UPDATE=1`.
pub fn update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Compares `got` with the file at `path`, or writes it there when `UPDATE` is set.
pub fn hold_against(path: &Path, got: &str) -> Result<(), String> {
    if update() {
        std::fs::write(path, got).expect("the golden can be written");
        return Ok(());
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    if kept == got {
        return Ok(());
    }
    let mut told = format!("{} (UPDATE=1 rewrites it):\n", path.display());
    let (kept, got): (Vec<_>, Vec<_>) = (kept.lines().collect(), got.lines().collect());
    for line in 0..kept.len().max(got.len()) {
        match (kept.get(line), got.get(line)) {
            (Some(kept), Some(got)) if kept == got => writeln!(told, "  {kept}"),
            (kept, got) => kept
                .iter()
                .try_for_each(|kept| writeln!(told, "- {kept}"))
                .and_then(|()| got.iter().try_for_each(|got| writeln!(told, "+ {got}"))),
        }
        .expect("a string takes everything");
    }
    Err(told)
}

//! Values for keys that are needed and not there.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value for a key that is needed, so that the rest can be read; no check ever sees it, since
/// the place it stands for is known to be at fault.
pub(super) fn stand_in(key: &str) -> Spanned<DeValue<'static>> {
    let text = |text: &'static str| nowhere(DeValue::String(text.into()));
    let table = |key: &'static str, value| {
        nowhere(DeValue::Table(DeTable::from_iter([(
            nowhere(key.into()),
            value,
        )])))
    };
    match key {
        "store" => table("file", table("path", text("/stand-in"))),
        "upstream" => text("https://stand-in.invalid"),
        "path" => text("/stand-in"),
        "key" => text("none"),
        "refresh_token" => table("env", text("STAND_IN")),
        // `DeInteger` has no constructor of its own, but every TOML number makes one.
        "status" => DeValue::parse("498").unwrap_or_else(|_| text("498")),
        _ => text("stand-in"),
    }
}

/// A value that stands at no place of the text.
pub(super) fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned::new(usize::MAX..usize::MAX, value)
}

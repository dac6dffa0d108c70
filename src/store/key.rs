//! Keys that seal records at rest, and the ring of those that are in use.
//!
//! What always holds: a [`Key`] prints its id only. The id is in every sealed record and in the
//! key's text, so that a mistyped key and a wrong one are found before anything is opened.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::error::Unspecified;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Error, ErrorKind};
use crate::config::Source;
use crate::secret::Secret;

/// What the text of a key begins with, so that people and secret scanners recognise it.
const PREFIX: &str = "bearward-key-1:";
/// The length of an AES-256 key.
const KEY_LEN: usize = 32;
/// The length of a key's id, which follows the key in its text as check digits.
const ID_LEN: usize = 4;

/// A key that seals records with AES-256-GCM.
#[derive(Clone, Debug)]
pub struct Key {
    // On the heap, so that moving a key leaves no copy of it behind.
    bytes: Secret<Vec<u8>>,
    id: String,
}

impl Key {
    /// A new key from the system's random source.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = vec![0; KEY_LEN];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|cause| {
            Error::new(ErrorKind::Away, "the system's random source gives nothing").because(cause)
        })?;
        Ok(Self::from_bytes(bytes))
    }

    /// Reads a key's text as [`text`](Self::text) writes it; blanks around it do not matter.
    pub fn parse(text: &Secret<String>) -> Result<Self, MalformedKey> {
        let encoded = text
            .expose()
            .trim()
            .strip_prefix(PREFIX)
            .ok_or(MalformedKey::Foreign)?;
        let decoded = URL_SAFE_NO_PAD.decode(encoded).map(Secret::new);
        let decoded = decoded.map_err(|_| MalformedKey::Damaged)?;
        let (bytes, check) = decoded
            .expose()
            .split_at_checked(KEY_LEN)
            .ok_or(MalformedKey::Damaged)?;
        if check == check_digits(bytes) {
            Ok(Self::from_bytes(bytes.to_vec()))
        } else {
            Err(MalformedKey::Damaged)
        }
    }

    /// The key as text: what `bearward keygen` prints and a key file holds.
    pub fn text(&self) -> Secret<String> {
        let bytes = self.bytes.expose().as_slice();
        let whole = Secret::new([bytes, &check_digits(bytes)].concat());
        let encoded = Secret::new(URL_SAFE_NO_PAD.encode(whole.expose()));
        Secret::new([PREFIX, encoded.expose()].concat())
    }

    /// By what a key is told from others; not a secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals `text` in place, bound to `context`: random nonce, ciphertext, tag.
    pub(super) fn seal(&self, context: &str, mut text: Vec<u8>) -> Result<Vec<u8>, Unspecified> {
        let (nonce, tag) = self
            .cipher()?
            .seal_in_place_separate_tag(Aad::from(context), &mut text)?;
        Ok([nonce.as_ref().as_slice(), &text, tag.as_ref()].concat())
    }

    /// Opens what [`seal`](Self::seal) made with the same key for the same context.
    pub(super) fn open(
        &self,
        context: &str,
        sealed: &[u8],
    ) -> Result<Secret<Vec<u8>>, Unspecified> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(Unspecified)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        let mut text = text.to_vec();
        let cipher = self.cipher()?;
        let opened = cipher.open_in_place(nonce, Aad::from(context), &mut text)?;
        let length = opened.len();
        text.truncate(length);
        Ok(Secret::new(text))
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, Unspecified> {
        RandomizedNonceKey::new(&AES_256_GCM, self.bytes.expose())
    }

    fn from_bytes(bytes: Vec<u8>) -> Self {
        let id = format!("{:08x}", u32::from_be_bytes(check_digits(&bytes)));
        let bytes = Secret::new(bytes);
        Self { bytes, id }
    }
}

fn check_digits(key: &[u8]) -> [u8; ID_LEN] {
    let mut context = Context::new(&SHA256);
    context.update(PREFIX.as_bytes());
    context.update(key);
    let hash = context.finish();
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

/// Why a text is not a key. Shows nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedKey {
    /// It does not look like a key of ours.
    Foreign,
    /// It does, but it is cut, mistyped or has something added.
    Damaged,
}

impl fmt::Display for MalformedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => write!(f, "it does not begin with `{PREFIX}`"),
            Self::Damaged => f.write_str("it is cut or mistyped: its check digits do not match"),
        }
    }
}

impl std::error::Error for MalformedKey {}

/// The keys of one store: the one that seals, and those that may still open.
#[derive(Debug)]
pub(super) struct Keys {
    seals: Option<Key>,
    opens: Vec<Key>,
}

impl Keys {
    /// Reads the keys once. They are then kept, because a key file that is replaced while the
    /// process runs must not keep a rotated refresh token from being saved.
    pub(super) fn read(key: Option<&Source>, old: &[Source]) -> Result<Self, Error> {
        let seals = key.map(read).transpose()?;
        let opens = old.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { seals, opens })
    }

    /// The key that seals; nothing: records are stored plain.
    pub(super) fn sealing(&self) -> Option<&Key> {
        self.seals.as_ref()
    }

    /// The key of this id, if it is among them.
    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        self.all().find(|key| key.id == id)
    }

    /// The ids of all, for messages.
    pub(super) fn ids(&self) -> Vec<&str> {
        self.all().map(Key::id).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        self.seals.iter().chain(&self.opens)
    }
}

fn read(source: &Source) -> Result<Key, Error> {
    let refused = |what| Error::new(ErrorKind::Refused, what);
    let text = source
        .read()
        .map_err(|cause| refused(String::from("a store key cannot be had")).because(cause))?;
    Key::parse(&text).map_err(|cause| {
        refused(format!("{source} holds no store key"))
            .with_hint("`bearward keygen` makes one")
            .because(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Key, MalformedKey> {
        Key::parse(&Secret::new(text.to_owned()))
    }

    #[test]
    fn a_key_survives_its_text() {
        let key = Key::generate().unwrap();
        let text = key.text();
        assert_eq!(text.expose().len(), PREFIX.len() + 48);
        let again = parse(&format!(" {}\n", text.expose())).unwrap();
        assert_eq!(again.bytes, key.bytes);
        assert_eq!(again.id(), key.id());
        assert_eq!(again.id().len(), 2 * ID_LEN);
        assert_ne!(Key::generate().unwrap().bytes, key.bytes);
    }

    #[test]
    fn the_form_of_a_key_stays_as_it_is() {
        let key = Key::from_bytes((0..32).collect());
        assert_eq!(
            key.text().expose(),
            "bearward-key-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh90FW4M"
        );
        assert_eq!(key.id(), "74156e0c");
    }

    #[test]
    fn debug_shows_the_id_alone() {
        let key = Key::from_bytes(vec![7; KEY_LEN]);
        let shown = format!("{key:?}");
        assert_eq!(
            shown,
            format!("Key {{ bytes: ****, id: \"{}\" }}", key.id())
        );
    }

    #[test]
    fn a_text_that_is_not_a_key_is_refused() {
        let text = Key::from_bytes(vec![7; KEY_LEN]).text();
        let text = text.expose().as_str();
        for foreign in [
            "",
            "hunter2",
            &text[1..],
            "bearward-key-2:AAAA",
            PREFIX.trim_end_matches(':'),
        ] {
            assert_eq!(
                parse(foreign).unwrap_err(),
                MalformedKey::Foreign,
                "{foreign}"
            );
        }
        for length in PREFIX.len()..text.len() {
            assert_eq!(parse(&text[..length]).unwrap_err(), MalformedKey::Damaged);
        }
        for place in PREFIX.len()..text.len() {
            let mut typo = text.to_owned();
            let other = if &text[place..=place] == "x" {
                "y"
            } else {
                "x"
            };
            typo.replace_range(place..=place, other);
            assert_eq!(parse(&typo).unwrap_err(), MalformedKey::Damaged, "{place}");
        }
        for added in ["A", "=", "AAAA", " x"] {
            let longer = format!("{text}{added}");
            assert_eq!(
                parse(&longer).unwrap_err(),
                MalformedKey::Damaged,
                "{added}"
            );
        }
    }

    #[test]
    fn opens_what_it_sealed_for_the_same_context_only() {
        let key = Key::generate().unwrap();
        let sealed = key.seal("a", b"the text".to_vec()).unwrap();
        assert_eq!(key.open("a", &sealed).unwrap().expose(), b"the text");
        assert!(key.open("b", &sealed).is_err());
        assert!(Key::generate().unwrap().open("a", &sealed).is_err());
        assert!((0..sealed.len()).all(|length| key.open("a", &sealed[..length]).is_err()));
        assert_ne!(key.seal("a", b"the text".to_vec()).unwrap(), sealed);
    }
}

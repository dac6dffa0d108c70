//! The beginning of a body, kept so that it can be sent again.
//!
//! What always holds: it takes the memory that it weighs, whatever pieces it comes in.

use bytes::{Bytes, BytesMut};

/// A piece of a body holds on to the whole buffer that it was read into. One that is smaller than
/// this, and not the first, is kept as a copy: a body that comes byte by byte would hold a buffer
/// for each.
const SMALL: usize = 4096;

/// The beginning of a body, or nothing once more came than may be kept.
#[derive(Debug)]
pub(super) struct Kept {
    pieces: Vec<Bytes>,
    /// What is copied and not yet among the pieces, behind them.
    copied: BytesMut,
    /// How many more bytes may be kept; nothing: more came than may be, and none are.
    room: Option<usize>,
}

impl Kept {
    /// Room for so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            pieces: Vec::new(),
            copied: BytesMut::new(),
            room: Some(most),
        }
    }

    /// True while it is all that came.
    pub(super) fn is_whole(&self) -> bool {
        self.room.is_some()
    }

    /// Keeps the next piece, if there is room.
    pub(super) fn keep(&mut self, piece: &Bytes) {
        self.room = self.room.and_then(|room| room.checked_sub(piece.len()));
        if self.room.is_none() {
            (self.pieces, self.copied) = (Vec::new(), BytesMut::new());
        } else if self.pieces.is_empty() || piece.len() >= SMALL {
            self.gather();
            self.pieces.push(piece.clone());
        } else {
            self.copied.extend_from_slice(piece);
        }
    }

    /// Makes a piece of what was copied, before somebody reads from the beginning.
    pub(super) fn gather(&mut self) {
        if !self.copied.is_empty() {
            self.pieces.push(self.copied.split().freeze());
        }
    }

    /// The pieces, without what was not gathered yet.
    pub(super) fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(mut kept: Kept) -> Vec<Bytes> {
        kept.gather();
        kept.pieces
    }

    #[test]
    fn small_pieces_are_copied_together_in_their_order() {
        let large = Bytes::from(vec![b'x'; SMALL]);
        let mut kept = Kept::new(3 * SMALL);
        for piece in ["first", "a", "b"] {
            kept.keep(&Bytes::from(piece));
        }
        kept.keep(&large);
        for piece in ["c", "d"] {
            kept.keep(&Bytes::from(piece));
        }
        assert_eq!(kept.pieces().len(), 3);
        assert_eq!(
            gathered(kept),
            ["first".into(), "ab".into(), large, Bytes::from("cd")]
        );
    }

    #[test]
    fn nothing_is_kept_of_what_is_too_long() {
        let mut kept = Kept::new(3);
        for piece in ["ab", "c"] {
            kept.keep(&Bytes::from(piece));
            assert!(kept.is_whole());
        }
        kept.keep(&Bytes::from("d"));
        assert!(!kept.is_whole());
        kept.keep(&Bytes::new());
        assert!(!kept.is_whole());
        assert!(gathered(kept).is_empty());
    }
}

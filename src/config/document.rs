//! The text of the file as TOML that knows where each part of it stands.
//!
//! What always holds: a [`Document`] exists for every text. What cannot be read as TOML is in
//! [`Document::syntax`], all of it at once, and the rest is there as far as it could be saved.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::KEPT;
use super::mask::masked;

/// One step from a table or list to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The way from the root of the file to a value, such as `grant` of the first `[[route]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// The way to the table `key` at the root of the file.
    pub(super) fn of(key: &str) -> Self {
        Self::default().key(key)
    }

    /// One step further, to a key of a table.
    pub(super) fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// One step further, to an element of a list.
    pub(super) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// True when `other` is this value or lies within it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The header of the table at this place: `[route.tls]`, `[[route]]`.
    pub(super) fn header(&self) -> String {
        match self.0.last() {
            Some(Step::Index(_)) => format!("[[{}]]", self.names()),
            _ => format!("[{}]", self.names()),
        }
    }

    /// The keys on the way, with dots between them: `route.tls`.
    pub(super) fn names(&self) -> String {
        let keys = self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        });
        keys.collect::<Vec<_>>().join(".")
    }

    fn step(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

/// Text that is no TOML.
#[derive(Debug)]
pub(super) struct SyntaxFault {
    /// Where it begins.
    pub(super) span: Range<usize>,
    /// What is wrong, in the parser's words, which never quote the text.
    pub(super) message: String,
    /// What would have been right.
    pub(super) hint: Option<String>,
}

impl SyntaxFault {
    fn new(error: &toml::de::Error) -> Self {
        let (message, hint) = match error.message().split_once(", expected ") {
            // These two say no more than the message has said.
            Some((message, "literal string")) => (message, None),
            Some((message, "nothing")) => (message, Some(String::from("a text stands in quotes"))),
            Some((message, expected)) => (message, Some(format!("expected {expected}"))),
            None => (error.message(), None),
        };
        Self {
            span: error.span().unwrap_or(0..0),
            message: message.to_owned(),
            hint,
        }
    }
}

/// The file as TOML.
pub(super) struct Document<'t> {
    text: &'t str,
    root: Spanned<DeTable<'t>>,
    syntax: Vec<SyntaxFault>,
}

impl<'t> Document<'t> {
    /// Reads as much of `text` as is TOML.
    pub(super) fn parse(text: &'t str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut syntax: Vec<_> = errors.iter().take(KEPT).map(SyntaxFault::new).collect();
        // A header that is not closed swallows the lines below it, with their faults.
        if let Some(mended) = with_mended_headers(text, &syntax) {
            let (_, errors) = DeTable::parse_recoverable(&mended);
            syntax.extend(errors.iter().map(SyntaxFault::new));
        }
        syntax.sort_by_key(|fault| fault.span.start);
        syntax.truncate(KEPT);
        // What follows on the same line is as a rule the parser finding its feet again.
        syntax.dedup_by_key(|fault| line_of(text, fault.span.start));
        Self { text, root, syntax }
    }

    /// What is no TOML, at most one per line, in the order of the text.
    pub(super) fn syntax(&self) -> &[SyntaxFault] {
        &self.syntax
    }

    /// The file's tables, to be taken apart; this document keeps its own.
    pub(super) fn tables(&self) -> Spanned<DeTable<'t>> {
        self.root.clone()
    }

    /// The text of the line on which a place stands.
    fn line_text(&self, place: &Range<usize>) -> &'t str {
        self.text
            .split('\n')
            .nth(self.line(place))
            .unwrap_or_default()
    }

    /// True when the line of a place shows what may be a secret.
    pub(super) fn shows_secret(&self, place: &Range<usize>) -> bool {
        let line = self.line_text(place);
        masked(line) != line
    }

    /// The line, counted from 0, on which a place stands.
    pub(super) fn line(&self, place: &Range<usize>) -> usize {
        line_of(self.text, place.start)
    }

    /// True when broken text may have put keys into another table than was meant.
    pub(super) fn has_broken_header(&self) -> bool {
        self.syntax
            .iter()
            .any(|fault| self.line_text(&fault.span).trim_start().starts_with('['))
    }

    /// Where a value stands: the value itself, or the header or key of a table. Where there is
    /// none, the nearest table around it; nothing for the file as a whole.
    pub(super) fn place(&self, path: &Path) -> Option<Range<usize>> {
        let mut table = Some(self.root.get_ref());
        let mut list: Option<&[Spanned<DeValue<'t>>]> = None;
        let mut place = None;
        for step in &path.0 {
            let (key, value) = match step {
                Step::Key(key) => match table.and_then(|table| table.get_key_value(key.as_str())) {
                    Some((key, value)) => (Some(key.span()), value),
                    None => break,
                },
                Step::Index(index) => match list.and_then(|list| list.get(*index)) {
                    Some(value) => (None, value),
                    None => break,
                },
            };
            place = Some(self.shown(key, value));
            table = value.get_ref().as_table();
            list = value.get_ref().as_array().map(|list| &**list);
        }
        place
    }

    /// Where the key of a value stands.
    pub(super) fn key_place(&self, path: &Path) -> Option<Range<usize>> {
        let Some((Step::Key(last), parents)) = path.0.split_last() else {
            return None;
        };
        let mut value = None;
        for step in parents {
            let table = value.map_or(Some(self.root.get_ref()), DeValue::as_table);
            value = Some(match step {
                Step::Key(key) => table?.get(key.as_str())?.get_ref(),
                Step::Index(index) => value?.as_array()?.get(*index)?.get_ref(),
            });
        }
        let table = value.map_or(Some(self.root.get_ref()), DeValue::as_table)?;
        Some(table.get_key_value(last.as_str())?.0.span())
    }

    /// The part of an entry that a caret points at: for a table its header or else its key, so
    /// that no caret runs over many lines.
    fn shown(&self, key: Option<Range<usize>>, value: &Spanned<DeValue<'_>>) -> Range<usize> {
        let span = value.span();
        let text = self.text.get(span.clone()).unwrap_or_default();
        match key {
            Some(key) if text.is_empty() || text.contains('\n') || text.starts_with("[[") => key,
            _ => span,
        }
    }
}

/// The text with a header of its own in the place of each that is broken, at the same offsets;
/// nothing where none is.
fn with_mended_headers(text: &str, syntax: &[SyntaxFault]) -> Option<String> {
    let broken: Vec<_> = syntax
        .iter()
        .map(|fault| line_of(text, fault.span.start))
        .collect();
    let mut any = false;
    let lines = text.split('\n').enumerate().map(|(number, line)| {
        if !line.starts_with('[') || !broken.contains(&number) {
            return line.to_owned();
        }
        any = true;
        // The number keeps two mended headers apart.
        let name = format!("{number:-<width$}", width = line.len().saturating_sub(2));
        format!("[{name}]")
            .get(..line.len())
            .map_or_else(|| " ".repeat(line.len()), str::to_owned)
    });
    let mended = lines.collect::<Vec<_>>().join("\n");
    any.then_some(mended)
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count()
}

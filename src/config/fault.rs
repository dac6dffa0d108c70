//! Faults of the file, shown as rustc shows its own: line, caret, hint.
//!
//! What always holds: [`Faults`] keeps no secret. Its text is masked before it is stored, and no
//! message quotes a value.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::document::{Document, Path};
use super::mask::masked;

/// Faults shown at most; a file with more has one cause that makes them all.
const SHOWN: usize = 50;

/// Faults kept at most, so that a huge file of nonsense costs no more than a small one.
pub(super) const KEPT: usize = 1_000;

/// How a secret is named.
const REFERENCE: &str = "write `{ file = \"/path/to/it\" }` or `{ env = \"NAME\" }`";

/// One thing that is wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    span: Option<Range<usize>>,
    message: String,
    hint: Option<String>,
}

impl Fault {
    /// The bytes of the text that are at fault; nothing where it is the file as a whole.
    pub fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Everything that is wrong with a file, in the order of its lines; never empty.
///
/// `Display` shows the lines with carets and hints, without colour, and ends with the count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    origin: String,
    masked: String,
    found: Vec<Fault>,
}

impl Faults {
    /// The faults one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.found.iter()
    }

    /// How many there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    fn render(&self, fault: &Fault) -> String {
        let title = Level::ERROR.primary_title(fault.message.as_str());
        let mut group = match &fault.span {
            Some(span) => title.element(
                Snippet::source(self.masked.as_str())
                    .path(self.origin.as_str())
                    .annotation(AnnotationKind::Primary.span(self.caret(span))),
            ),
            None => title.element(Origin::path(self.origin.as_str())),
        };
        if let Some(hint) = &fault.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        let report: [Group<'_>; 1] = [group];
        Renderer::plain().render(&report)
    }

    /// The span cut to its first line and to whole characters.
    fn caret(&self, span: &Range<usize>) -> Range<usize> {
        let text = self.masked.as_str();
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let line = text.get(start..).and_then(|rest| rest.lines().next());
        let line_end = start + line.map_or(0, str::len);
        let mut end = span.end.clamp(start, line_end);
        while !text.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.found.iter().take(SHOWN) {
            writeln!(f, "{}\n", self.render(fault))?;
        }
        if self.found.len() > SHOWN {
            writeln!(f, "… and {} more\n", self.found.len() - SHOWN)?;
        }
        let plural = if self.found.len() == 1 { "" } else { "s" };
        write!(f, "{} fault{plural} in {}", self.found.len(), self.origin)
    }
}

impl std::error::Error for Faults {}

/// What a check says about a place: the fault, and the way out where there is one to name.
pub(super) struct Problem {
    message: String,
    hint: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    /// A secret where only a reference to one may stand.
    pub(super) fn inline_secret() -> Self {
        Self::new("secrets never stand in the file").hint(REFERENCE)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Collects faults, and knows which places are at fault already, so that one mistake is told once.
pub(super) struct Findings<'d> {
    document: &'d Document<'d>,
    faults: Vec<Fault>,
    broken: Vec<Path>,
}

impl<'d> Findings<'d> {
    /// Nothing found yet, but what is no TOML.
    pub(super) fn new(document: &'d Document<'d>) -> Self {
        let syntax = document.syntax().iter().map(|fault| {
            let secret = document.shows_secret(&fault.span);
            let hint = secret.then(|| format!("secrets never stand in the file: {REFERENCE}"));
            Fault {
                span: Some(fault.span.clone()),
                message: fault.message.clone(),
                hint: hint.or_else(|| fault.hint.clone()),
            }
        });
        Self {
            document,
            faults: syntax.collect(),
            broken: Vec::new(),
        }
    }

    /// True when no fault is known of the value at `path`, around it or within it.
    pub(super) fn sound(&self, path: &Path) -> bool {
        !self
            .broken
            .iter()
            .any(|broken| broken.holds(path) || path.holds(broken))
    }

    /// The line, counted from 1, on which the value at `path` stands.
    pub(super) fn line(&self, path: &Path) -> usize {
        let place = self.document.place(path);
        place.map_or(1, |place| self.document.line(&place) + 1)
    }

    /// A fault of the value at `path`.
    pub(super) fn at(&mut self, path: &Path, problem: Problem) {
        self.add(path, self.document.place(path), problem);
    }

    /// A fault of the key at `path`.
    pub(super) fn at_key(&mut self, path: &Path, problem: Problem) {
        self.add(path, self.document.key_place(path), problem);
    }

    /// Takes `path` for broken, because a fault that is told elsewhere explains it.
    pub(super) fn excuse(&mut self, path: Path) {
        self.broken.push(path);
    }

    /// A fault that the reader itself met, at a place in the text.
    pub(super) fn at_span(&mut self, span: Option<Range<usize>>, problem: Problem) {
        self.faults.push(Fault {
            span,
            message: problem.message,
            hint: problem.hint,
        });
    }

    fn add(&mut self, path: &Path, span: Option<Range<usize>>, problem: Problem) {
        if self.faults.len() >= KEPT || self.broken.iter().any(|broken| broken.holds(path)) {
            return;
        }
        self.broken.push(path.clone());
        let line = span.as_ref().map(|span| self.document.line(span));
        let syntax = self.document.syntax();
        if line.is_some()
            && syntax
                .iter()
                .any(|fault| Some(self.document.line(&fault.span)) == line)
        {
            return;
        }
        self.at_span(span, problem);
    }

    /// All of it in the order of the text, or nothing when nothing was found.
    pub(super) fn into_faults(self, text: &str, origin: &str) -> Option<Faults> {
        let found = !self.faults.is_empty();
        found.then(|| self.into_certain_faults(text, origin))
    }

    /// All of it, where it is known that there is something.
    pub(super) fn into_certain_faults(mut self, text: &str, origin: &str) -> Faults {
        // What has no place of its own comes last.
        self.faults
            .sort_by_key(|fault| fault.span.as_ref().map_or(usize::MAX, |span| span.start));
        Faults {
            origin: origin.to_owned(),
            masked: masked(text),
            found: self.faults,
        }
    }
}

/// A name from the file for a message: in backticks, on one line, not longer than a line.
pub(super) fn quoted(name: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = name
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if name.chars().count() > LONGEST {
        shown.push('…');
    }
    format!("`{shown}`")
}

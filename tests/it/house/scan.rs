//! Just enough of Rust's grammar to see which paths a file uses.
//!
//! Comments and literals are left out, `use` trees are opened, and inline modules are counted,
//! since `super` means another place inside them.

/// A file as its words and signs.
pub struct Source {
    tokens: Vec<Token>,
    lines: usize,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    line: usize,
}

/// A path as it stands in a file, out of its `use` tree.
#[derive(Clone, Debug)]
pub struct Used {
    /// The line on which its last part stands.
    pub line: usize,
    /// Its names.
    pub names: Vec<String>,
    /// How many inline modules stand around it.
    depth: usize,
}

impl Used {
    /// The path as it would be written.
    pub fn text(&self) -> String {
        self.names.join("::")
    }

    /// Where the path leads, seen from the file at `place`.
    pub fn leads(&self, place: &[String]) -> Leads {
        let first = self.names.first().map_or("", String::as_str);
        if ["crate", "bearward"].contains(&first) {
            return self
                .names
                .get(1)
                .cloned()
                .map_or(Leads::Elsewhere, Leads::Room);
        }
        let steps = self.names.iter().map(String::as_str);
        let steps = steps.take_while(|name| ["super", "self"].contains(name));
        match steps.filter(|name| *name == "super").count() {
            climbs if climbs >= place.len() + self.depth => Leads::Out,
            _ => Leads::Elsewhere,
        }
    }
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To this room, from the crate's root.
    Room(String),
    /// Out of its own room by `super`.
    Out,
    /// Into another crate, or to a place in its own room.
    Elsewhere,
}

/// The names of the modules that lead to a file from the crate's root.
pub fn module_path(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let names = path.split('/').map(str::to_owned);
    names
        .filter(|name| !["lib", "main", "mod"].contains(&name.as_str()))
        .collect()
}

impl Source {
    /// Reads a file's text.
    pub fn new(text: &str) -> Self {
        Self {
            tokens: tokens(text),
            lines: text.lines().count(),
        }
    }

    /// The names of the modules it declares.
    pub fn modules(&self) -> Vec<String> {
        let pairs = self.tokens.windows(2).filter(|pair| pair[0].text == "mod");
        pairs.map(|pair| pair[1].text.clone()).collect()
    }

    /// The number of lines without the items that are only there for tests.
    pub fn lines_without_tests(&self) -> usize {
        let mut lines = self.lines;
        let mut next = 0;
        while next < self.tokens.len() {
            if self.starts(next, &["#", "[", "cfg", "(", "test", ")", "]"]) {
                let end = self.end_of_item(next + 7);
                lines -= self.tokens[end].line - self.tokens[next].line + 1;
                next = end;
            }
            next += 1;
        }
        lines
    }

    /// All paths in it that have more than one part or come from a `use`.
    pub fn paths(&self) -> Vec<Used> {
        let mut paths = Vec::new();
        // For each open brace, whether it is a module's.
        let mut braces = Vec::new();
        let mut next = 0;
        while let Some(token) = self.tokens.get(next) {
            let depth = braces.iter().filter(|module| **module).count();
            match token.text.as_str() {
                "{" => braces.push(next >= 2 && self.tokens[next - 2].text == "mod"),
                "}" => drop(braces.pop()),
                "use" => {
                    next = self.tree(next + 1, &[], depth, &mut paths);
                    continue;
                }
                text if is_name(text) => {
                    let (used, end) = self.path(next, depth);
                    paths.extend(Some(used).filter(|used| used.names.len() > 1));
                    next = end;
                    continue;
                }
                _ => {}
            }
            next += 1;
        }
        paths
    }

    /// A path in code, from its first name; gives the place behind it.
    fn path(&self, start: usize, depth: usize) -> (Used, usize) {
        let mut names = vec![self.tokens[start].text.clone()];
        let mut next = start + 1;
        while self.starts(next, &["::"]) && self.tokens.get(next + 1).is_some_and(Token::is_name) {
            names.push(self.tokens[next + 1].text.clone());
            next += 2;
        }
        let line = self.tokens[next - 1].line;
        (Used { line, names, depth }, next)
    }

    /// A `use` tree under `stem`; gives the place behind it.
    fn tree(&self, start: usize, stem: &[String], depth: usize, paths: &mut Vec<Used>) -> usize {
        let mut names = stem.to_vec();
        let mut next = start;
        let mut line = 0;
        while let Some(token) = self.tokens.get(next) {
            match token.text.as_str() {
                "{" => return self.branches(next + 1, &names, depth, paths),
                "," | "}" | ";" => break,
                // The new name is no part of the path.
                "as" => next += 1,
                "self" if !names.is_empty() => {}
                text if is_name(text) || text == "*" => names.push(text.to_owned()),
                _ => {}
            }
            line = token.line;
            next += 1;
        }
        if !names.is_empty() {
            paths.push(Used { line, names, depth });
        }
        next
    }

    fn branches(
        &self,
        start: usize,
        stem: &[String],
        depth: usize,
        paths: &mut Vec<Used>,
    ) -> usize {
        let mut next = start;
        while let Some(token) = self.tokens.get(next) {
            match token.text.as_str() {
                "}" => return next + 1,
                "," => next += 1,
                _ => next = self.tree(next, stem, depth, paths),
            }
        }
        next
    }

    /// The place of the `;` or `}` that ends the item at `start`.
    fn end_of_item(&self, start: usize) -> usize {
        let mut open = 0_usize;
        for (place, token) in self.tokens.iter().enumerate().skip(start) {
            match token.text.as_str() {
                ";" if open == 0 => return place,
                "{" => open += 1,
                "}" if open <= 1 => return place,
                "}" => open -= 1,
                _ => {}
            }
        }
        self.tokens.len() - 1
    }

    fn starts(&self, place: usize, words: &[&str]) -> bool {
        let here = self.tokens.get(place..place + words.len());
        here.is_some_and(|here| {
            here.iter()
                .zip(words)
                .all(|(token, word)| token.text == *word)
        })
    }
}

impl Token {
    fn is_name(&self) -> bool {
        is_name(&self.text)
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = if is_name(rest) {
            raw_literal(rest).unwrap_or_else(|| word(rest))
        } else {
            literal(rest).unwrap_or(first.len_utf8())
        };
        let (piece, after) = rest.split_at(length);
        let blank = first.is_whitespace() || ["//", "/*"].iter().any(|s| piece.starts_with(s));
        let quoted = piece.ends_with(['"', '#', '\'']) && piece.len() > 1;
        if !blank && !quoted {
            let text = piece.to_owned();
            tokens.push(Token { text, line });
        }
        line += piece.matches('\n').count();
        rest = after;
    }
    tokens
}

fn word(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// The length of a comment, a literal or a sign of two characters, if `text` begins with one.
fn literal(text: &str) -> Option<usize> {
    let to_end = |found: Option<usize>| Some(found.unwrap_or(text.len()));
    match text.as_bytes() {
        [b'/', b'/', ..] => to_end(text.find('\n')),
        [b'/', b'*', ..] => Some(block_comment(text)),
        [b':', b':', ..] => Some(2),
        [b'"', ..] => Some(quoted(text, '"')),
        // A lifetime has no second quote two or three characters on.
        [b'\'', b'\\', ..] => Some(quoted(text, '\'')),
        [b'\'', ..] => {
            let second = text.chars().nth(1)?;
            let end = 1 + second.len_utf8();
            text[end..].starts_with('\'').then_some(end + 1)
        }
        _ => None,
    }
}

/// The length of a literal such as `r#"…"#`, `b"…"` or `br"…"`, if `text` begins with one.
fn raw_literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|prefix| {
        let after = text.strip_prefix(prefix);
        after.is_some_and(|after| after.trim_start_matches('#').starts_with(['"', '\'']))
    })?;
    let after = &text[prefix.len()..];
    if !prefix.ends_with('r') {
        return Some(prefix.len() + literal(after)?);
    }
    let hashes = after.len() - after.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let content = after.get(hashes + 1..)?;
    let length = content.find(&end)? + end.len();
    Some(prefix.len() + hashes + 1 + length)
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return place + 1,
            _ => {}
        }
    }
    text.len()
}

fn block_comment(text: &str) -> usize {
    let mut open = 0;
    let mut place = 0;
    while place < text.len() {
        let rest = &text.as_bytes()[place..];
        if rest.starts_with(b"/*") {
            open += 1;
            place += 2;
        } else if rest.starts_with(b"*/") {
            open -= 1;
            place += 2;
            if open == 0 {
                return place;
            }
        } else {
            place += 1;
        }
    }
    text.len()
}

//! The page that a person sees at the end, in the browser. Pure: an [`Ending`] in, a [`Page`] out.
//!
//! What always holds: the page asks nothing of anybody (no script, no picture, no typeface, and
//! its policy forbids them); whatever came from outside is escaped, cut to a length and stripped
//! of characters that steer a terminal or turn text around.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// How a login ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There is a grant, and it is kept.
    Granted(Granted),
    /// There is none.
    Failed(Failed),
}

/// What was granted, in words for the person who did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The grant's name in the configuration.
    pub grant: String,
    /// The authorization server, as a person knows it.
    pub server: String,
    /// The account that granted it, where an id token told.
    pub account: Option<String>,
    /// What was asked for and what was granted: [`Scope::compare`].
    pub scope: Vec<Scope>,
    /// When the refresh token ends, in words, where it is known.
    pub until: Option<String>,
    /// What the person should know or do yet: "go back to the terminal, which asks something".
    pub note: Option<String>,
}

/// What went wrong, in words for the person who cannot do anything about most of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The grant's name in the configuration.
    pub grant: String,
    /// The authorization server, as a person knows it.
    pub server: String,
    /// What went wrong.
    pub what: String,
    /// What to do about it, where that is known.
    pub remedy: Option<String>,
}

/// One scope (RFC 6749 §3.3), and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Asked for and granted.
    Granted,
    /// Asked for and not granted.
    Withheld,
    /// Granted although nobody asked for it.
    Unasked,
}

impl Scope {
    /// What became of each scope, in the order of asking. A server that tells no scope has granted
    /// what was asked for (RFC 6749 §5.1); where nothing was asked for, it chose, and that is no
    /// surprise to anybody.
    pub fn compare(asked: &[String], granted: Option<&[String]>) -> Vec<Self> {
        let is_told = |name: &String| granted.is_none_or(|granted| granted.contains(name));
        let asked_for = asked.iter().map(|name| {
            let outcome = if is_told(name) {
                Outcome::Granted
            } else {
                Outcome::Withheld
            };
            (name, outcome)
        });
        let surplus = if asked.is_empty() {
            Outcome::Granted
        } else {
            Outcome::Unasked
        };
        let others = granted.unwrap_or_default().iter();
        let others = others.filter(|name| !asked.contains(name));
        let mut scopes: Vec<Self> = Vec::new();
        for (name, outcome) in asked_for.chain(others.map(|name| (name, surplus))) {
            if !name.is_empty() && scopes.iter().all(|known| known.name != *name) {
                let name = name.clone();
                scopes.push(Self { name, outcome });
            }
        }
        scopes
    }
}

/// A page, and the policy it must be served with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The document.
    pub html: String,
    /// The value of `Content-Security-Policy`: its own style and its own icon, nothing else.
    pub csp: String,
}

/// The page of an ending.
pub fn html(ending: &Ending) -> Page {
    let body = match ending {
        Ending::Granted(granted) => granted.body(),
        Ending::Failed(failed) => failed.body(),
    };
    let icon = icon();
    let html = fill(&[
        ("title", body.title),
        ("kind", body.kind),
        ("icon", &icon),
        ("style", STYLE),
        ("paw", PAW),
        ("seal", body.seal),
        ("lead", &body.lead),
        ("rest", &body.rest),
    ]);
    Page {
        html,
        csp: policy(),
    }
}

/// The document, with names in double braces where the parts belong.
const DOCUMENT: &str = include_str!("page.html");

/// Its style, which stands in the document: its policy allows no other.
const STYLE: &str = include_str!("page.css");

/// A bear's paw: a pad, five toes, five claws.
const PAW: &str = r#"<g fill="currentColor"><path d="M24 25.2c7.8 0 14.6 4.5 14.6 10.9 0 4.3-3.3 6.9-7.1 6.9-2.9 0-4.8-1.3-7.5-1.3s-4.6 1.3-7.5 1.3c-3.8 0-7.1-2.6-7.1-6.9 0-6.4 6.8-10.9 14.6-10.9z"/><ellipse cx="6.8" cy="26.3" rx="3.5" ry="4.7" transform="rotate(-30 6.8 26.3)"/><ellipse cx="14.2" cy="18.2" rx="3.8" ry="5.2" transform="rotate(-13 14.2 18.2)"/><ellipse cx="24" cy="15.6" rx="3.9" ry="5.4"/><ellipse cx="33.8" cy="18.2" rx="3.8" ry="5.2" transform="rotate(13 33.8 18.2)"/><ellipse cx="41.2" cy="26.3" rx="3.5" ry="4.7" transform="rotate(30 41.2 26.3)"/><path d="M1.9 19.7c.3-1.5 0-2.8-.7-4 2.1.7 3.2 1.9 3.4 3.6zM11.2 11.3c.1-1.6-.3-3-1.2-4.3 2.4 1.1 3.7 2.4 4.1 4.1zM22.5 8.6c.7-1.5 1-3 1.5-4.6.5 1.6.8 3.1 1.5 4.6-.9-.4-2.1-.4-3 0zM36.8 11.3c-.1-1.6.3-3 1.2-4.3-2.4 1.1-3.7 2.4-4.1 4.1zM46.1 19.7c-.3-1.5 0-2.8.7-4-2.1.7-3.2 1.9-3.4 3.6z"/></g>"#;

const TICK: &str = r#"<path fill="none" stroke="currentColor" stroke-width="3.5" stroke-linecap="round" stroke-linejoin="round" d="m3 10.5 5 5 9-11"/>"#;

const CROSS: &str = r#"<path fill="none" stroke="currentColor" stroke-width="3.5" stroke-linecap="round" d="M4 4l12 12M16 4 4 16"/>"#;

/// What there is to do in any case.
const CLOSE: &str = "<p class=\"close\">You can close this tab.</p>\n";

/// The most characters of anything that came from outside.
const LONGEST: usize = 400;

/// The scopes of one list that are seen at once.
const FIRST_SCOPES: usize = 12;

/// The scopes of one list that are shown on demand.
const MOST_SCOPES: usize = 200;

/// What differs between the pages.
struct Body {
    kind: &'static str,
    title: &'static str,
    seal: &'static str,
    lead: String,
    rest: String,
}

impl Granted {
    fn body(&self) -> Body {
        let lead = format!(
            "<p class=\"lead\">From now on, Bearward renews its access to <b>{}</b> by itself, as the grant <b>{}</b>.</p>\n{CLOSE}",
            shown(&self.server),
            shown(&self.grant)
        );
        let lists = [
            (Outcome::Granted, "Granted"),
            (Outcome::Unasked, "Granted without being asked for"),
            (Outcome::Withheld, "Asked for, but not granted"),
        ];
        let lists = lists.map(|(outcome, title)| scopes(&self.scope, outcome, title));
        let note = self.note.as_deref().map(|note| {
            let note = prose(note);
            format!("<p class=\"note\">{note}</p>\n")
        });
        Body {
            kind: "granted",
            title: "Access granted",
            seal: TICK,
            lead,
            rest: note.unwrap_or_default() + &self.facts() + &lists.concat(),
        }
    }

    fn facts(&self) -> String {
        let facts = [("Account", &self.account), ("Lasts until", &self.until)];
        let rows = facts.into_iter().filter_map(|(name, value)| {
            let value = shown(value.as_deref()?);
            Some(format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"))
        });
        let rows: String = rows.collect();
        if rows.is_empty() {
            return rows;
        }
        format!("<dl>\n{rows}</dl>\n")
    }
}

impl Failed {
    fn body(&self) -> Body {
        let lead = format!(
            "<p class=\"lead\">Bearward got no access to <b>{}</b> for the grant <b>{}</b>.</p>\n",
            shown(&self.server),
            shown(&self.grant)
        );
        let remedy = self.remedy.as_deref();
        let remedy = remedy.unwrap_or("The terminal where the login was started says more.");
        let rest = format!(
            "<h2>What went wrong</h2>\n<p>{}</p>\n<h2>What to do</h2>\n<p>{}</p>\n{CLOSE}",
            prose(&self.what),
            prose(remedy)
        );
        Body {
            kind: "failed",
            title: "No access granted",
            seal: CROSS,
            lead,
            rest,
        }
    }
}

/// The scopes that `outcome` became of, under a title; nothing where there are none.
fn scopes(all: &[Scope], outcome: Outcome, title: &str) -> String {
    let class = match outcome {
        Outcome::Granted => "allowed",
        Outcome::Unasked => "surplus",
        Outcome::Withheld => "withheld",
    };
    let of_it = all.iter().filter(|scope| scope.outcome == outcome);
    let names: Vec<&str> = of_it
        .map(|scope| scope.name.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        return String::new();
    }
    let (first, rest) = names.split_at(names.len().min(FIRST_SCOPES));
    let items = |names: &[&str]| -> String {
        let items = names.iter().map(|name| {
            let name = shown(name);
            format!("<li class=\"scope\">{name}</li>\n")
        });
        items.collect()
    };
    let list = items(first);
    let more = match rest.len() {
        0 => String::new(),
        more => {
            let left_out = match more.saturating_sub(MOST_SCOPES) {
                0 => String::new(),
                left_out => format!("<li>and {left_out} that are not listed</li>\n"),
            };
            let list = items(rest.get(..MOST_SCOPES).unwrap_or(rest));
            format!(
                "<details>\n<summary>and {more} more</summary>\n<ul class=\"{class}\">\n{list}{left_out}</ul>\n</details>\n"
            )
        }
    };
    format!("<h2>{title}</h2>\n<ul class=\"{class}\">\n{list}</ul>\n{more}")
}

/// Text from outside as HTML: escaped, no longer than [`LONGEST`], without control characters,
/// and isolated, so that its direction changes nothing around it.
fn shown(text: &str) -> String {
    let mut html = String::from("<bdi>");
    for character in text.chars().take(LONGEST) {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\t' | '\n' | '\r' => html.push(' '),
            steering if is_steering(steering) => html.push('\u{fffd}'),
            plain => html.push(plain),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        html.push('…');
    }
    html + "</bdi>"
}

/// Sentences as HTML: as [`shown`], and what stands in backticks is set as code.
fn prose(text: &str) -> String {
    let html = shown(text);
    let pieces: Vec<&str> = html.split('`').collect();
    // Without a partner, a backtick is one.
    if pieces.len().is_multiple_of(2) {
        return html;
    }
    let pieces = pieces.into_iter().enumerate();
    pieces
        .map(|(place, piece)| match place % 2 {
            0 => piece.to_owned(),
            _ => format!("<code>{piece}</code>"),
        })
        .collect()
}

/// True for what is not seen itself but changes how other characters are seen.
fn is_steering(character: char) -> bool {
    let turns_around = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    let is_nothing = matches!(character, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    character.is_control() || turns_around || is_nothing
}

/// The document with its parts, in one pass: a part is never searched for names again.
fn fill(parts: &[(&str, &str)]) -> String {
    let mut pieces = DOCUMENT.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    for (name, text) in pieces.filter_map(|piece| piece.split_once("}}")) {
        let part = parts.iter().find(|(known, _)| *known == name);
        page.push_str(part.map_or("", |(_, part)| part));
        page.push_str(text);
    }
    page
}

/// The paw as a `data:` URL: without an icon of its own, a browser asks for `/favicon.ico`.
fn icon() -> String {
    let svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 48 48' color='#b5763a'>{PAW}</svg>"
    );
    let svg = svg.replace('"', "'").replace('#', "%23");
    let svg = svg.replace('<', "%3C").replace('>', "%3E");
    format!("data:image/svg+xml,{svg}")
}

/// Everything is forbidden but the style, by its hash, and the icon.
fn policy() -> String {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted() -> Granted {
        Granted {
            grant: String::from("crm"),
            server: String::from("login.example.com"),
            account: None,
            scope: Vec::new(),
            until: None,
            note: None,
        }
    }

    fn page(granted: Granted) -> String {
        html(&Ending::Granted(granted)).html
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_scope_is_granted_withheld_or_a_surprise() {
        use Outcome::{Granted, Unasked, Withheld};
        type Names = &'static [&'static str];
        type Expected = &'static [(&'static str, Outcome)];
        let cases: [(Names, Option<Names>, Expected); 6] = [
            (&["a", "b"], None, &[("a", Granted), ("b", Granted)]),
            (
                &["a", "b"],
                Some(&["b", "c"]),
                &[("a", Withheld), ("b", Granted), ("c", Unasked)],
            ),
            (&["a"], Some(&[]), &[("a", Withheld)]),
            (&[], Some(&["a"]), &[("a", Granted)]),
            (&["a", "a", ""], Some(&["a", "", "a"]), &[("a", Granted)]),
            (&[], None, &[]),
        ];
        for (asked, granted, expected) in cases {
            let granted = granted.map(names);
            let found = Scope::compare(&names(asked), granted.as_deref());
            let found: Vec<_> = found.iter().map(|s| (s.name.as_str(), s.outcome)).collect();
            assert_eq!(found, expected, "{asked:?} {granted:?}");
        }
    }

    #[test]
    fn what_came_from_outside_is_only_text() {
        let cases = [
            (
                "<script>alert(1)</script>",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            ("\"'&", "&quot;&#39;&amp;"),
            (
                "a\u{0}b\u{1b}[31mc\u{7f}\u{85}",
                "a\u{fffd}b\u{fffd}[31mc\u{fffd}\u{fffd}",
            ),
            ("a\r\n\tb", "a   b"),
            ("\u{202e}moc.live\u{2066}", "\u{fffd}moc.live\u{fffd}"),
            ("שלום", "שלום"),
            ("{{style}} {{", "{{style}} {{"),
        ];
        for (text, expected) in cases {
            let expected = format!("<bdi>{expected}</bdi>");
            assert_eq!(shown(text), expected);
            let text = text.to_owned();
            let everywhere = Granted {
                grant: text.clone(),
                server: text.clone(),
                account: Some(text.clone()),
                scope: Scope::compare(std::slice::from_ref(&text), None),
                until: Some(text.clone()),
                note: Some(text.clone()),
            };
            assert_eq!(page(everywhere).matches(&expected).count(), 6, "{text:?}");
            let failed = Ending::Failed(Failed {
                grant: text.clone(),
                server: text.clone(),
                what: text.clone(),
                remedy: Some(text.clone()),
            });
            assert_eq!(html(&failed).html.matches(&expected).count(), 4, "{text:?}");
        }
    }

    #[test]
    fn what_stands_in_backticks_is_code() {
        let cases = [
            (
                "say `a=<b>`, or `c`",
                "say <code>a=&lt;b&gt;</code>, or <code>c</code>",
            ),
            ("`", "`"),
            ("`a` and `b", "`a` and `b"),
        ];
        for (text, expected) in cases {
            assert_eq!(prose(text), format!("<bdi>{expected}</bdi>"));
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        let long = "é".repeat(LONGEST);
        assert_eq!(shown(&long), format!("<bdi>{long}</bdi>"));
        assert_eq!(shown(&format!("{long}x")), format!("<bdi>{long}…</bdi>"));
        let most = FIRST_SCOPES + MOST_SCOPES;
        let cases = [
            (FIRST_SCOPES, FIRST_SCOPES, None, None),
            (FIRST_SCOPES + 3, FIRST_SCOPES + 3, Some("and 3 more"), None),
            (
                most + 7,
                most,
                Some("and 207 more"),
                Some("and 7 that are not listed"),
            ),
        ];
        for (count, listed, more, left_out) in cases {
            let many: Vec<String> = (0..count).map(|n| format!("s{n}")).collect();
            let scope = Scope::compare(&many, None);
            let page = page(Granted { scope, ..granted() });
            assert_eq!(page.matches("class=\"scope\"").count(), listed);
            assert_eq!(page.contains("<details>"), more.is_some(), "{count}");
            for told in [more, left_out].into_iter().flatten() {
                assert!(page.contains(told), "{told}");
            }
        }
    }

    #[test]
    fn the_page_says_what_is_known_and_nothing_else() {
        let bare = page(granted());
        for absent in [
            "<dl>",
            "<h2>",
            "<ul",
            "class=\"note\"",
            "{{",
            "<script",
            "http-equiv",
        ] {
            assert!(!bare.contains(absent), "{absent} in: {bare}");
        }
        let asked = names(&["read", "write"]);
        let full = page(Granted {
            account: Some(String::from("ada")),
            scope: Scope::compare(&asked, Some(&names(&["read", "more"]))),
            until: Some(String::from("1 May 2027")),
            note: Some(String::from("Go back.")),
            ..granted()
        });
        for present in [
            "ada",
            "1 May 2027",
            "Go back.",
            "Granted</h2>",
            "but not granted",
        ] {
            assert!(full.contains(present), "{present} not in: {full}");
        }
        let failed = html(&Ending::Failed(Failed {
            grant: String::from("crm"),
            server: String::from("login.example.com"),
            what: String::from("The request was denied."),
            remedy: None,
        }));
        assert!(failed.html.contains("The request was denied."));
        assert!(
            failed.html.contains("says more"),
            "a remedy there always is"
        );
    }

    #[test]
    fn the_policy_allows_the_style_that_the_page_has() {
        let page = html(&Ending::Granted(granted()));
        let (_, rest) = page.html.split_once("<style>").unwrap();
        let (style, rest) = rest.split_once("</style>").unwrap();
        let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
        assert!(page.csp.contains(&format!("style-src 'sha256-{hash}';")));
        assert!(!rest.contains("<style") && !rest.contains("style="));
    }
}

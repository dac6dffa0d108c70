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
        ("close", "You can close this tab."),
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
const PAW: &str = r#"<g fill="currentColor"><path d="M24 23.5c8.2 0 15 5.2 15 11.8 0 4.7-3.9 7.2-8 7.2-2.7 0-4.4-1-7-1s-4.3 1-7 1c-4.1 0-8-2.5-8-7.2 0-6.6 6.8-11.8 15-11.8z"/><ellipse cx="7" cy="23.5" rx="3.3" ry="4.3" transform="rotate(-32 7 23.5)"/><ellipse cx="14" cy="16.5" rx="3.5" ry="4.7" transform="rotate(-14 14 16.5)"/><ellipse cx="24" cy="14" rx="3.6" ry="4.9"/><ellipse cx="34" cy="16.5" rx="3.5" ry="4.7" transform="rotate(14 34 16.5)"/><ellipse cx="41" cy="23.5" rx="3.3" ry="4.3" transform="rotate(32 41 23.5)"/></g><g fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"><path d="M3.7 16.8 2.3 14.2M12.3 9.8l-.7-3M24 7.2v-3.2M35.7 9.8l.7-3M44.3 16.8l1.4-2.6"/></g>"#;

const TICK: &str = r#"<path fill="none" stroke="currentColor" stroke-width="3.5" stroke-linecap="round" stroke-linejoin="round" d="m3 10.5 5 5 9-11"/>"#;

const CROSS: &str = r#"<path fill="none" stroke="currentColor" stroke-width="3.5" stroke-linecap="round" d="M4 4l12 12M16 4 4 16"/>"#;

/// The most characters of anything that came from outside.
const LONGEST: usize = 400;

/// The most scopes that are shown in one list.
const MOST_SCOPES: usize = 100;

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
            "From now on, Bearward renews its access to <b>{}</b> by itself, as the grant <b>{}</b>.",
            shown(&self.server),
            shown(&self.grant)
        );
        let lists = [
            (Outcome::Granted, "It may use"),
            (Outcome::Unasked, "Granted without being asked for"),
            (Outcome::Withheld, "Asked for, but not granted"),
        ];
        let lists = lists.map(|(outcome, title)| scopes(&self.scope, outcome, title));
        let note = self.note.as_deref().map(|note| {
            let note = shown(note);
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
            "Bearward got no access to <b>{}</b> for the grant <b>{}</b>.",
            shown(&self.server),
            shown(&self.grant)
        );
        let remedy = self.remedy.as_deref();
        let remedy = remedy.unwrap_or("The terminal where the login was started says more.");
        let rest = format!(
            "<h2>What went wrong</h2>\n<p>{}</p>\n<h2>What to do</h2>\n<p>{}</p>\n",
            shown(&self.what),
            shown(remedy)
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
    let items = names.iter().take(MOST_SCOPES).map(|name| {
        let name = shown(name);
        format!("<li><span class=\"scope\">{name}</span></li>\n")
    });
    let items: String = items.collect();
    let more = match names.len().saturating_sub(MOST_SCOPES) {
        0 => String::new(),
        more => format!("<li class=\"more\">and {more} more</li>\n"),
    };
    format!("<h2>{title}</h2>\n<ul class=\"{class}\">\n{items}{more}</ul>\n")
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
    fn what_is_long_is_cut() {
        let long = "é".repeat(LONGEST);
        assert_eq!(shown(&long), format!("<bdi>{long}</bdi>"));
        assert_eq!(shown(&format!("{long}x")), format!("<bdi>{long}…</bdi>"));
        let many: Vec<String> = (0..MOST_SCOPES + 7).map(|n| format!("s{n}")).collect();
        let scope = Scope::compare(&many, None);
        let page = page(Granted { scope, ..granted() });
        assert_eq!(page.matches("class=\"scope\"").count(), MOST_SCOPES);
        assert!(page.contains("and 7 more"));
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
            "It may use",
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

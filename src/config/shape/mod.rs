//! The shape of the file: known keys, all that are needed, each with the kind of value it takes.
//!
//! Serde would stop at the first fault. So the tables are walked beside the schema first, every
//! fault is told, and what is at fault is taken out, with a stand-in where something is needed.
//! What is left can be read, and the checks on it find the rest of the faults in the same run.

mod stand_in;
mod words;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::document::Path;
use super::fault::{Findings, Problem, quoted};
use super::nearest::nearest;
use super::schema::{Schema, Shape, choices};
use super::source::StoreKey;
use super::values::GrantName;
use stand_in::{nowhere, stand_in};
use words::{example, list, malformed, mistaken};

/// What became of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It can be read.
    Fits,
    /// It cannot, and the fault is told.
    Broken,
}

/// What is said of keys that are not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// The text is whole: what is missing is missing.
    Tell,
    /// The text is broken, and the key may stand in the broken part.
    Keep,
}

/// Takes out of `tables` what does not fit the schema, and tells why.
pub(super) fn examine(tables: &mut DeTable<'_>, absence: Absence, findings: &mut Findings<'_>) {
    let schema = Schema::get();
    let mut examiner = Examiner {
        schema,
        absence,
        findings,
    };
    if let Shape::Table { known, required } = schema.shape(schema.root()) {
        examiner.table(&Path::default(), (known, &required), tables);
    }
}

struct Examiner<'e, 'd> {
    schema: &'static Schema,
    absence: Absence,
    findings: &'e mut Findings<'d>,
}

impl Examiner<'_, '_> {
    fn table(
        &mut self,
        path: &Path,
        (known, required): (&Map<String, Value>, &[&str]),
        table: &mut DeTable<'_>,
    ) {
        let words: Vec<_> = known.keys().map(String::as_str).collect();
        let strangers = names(table)
            .into_iter()
            .filter(|key| !known.contains_key(key));
        for key in strangers.collect::<Vec<_>>() {
            self.unknown(path, &key, &words);
            table.remove(key.as_str());
        }
        for (key, node) in known {
            let verdict = table.get_mut(key.as_str());
            let verdict = verdict.map(|value| self.value(&path.key(key), node, value));
            if verdict == Some(Verdict::Broken) {
                table.remove(key.as_str());
            }
        }
        for key in required {
            if !table.contains_key(*key) {
                self.missing(path, key);
                table.insert(nowhere((*key).to_owned().into()), stand_in(key));
            }
        }
    }

    fn unknown(&mut self, path: &Path, key: &str, known: &[&str]) {
        let near = nearest(key, known.iter().copied());
        let hint = if let Some(near) = near {
            // One slip of the pen is one fault: what was meant is not missed as well.
            self.findings.excuse(path.key(near));
            format!("did you mean `{near}`?")
        } else if let Some(homes) = self.homes_of(key) {
            format!("`{key}` belongs in {homes}")
        } else if known.len() <= 12 {
            format!("known here: {}", list(known))
        } else {
            String::from("`config.example.toml` and `bearward schema` list every key")
        };
        let problem = Problem::new(format!("unknown key {}", quoted(key))).hint(hint);
        self.findings.at_key(&path.key(key), problem);
    }

    /// The headers of the few tables that do know `key`.
    fn homes_of(&self, key: &str) -> Option<String> {
        let tables = self.schema.tables();
        // `names` only repeats keys of the grant, for other words.
        let homes = tables
            .iter()
            .filter(|(header, known)| known.contains_key(key) && header != "grant.NAME.names");
        let homes: Vec<_> = homes.map(|(header, _)| in_brackets(header)).collect();
        (1..=3).contains(&homes.len()).then(|| homes.join(" or "))
    }

    fn missing(&mut self, path: &Path, key: &str) {
        let at = path.key(key);
        if self.absence == Absence::Keep {
            self.findings.excuse(at);
        } else if self.findings.sound(&at) {
            let problem = Problem::new(format!("missing key `{key}`")).hint(example(path, key));
            self.findings.at(&at, problem);
        }
    }

    fn value(&mut self, path: &Path, node: &Value, value: &mut Spanned<DeValue<'_>>) -> Verdict {
        let value = value.get_mut();
        match (self.schema.shape(node), value) {
            (Shape::Table { known, required }, DeValue::Table(table)) => {
                self.table(path, (known, &required), table);
                Verdict::Fits
            }
            (Shape::Map(node), DeValue::Table(table)) => self.map(path, node, table),
            (Shape::Choice(choices), DeValue::Table(table)) => self.choice(path, &choices, table),
            (
                Shape::Secret(node) | Shape::TextOrSecret(node) | Shape::Key(node),
                DeValue::Table(table),
            ) => self.secret(path, node, table),
            (Shape::Key(_), DeValue::String(text)) if *text == StoreKey::NONE => Verdict::Fits,
            (Shape::List(node), DeValue::Array(list)) => {
                let verdicts = list.iter_mut().enumerate();
                let verdicts: Vec<_> = verdicts
                    .map(|(index, value)| self.value(&path.index(index), node, value))
                    .collect();
                worst(verdicts)
            }
            (Shape::Words(words), DeValue::String(text)) => self.word(path, &words, text),
            (Shape::Format(name), DeValue::String(text)) => match malformed(name, text) {
                Some(fault) => self.broken(path, Problem::new(fault.problem).hint(fault.remedy)),
                None => Verdict::Fits,
            },
            (Shape::Whole { least, most }, DeValue::Integer(number)) => {
                self.whole(path, (least, most), number)
            }
            (Shape::Scalar, DeValue::Integer(number)) => {
                self.whole(path, (i64::MIN.into(), i64::MAX.into()), number)
            }
            (Shape::Text | Shape::TextOrSecret(_) | Shape::Scalar, DeValue::String(_))
            | (Shape::Switch | Shape::Scalar, DeValue::Boolean(_)) => Verdict::Fits,
            (shape, value) => self.broken(path, mistaken(path, &shape, value)),
        }
    }

    fn broken(&mut self, path: &Path, problem: Problem) -> Verdict {
        self.findings.at(path, problem);
        Verdict::Broken
    }

    /// A table whose keys are names of the user's choice.
    fn map(&mut self, path: &Path, node: &Value, table: &mut DeTable<'_>) -> Verdict {
        let of_grants = *path == Path::of("grant");
        for name in names(table) {
            let at = path.key(&name);
            let Some(value) = table.get_mut(name.as_str()) else {
                continue;
            };
            if of_grants && !value.get_ref().is_table() {
                let problem = Problem::new(format!("{} stands in no grant", quoted(&name)))
                    .hint("a grant has a name: begin its table with `[grant.NAME]`, such as `[grant.crm]`");
                self.findings.at_key(&at, problem);
                return Verdict::Broken;
            }
            let mut verdict = self.value(&at, node, value);
            if let (true, Err(fault)) = (of_grants, name.parse::<GrantName>()) {
                let problem = Problem::new(fault.problem).hint(fault.remedy);
                self.findings.at_key(&at, problem);
                verdict = Verdict::Broken;
            }
            if verdict == Verdict::Broken {
                table.remove(name.as_str());
            }
        }
        Verdict::Fits
    }

    /// A table with exactly one key of several.
    fn choice(
        &mut self,
        path: &Path,
        choices: &[(&str, &Value)],
        table: &mut DeTable<'_>,
    ) -> Verdict {
        let words: Vec<_> = choices.iter().map(|(key, _)| *key).collect();
        let mut verdict = Verdict::Fits;
        for key in names(table) {
            let node = choices.iter().find(|(word, _)| *word == key);
            if let (Some((_, node)), Some(value)) = (node, table.get_mut(key.as_str())) {
                verdict = worst([verdict, self.value(&path.key(&key), node, value)]);
                continue;
            }
            self.unknown(path, &key, &words);
            verdict = Verdict::Broken;
        }
        if verdict == Verdict::Fits && table.len() != 1 {
            let problem = format!("this needs exactly one of {}", list(&words));
            verdict = self.broken(path, Problem::new(problem));
        }
        verdict
    }

    fn secret(&mut self, path: &Path, node: &Value, table: &mut DeTable<'_>) -> Verdict {
        let variants = node.get("oneOf").and_then(Value::as_array);
        let choices = choices(variants.map_or(&[], Vec::as_slice));
        self.choice(path, &choices, table)
    }

    fn word(&mut self, path: &Path, words: &[&str], text: &str) -> Verdict {
        if words.contains(&text) {
            return Verdict::Fits;
        }
        let hint = nearest(text, words.iter().copied()).map_or_else(
            || format!("it takes one of {}", list(words)),
            |near| format!("did you mean `\"{near}\"`? It takes one of {}", list(words)),
        );
        self.broken(path, Problem::new("this word is not known here").hint(hint))
    }

    fn whole(
        &mut self,
        path: &Path,
        (least, most): (i128, i128),
        number: &DeInteger<'_>,
    ) -> Verdict {
        let value = i128::from_str_radix(number.as_str(), number.radix());
        if value.is_ok_and(|value| (least..=most).contains(&value)) {
            return Verdict::Fits;
        }
        let problem = format!("this number is not between {least} and {most}");
        self.broken(path, Problem::new(problem))
    }
}

/// A table's header as one writes it.
fn in_brackets(header: &str) -> String {
    match header {
        "" => String::from("the root of the file"),
        "route" | "route.expired_when" => format!("`[[{header}]]`"),
        header => format!("`[{header}]`"),
    }
}

fn names(table: &DeTable<'_>) -> Vec<String> {
    let mut keys: Vec<_> = table.keys().collect();
    keys.sort_by_key(|key| key.span().start);
    keys.into_iter()
        .map(|key| key.get_ref().to_string())
        .collect()
}

fn worst(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let mut verdicts = verdicts.into_iter();
    if verdicts.any(|verdict| verdict == Verdict::Broken) {
        Verdict::Broken
    } else {
        Verdict::Fits
    }
}

//! What the program says in forms a test can ask: log events and metrics.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// One log event.
#[derive(Clone, Debug)]
pub struct Event {
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub level: String,
    /// The constant sentence.
    pub message: String,
    /// Its fields.
    pub fields: Map<String, Value>,
}

impl Event {
    /// Reads a JSON log line; nothing if it is none.
    pub fn parse(line: &str) -> Option<Self> {
        let mut all: Map<String, Value> = serde_json::from_str(line).ok()?;
        let level = all.get("level")?.as_str()?.to_owned();
        // Fields stand by themselves or beside the level, as the log's form will have it.
        let fields = match all.remove("fields") {
            Some(Value::Object(fields)) => fields,
            _ => all,
        };
        let message = fields.get("message")?.as_str()?.to_owned();
        Some(Self {
            level,
            message,
            fields,
        })
    }

    /// A field as text; empty if it is absent.
    pub fn field(&self, name: &str) -> String {
        match self.fields.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }
}

/// Metrics in Prometheus' text format.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text format 0.0.4.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let samples = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self {
            samples: samples.map(Sample::parse).collect(),
        }
    }

    /// The sum of all samples of this name that carry these labels; 0 if there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.like(name, labels).map(|sample| sample.value).sum()
    }

    /// The one sample of this name with these labels.
    pub fn one(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut like = self.like(name, labels);
        let one = like.next()?.value;
        assert!(like.next().is_none(), "more than one {name}{labels:?}");
        Some(one)
    }

    /// The names of all samples.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.samples.iter().map(|s| s.name.as_str()).collect();
        names.dedup();
        names
    }

    fn like<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        let has = |sample: &Sample, name: &str, value: &str| {
            sample.labels.get(name).is_some_and(|v| v == value)
        };
        self.samples.iter().filter(move |sample| {
            sample.name == name && labels.iter().all(|(name, value)| has(sample, name, value))
        })
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let mut found = BTreeMap::new();
        let mut rest = labels;
        while let Some((label, after)) = rest.split_once("=\"") {
            let mut value = String::new();
            let mut characters = after.chars();
            loop {
                match characters.next().expect("the end of a label") {
                    '"' => break,
                    '\\' => match characters.next().expect("an escaped character") {
                        'n' => value.push('\n'),
                        other => value.push(other),
                    },
                    other => value.push(other),
                }
            }
            let label = label.trim_start_matches(',').trim();
            found.insert(label.to_owned(), value);
            rest = characters.as_str();
        }
        Self {
            name: name.to_owned(),
            labels: found,
            value: value.parse().expect("a number"),
        }
    }
}

#[test]
fn metrics_are_read() {
    let metrics = Metrics::parse(
        "# HELP a_total Things.\n# TYPE a_total counter\n\
         a_total{route=\"/\",code=\"2xx\"} 3\na_total{route=\"/\",code=\"5xx\"} 1\n\
         up 1\nodd{text=\"say \\\"x, y={}\\\"\\n\"} +Inf\n",
    );
    let both = metrics.sum("a_total", &[("route", "/")]);
    assert!((both - 4.0).abs() < f64::EPSILON);
    assert_eq!(metrics.one("a_total", &[("code", "5xx")]), Some(1.0));
    assert_eq!(metrics.one("up", &[]), Some(1.0));
    assert_eq!(metrics.one("down", &[]), None);
    let odd = [("text", "say \"x, y={}\"\n")];
    assert_eq!(metrics.one("odd", &odd), Some(f64::INFINITY));
    assert_eq!(metrics.names(), ["a_total", "up", "odd"]);
}

#[test]
fn events_are_read_flat_and_nested() {
    let flat = r#"{"level":"INFO","message":"listening","room":"proxy","address":"127.0.0.1:1"}"#;
    let nested = r#"{"level":"INFO","fields":{"message":"listening","room":"proxy"},"target":"x"}"#;
    for line in [flat, nested] {
        let event = Event::parse(line).unwrap();
        assert_eq!(event.message, "listening");
        assert_eq!(event.field("room"), "proxy");
        assert_eq!(event.field("absent"), "");
    }
    assert!(Event::parse("thread panicked").is_none());
}

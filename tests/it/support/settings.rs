//! A configuration file in the making: TOML pieces laid over each other.

use std::path::Path;

use toml::{Table, Value};

/// The tables of a configuration file.
///
/// Pieces are laid over what is there: tables are merged, everything else is replaced, and
/// `[[route]]` adds a route.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    table: Table,
}

impl Settings {
    /// Lays a piece of TOML over the file.
    pub fn lay(&mut self, toml: &str) {
        lay(&mut self.table, parse(toml));
    }

    /// Lays a piece of TOML over one grant, `refresh_before = "2s"` for example.
    pub fn lay_grant(&mut self, name: &str, toml: &str) {
        let grants = inner(&mut self.table, "grant");
        lay(inner(grants, name), parse(toml));
    }

    /// Lays a piece of TOML over the first route.
    pub fn lay_route(&mut self, toml: &str) {
        let routes = self
            .table
            .entry("route")
            .or_insert_with(|| Value::Array(vec![Value::Table(Table::new())]));
        let first = routes.as_array_mut().and_then(|all| all.first_mut());
        lay(
            first.and_then(Value::as_table_mut).expect("a first route"),
            parse(toml),
        );
    }

    /// The tables themselves, for what pieces cannot say.
    pub fn table(&mut self) -> &mut Table {
        &mut self.table
    }

    /// The file's text.
    pub fn text(&self) -> String {
        toml::to_string(&self.table).unwrap()
    }

    /// Writes the file at one stroke, as a careful operator does.
    pub fn write(&self, path: &Path) {
        let draft = path.with_extension("draft");
        std::fs::write(&draft, self.text()).unwrap();
        std::fs::rename(&draft, path).unwrap();
    }
}

/// A text as a TOML string.
pub fn quoted(text: impl AsRef<str>) -> String {
    Value::String(text.as_ref().to_owned()).to_string()
}

fn parse(toml: &str) -> Table {
    toml.parse()
        .unwrap_or_else(|error| panic!("the test's own TOML is wrong: {error}"))
}

fn inner<'a>(table: &'a mut Table, name: &str) -> &'a mut Table {
    let value = table
        .entry(name)
        .or_insert_with(|| Value::Table(Table::new()));
    value.as_table_mut().expect("a table")
}

fn lay(below: &mut Table, above: Table) {
    for (name, value) in above {
        match (below.get_mut(&name), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay(below, above),
            (Some(Value::Array(below)), Value::Array(above)) if name == "route" => {
                below.extend(above);
            }
            (_, value) => {
                below.insert(name, value);
            }
        }
    }
}

#[test]
fn pieces_are_laid_over_each_other() {
    let mut settings = Settings::default();
    settings.lay("[proxy]\nlisten = \"127.0.0.1:0\"\nworkers = 1");
    settings.lay("proxy.workers = 2");
    settings.lay("[[route]]\npath = \"/\"");
    settings.lay_route("strip_prefix = true");
    settings.lay("[[route]]\npath = \"/second\"");
    settings.lay_grant("crm", "store.file.path = \"/tmp/x\"");
    let read: Table = settings.text().parse().unwrap();
    let expected: Table = "proxy = { listen = \"127.0.0.1:0\", workers = 2 }
        route = [{ path = \"/\", strip_prefix = true }, { path = \"/second\" }]
        grant.crm.store.file.path = \"/tmp/x\""
        .parse()
        .unwrap();
    assert_eq!(read, expected);
}

//! The dashboard: it asks for what exists, and says what it shows.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{read, strangers};

fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/grafana/dashboard.json")).unwrap()
}

#[test]
fn each_panel_is_described_and_uses_metrics_that_exist() {
    let dashboard = dashboard();
    let (mut ids, mut asked) = (BTreeSet::new(), 0);
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id");
        if panel["type"] == "row" {
            continue;
        }
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.ends_with('.'), "{title}: {description}");
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let faults = strangers(expression, &BTreeSet::new());
            assert!(faults.is_empty(), "{title}: {faults:?}");
            for variable in ["\"$namespace\"", "\"$pod\""] {
                assert!(expression.contains(variable), "{title}: {expression}");
            }
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");
}

#[test]
fn its_variables_and_places_are_whole() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "namespace", "pod"]);
    for variable in &variables[1..] {
        let faults = strangers(variable["definition"].as_str().unwrap(), &BTreeSet::new());
        assert!(faults.is_empty(), "{faults:?}");
    }
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies over another", panel["title"]);
            }
        }
    }
}

//! Shows what an apply changes, or would. Tests at the end of the file.

use havre_api::environment::{Action, ApplyResponse, Change, FieldChange};
use serde_json::Value;

use crate::invocation::Project;
use crate::output::printable;
use crate::output::style::Style;

/// Longest value that is shown, in characters.
const VALUE_MAX: usize = 60;

/// Without the services of `havre.toml` a deployment of some services does not name: they are no news.
pub(crate) fn only_named(mut response: ApplyResponse, project: &Project) -> ApplyResponse {
    let own: Vec<String> = project.manifest.services().map(ToString::to_string).collect();
    let is_no_news = |change: &Change| {
        change.action == Action::NotNamed && own.iter().any(|name| name == change.service.as_str())
    };
    let hidden: Vec<String> = response
        .changes
        .iter()
        .filter(|change| is_no_news(change))
        .map(|change| format!("{}: ", change.service))
        .collect();
    response.changes.retain(|change| !is_no_news(change));
    response.warnings.retain(|warning| !hidden.iter().any(|prefix| warning.starts_with(prefix)));
    response
}

/// One line for each service, and one for each difference.
pub(crate) fn render(response: &ApplyResponse, style: Style) -> String {
    let mut text = String::new();
    for change in &response.databases {
        let (mark, what) = word(change.action, response.dry_run, style);
        let name = style.strong(change.database.as_str());
        text.push_str(&format!("{mark} {name} (database) {what}\n"));
        for field in &change.fields {
            text.push_str(&format!("    {}\n", field_line(field)));
        }
    }
    for change in &response.changes {
        let name = style.strong(change.service.as_str());
        let (mark, what) = word(change.action, response.dry_run, style);
        let later = match (change.action, change.needs_deployment) {
            (Action::Changed | Action::Unchanged, true) => ", in effect with the next deployment",
            _ => "",
        };
        text.push_str(&format!("{mark} {name} {what}{later}\n"));
        for field in &change.fields {
            text.push_str(&format!("    {}\n", field_line(field)));
        }
    }
    if text.is_empty() {
        text.push_str("nothing to change\n");
    }
    text
}

/// What happens, in words, with a mark in front.
fn word(action: Action, would: bool, style: Style) -> (String, &'static str) {
    match action {
        Action::Created => (style.good("+"), if would { "would be created" } else { "created" }),
        Action::Changed => (style.notable("~"), if would { "would change" } else { "changed" }),
        Action::Unchanged => (style.dim("="), "is as configured"),
        Action::NotNamed => (style.dim("?"), "exists but is not in havre.toml; it stays"),
        Action::Destroyed => (style.bad("-"), if would { "would be destroyed" } else { "is destroyed" }),
    }
}

fn field_line(field: &FieldChange) -> String {
    let path = printable(&field.path);
    match (&field.from, &field.to) {
        (Some(from), Some(to)) => format!("{path}: {} -> {}", shown(from), shown(to)),
        (None, Some(to)) => format!("{path}: {} (new)", shown(to)),
        (Some(from), None) => format!("{path}: {} (removed)", shown(from)),
        (None, None) => path,
    }
}

fn shown(value: &Value) -> String {
    let text = printable(&value.to_string());
    if text.chars().count() <= VALUE_MAX {
        return text;
    }
    let cut: String = text.chars().take(VALUE_MAX - 1).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, action: Action, fields: Vec<FieldChange>) -> Change {
        let service = name.parse().expect("a name");
        Change { service, action, revision: None, fields, needs_deployment: action == Action::Changed }
    }

    #[test]
    fn every_action() {
        let field =
            |path: &str, from: Option<Value>, to: Option<Value>| FieldChange { path: path.into(), from, to };
        let fields = vec![
            field("work.replicas", Some(1.into()), Some(2.into())),
            field("work.env.A", None, Some("x".repeat(100).into())),
            field("routes[1]", Some("a.example/".into()), None),
        ];
        let response = ApplyResponse {
            dry_run: true,
            changes: vec![
                change("api", Action::Changed, fields),
                change("web", Action::Created, Vec::new()),
                change("mail", Action::Unchanged, Vec::new()),
                change("old", Action::NotNamed, Vec::new()),
                change("gone", Action::Destroyed, Vec::new()),
            ],
            databases: Vec::new(),
            warnings: Vec::new(),
        };
        insta::assert_snapshot!(render(&response, Style::plain()), @r#"
        ~ api would change, in effect with the next deployment
            work.replicas: 1 -> 2
            work.env.A: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (new)
            routes[1]: "a.example/" (removed)
        + web would be created
        = mail is as configured
        ? old exists but is not in havre.toml; it stays
        - gone would be destroyed
        "#);
    }
}

//! A strict reader of Prometheus' text format (version 0.0.4): what it takes, every scraper takes.

use std::collections::{BTreeMap, BTreeSet};

type Labels = Vec<(String, String)>;

/// Panics with the line that breaks a rule.
pub(crate) fn check(page: &str) {
    assert!(page.ends_with('\n'), "the last line has no end");
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut seen: BTreeSet<(String, Labels)> = BTreeSet::new();
    let mut buckets: BTreeMap<(String, Labels), Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts: BTreeMap<(String, Labels), f64> = BTreeMap::new();
    let mut family = "";
    let mut finished: BTreeSet<&str> = BTreeSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(!help.is_empty() && finished.insert(name), "{line}");
            family = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert_eq!(name, family, "{line}");
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert!(kind != "counter" || name.ends_with("_total"), "{line}");
            assert!(kinds.insert(name, kind).is_none(), "{line}");
        } else {
            let (name, labels, value) = sample(line);
            let kind = kinds.get(family).expect(line);
            let rest = name.strip_prefix(family).expect(line);
            let is_known = match *kind {
                "histogram" => matches!(rest, "_bucket" | "_sum" | "_count"),
                _ => rest.is_empty(),
            };
            assert!(is_known, "{line}");
            assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
            let others: Labels = labels.iter().filter(|(label, _)| label != "le").cloned().collect();
            if rest == "_bucket" {
                let bound =
                    labels.iter().find(|(label, _)| label == "le").expect(line).1.parse().expect(line);
                buckets.entry((family.to_owned(), others)).or_default().push((bound, value));
            } else if rest == "_count" {
                counts.insert((family.to_owned(), others), value);
            }
        }
    }
    for (key, list) in buckets {
        assert!(
            list.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1),
            "{key:?}: {list:?}"
        );
        let last = list.last().unwrap();
        assert!(last.0.is_infinite() && counts.get(&key) == Some(&last.1), "{key:?}: {list:?}");
    }
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let value: f64 = value.parse().expect(line);
    let Some((name, rest)) = series.split_once('{') else {
        assert!(is_name(series), "{line}");
        return (series.to_owned(), Vec::new(), value);
    };
    assert!(is_name(name), "{line}");
    let mut rest = rest.strip_suffix('}').expect(line);
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").expect(line);
        assert!(is_name(label), "{line}");
        let mut text = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next().expect(line) {
                (at, '"') => break at,
                (_, '\\') => match letters.next().expect(line).1 {
                    letter @ ('\\' | '"') => text.push(letter),
                    'n' => text.push('\n'),
                    _ => panic!("{line}"),
                },
                (_, letter) => text.push(letter),
            }
        };
        labels.push((label.to_owned(), text));
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    labels.sort();
    (name.to_owned(), labels, value)
}

//! The bar of filters above a list: what is set, what could be added, and the range. Every entry is a link, so all of it works
//! without script; the address is the only state.

use super::address::Address;
use super::look;
use super::number::grouped;
use super::range::{CHOICES, Range};
use super::text::short;
use crate::model::{Presence, Status, Timestamp};
use crate::store::dead_letters::FilterChoices;

/// Names that begin another list when they change, so that a place in this one means nothing there.
const PLACE: &[&str] = &["cursor", "select", "shown", "id"];

/// A condition that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chip {
    /// Its name in words.
    pub label: String,
    /// Its values in words.
    pub value: String,
    /// The list without it.
    pub href: String,
}

/// A link with a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What it says.
    pub label: String,
    /// How many dead letters are behind it; empty when that is not known.
    pub count: String,
    /// Where it leads.
    pub href: String,
    /// Whether this is what is shown now.
    pub current: bool,
}

/// One field that can be added, with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    /// Name of the field in the address.
    pub name: &'static str,
    /// Name in words.
    pub label: &'static str,
    /// Values to choose from.
    pub choices: Vec<Choice>,
    /// Whether other values may be typed in.
    pub open_ended: bool,
}

/// The bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterBar {
    /// Where the form leads.
    pub action: String,
    /// Text that is searched for.
    pub q: String,
    /// What else is set, for the form's hidden fields.
    pub hidden: Vec<(String, String)>,
    /// What is set.
    pub chips: Vec<Chip>,
    /// What can be added.
    pub menus: Vec<Menu>,
    /// The list without any filter.
    pub clear: String,
    /// Whether any filter is set that a person set.
    pub is_filtered: bool,
    /// Ranges.
    pub ranges: Vec<Choice>,
    /// Beginning of a chosen range, as a date and time field wants it.
    pub from: String,
    /// End of a chosen range.
    pub to: String,
    /// What is set but range, for the form of the calendar.
    pub hidden_but_range: Vec<(String, String)>,
}

impl FilterBar {
    /// The bar of the list at `here` (path and the pairs as asked for), with the choices of its menus.
    #[must_use]
    pub fn new(here: &Address, path: &str, choices: &FilterChoices, range: Range) -> Self {
        let here = here.at(path).without(PLACE);
        let pairs_without = |names: &[&str]| here.without(names).pairs().to_vec();
        let (from, to) = match range {
            Range::Between(from, to) => (field_value(from), field_value(to)),
            _ => (String::new(), String::new()),
        };
        Self {
            action: path.to_owned(),
            q: here.get("q").unwrap_or_default().to_owned(),
            hidden: pairs_without(&["q"]),
            chips: chips(&here),
            menus: menus(&here, choices),
            clear: Address::new(path).to_string(),
            is_filtered: here.pairs().iter().any(|(name, _)| super::filter::FILTER_NAMES.contains(&name.as_str())),
            ranges: ranges(&here),
            from,
            to,
            hidden_but_range: pairs_without(&["range", "from", "to"]),
        }
    }
}

/// The choices of the range, `All` first where a list may have none.
#[must_use]
pub fn ranges(here: &Address) -> Vec<Choice> {
    let here = here.without(PLACE);
    let open = here.without(&["range", "from", "to"]);
    let now = here.get("range");
    let chosen = here.get("from").is_some() || here.get("to").is_some();
    let choice = |label: &str, href: String, current| Choice { label: label.to_owned(), count: String::new(), href, current };
    CHOICES
        .iter()
        .map(|(word, label)| choice(label, open.and("range", word).to_string(), now == Some(word)))
        .chain([choice("All", open.to_string(), now.is_none() && !chosen)])
        .collect()
}

fn chips(here: &Address) -> Vec<Chip> {
    let mut chips = Vec::new();
    for name in ["bus", "status", "presence", "topic", "origin_topic", "consumer_group", "exception_class", "fingerprint", "convention"] {
        let values: Vec<_> = here.all(name).map(|value| value_words(name, value)).collect();
        match (name, values.is_empty()) {
            ("status", true) => {
                chips.push(Chip { label: "status".to_owned(), value: "open".to_owned(), href: here.and("status", "all").to_string() });
            }
            ("status", false) if here.all("status").any(|v| v == "all") => {}
            (_, true) => {}
            // Without a status a page shows what is open, so taking the condition away means all.
            ("status", false) => chips.push(chip(name, &values, here.set("status", "all"))),
            (_, false) => chips.push(chip(name, &values, here.without(&[name]))),
        }
    }
    if here.get("from").is_some() || here.get("to").is_some() {
        let bound = |name| here.get(name).map(|v| short(&v.replace('T', " "), 25));
        let value = match (bound("from"), bound("to")) {
            (Some(from), Some(to)) => format!("{from} to {to}"),
            (Some(from), None) => format!("since {from}"),
            (_, to) => format!("before {}", to.unwrap_or_default()),
        };
        chips.push(Chip { label: "failed".to_owned(), value, href: here.without(&["from", "to"]).to_string() });
    }
    chips
}

fn chip(name: &str, values: &[String], href: Address) -> Chip {
    Chip { label: look::field(name).to_owned(), value: short(&values.join(", "), 120), href: href.to_string() }
}

fn value_words(name: &str, value: &str) -> String {
    match name {
        "status" => value.parse::<Status>().map_or_else(|_| short(value, 40), |s| look::status(s).word.to_lowercase()),
        "presence" => value.parse::<Presence>().map_or_else(|_| short(value, 40), |p| look::presence(p).word.to_lowercase()),
        "convention" => short(look::convention(value), 80),
        "exception_class" => short(look::short_class(value), 80),
        _ => short(value, 80),
    }
}

fn menus(here: &Address, choices: &FilterChoices) -> Vec<Menu> {
    let menu = |name, label, values: &[(String, u64)]| Menu {
        name,
        label,
        choices: values.iter().map(|(value, count)| menu_choice(here, name, value, Some(*count))).collect(),
        open_ended: true,
    };
    let statuses = ["all"].into_iter().chain(Status::ALL.iter().map(|s| s.as_str()));
    let status =
        Menu { name: "status", label: "Status", choices: statuses.map(|value| status_choice(here, value)).collect(), open_ended: false };
    let presence = Menu {
        name: "presence",
        label: "Presence",
        choices: Presence::ALL.iter().map(|p| menu_choice(here, "presence", p.as_str(), None)).collect(),
        open_ended: false,
    };
    vec![
        menu("topic", "Dead-letter topic", &choices.topics),
        menu("origin_topic", "Origin", &choices.origin_topics),
        menu("consumer_group", "Consumer group", &choices.consumer_groups),
        menu("exception_class", "Exception", &choices.exception_classes),
        status,
        presence,
        Menu { open_ended: false, ..menu("convention", "Convention", &choices.conventions) },
    ]
}

fn menu_choice(here: &Address, name: &str, value: &str, count: Option<u64>) -> Choice {
    let current = here.all(name).any(|v| v == value);
    Choice {
        label: if name == "exception_class" { short(value, 80) } else { value_words(name, value) },
        count: count.map(grouped).unwrap_or_default(),
        href: if current { here.to_string() } else { here.and(name, value).to_string() },
        current,
    }
}

/// Statuses are chosen one instead of the other; "open" is what no status means.
fn status_choice(here: &Address, value: &str) -> Choice {
    let now = here.get("status").unwrap_or("open");
    Choice {
        label: if value == "all" { "any status".to_owned() } else { value_words("status", value) },
        count: String::new(),
        href: if value == "open" { here.without(&["status"]).to_string() } else { here.set("status", value).to_string() },
        current: now == value,
    }
}

/// The form of `datetime-local`, which has no zone; everything here is UTC.
fn field_value(at: Option<Timestamp>) -> String {
    at.and_then(|at| at.to_rfc3339().get(..16).map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(here: &Address) -> FilterBar {
        let choices = FilterChoices { topics: vec![("a-dlt".into(), 1_204), ("b-dlt".into(), 3)], ..FilterChoices::default() };
        FilterBar::new(here, "/dead-letters", &choices, Range::All)
    }

    #[test]
    fn open_is_a_condition_that_can_be_taken_away() {
        let bar = bar(&Address::new("/dead-letters"));
        assert_eq!(bar.chips.len(), 1);
        assert_eq!((bar.chips[0].value.as_str(), bar.chips[0].href.as_str()), ("open", "/dead-letters?status=all"));
        assert!(!bar.is_filtered);
    }

    #[test]
    fn every_condition_has_a_link_that_removes_it_and_keeps_the_rest() {
        let here = Address::new("/dead-letters").and("topic", "a-dlt").and("topic", "b-dlt").and("q", "card").and("cursor", "1.2");
        let bar = bar(&here);
        let topic = bar.chips.iter().find(|c| c.label == "dead-letter topic").unwrap();
        assert_eq!((topic.value.as_str(), topic.href.as_str()), ("a-dlt, b-dlt", "/dead-letters?q=card"));
        assert_eq!(bar.hidden, [("topic".to_owned(), "a-dlt".to_owned()), ("topic".to_owned(), "b-dlt".to_owned())]);
        assert!(bar.is_filtered);
    }

    #[test]
    fn menus_add_to_the_present_address() {
        let bar = bar(&Address::new("/dead-letters").and("topic", "a-dlt").and("cursor", "1.2"));
        let menu = &bar.menus[0];
        assert!(menu.choices[0].current && menu.choices[0].count == "1,204");
        assert_eq!(menu.choices[1].href, "/dead-letters?topic=a-dlt&topic=b-dlt");
        let status = bar.menus.iter().find(|m| m.name == "status").unwrap();
        assert_eq!(status.choices[1].href, "/dead-letters?topic=a-dlt", "open needs no word");
        assert!(status.choices[1].current);
    }

    #[test]
    fn ranges_replace_each_other() {
        let bar = bar(&Address::new("/dead-letters").and("from", "2026-11-01T00:00:00Z").and("q", "x"));
        assert_eq!(bar.ranges[1].href, "/dead-letters?q=x&range=1h");
        assert!(bar.ranges.iter().all(|r| !r.current));
        assert_eq!(bar.chips.last().unwrap().value, "since 2026-11-01 00:00:00Z");
        let hour = ranges(&Address::new("/").and("range", "1h"));
        assert_eq!(hour.iter().filter(|r| r.current).map(|r| r.label.as_str()).collect::<Vec<_>>(), ["1 h"]);
    }
}

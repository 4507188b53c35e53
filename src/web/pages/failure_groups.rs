//! Failure groups: what failed, by cause.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::extract::{Partial, Viewer};
use super::super::render::{Page, render};
use super::super::router::Routes;
use super::super::view::address::Address;
use super::super::view::filter::{FieldProblem, ListQuery, Reading, api_query};
use super::super::view::filter_bar::FilterBar;
use super::super::view::group_row::GroupRow;
use super::super::view::number::{counted, grouped};
use super::super::view::query::{Pairs, failure_group_sort, problems};
use super::super::{Error, Layout, Section, WebState, filters};
use super::dead_letters::newer::{self, Newer};
use super::dead_letters::watched::Watched;
use crate::model::dead_letter::StatusCounts;
use crate::model::{Role, Status, Timestamp};
use crate::store::failure_groups::FailureGroupSort;

/// Rows of a page.
const ROWS: u32 = 50;
/// Bars of the small drawings.
const SPARK_BARS: u32 = 24;
const PATH: &str = "/failure-groups";

pub(super) fn routes() -> Routes {
    Routes::new().get(PATH, failure_groups)
}

#[derive(Template)]
#[template(path = "failure_groups/failure_groups.html")]
struct FailureGroupsPage {
    layout: Layout,
    lede: (String, String),
    tabs: Tabs,
    bar: FilterBar,
    sort: FailureGroupSort,
    sort_links: SortLinks,
    rows: Vec<GroupRow>,
    show_bus: bool,
    range: String,
    next: Option<String>,
    first: Option<String>,
    export: Option<Export>,
    newer: Newer,
    watched: Option<Watched>,
}

/// The two ways to look at dead letters, each with the filter of this one.
pub(super) struct Tabs {
    pub(super) groups_href: String,
    pub(super) letters_href: String,
    pub(super) groups: String,
    pub(super) open: String,
}

struct SortLinks {
    open: String,
    first_seen: String,
    last_seen: String,
}

/// The export of what matches.
struct Export {
    href: String,
    count: String,
    allowed: bool,
}

impl Page for FailureGroupsPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn failure_groups(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Pairs(pairs): Pairs,
) -> Result<Response, Error> {
    let query = ListQuery::parse(&pairs, Reading::Page, &["sort"], layout.now).map_err(problems)?;
    let here = Address::new(PATH).with_pairs(&pairs);
    if newer::is_asked(&partial) {
        return newer::answer(&state, &here, &query.filter, layout.now).await;
    }
    let sort = match here.get("sort") {
        None => FailureGroupSort::Open,
        Some(word) => failure_group_sort(word).ok_or_else(|| {
            problems(vec![FieldProblem { field: "sort".into(), problem: "must be open, last_seen or first_seen".into() }])
        })?,
    };
    let buckets = query.range.buckets(layout.now, SPARK_BARS);
    let store = state.store();
    let choices = store.list_filter_choices(&query.filter.bus).await?;
    let page = store.list_failure_groups(&query.filter, sort, buckets, &query.page(ROWS)).await?;
    let counts = matching(&state, &query, &page.items).await?;
    let newest = store.newest_dead_letter().await?;
    let range = query.range.words();
    let bar = FilterBar::new(&here, PATH, &choices, query.range);
    let whole = page.next_cursor.is_none() && query.cursor.is_none();
    let watched = if page.items.is_empty() { Some(Watched::load(store, &query.filter.bus, layout.now).await?) } else { None };
    let shown = FailureGroupsPage {
        lede: lede(&page.items, &counts, whole, buckets.from, &range, bar.is_filtered),
        tabs: Tabs::new(&here, whole.then_some(page.items.len()), Some(counts.open)),
        sort,
        sort_links: SortLinks::new(&here),
        rows: page.items.iter().map(|group| GroupRow::new(group, buckets, &range)).collect(),
        show_bus: state.config().buses.len() > 1,
        next: page.next_cursor.map(|cursor| here.set("cursor", &cursor.to_string()).to_string()),
        first: query.cursor.is_some().then(|| here.without(&["cursor"]).to_string()),
        export: Export::new(&query, counts.total(), layout.may(Role::Operator)),
        newer: Newer::none(&here, newest),
        watched,
        range,
        bar,
        layout: layout.titled(Section::DeadLetters, "Failure groups"),
    };
    render(&shown, &partial)
}

/// Matching dead letters by status. A search is over groups, so the groups on the page are what it found.
async fn matching(
    state: &WebState,
    query: &ListQuery,
    groups: &[crate::model::failure_group::FailureGroup],
) -> Result<StatusCounts, Error> {
    if query.filter.q.is_none() {
        return Ok(state.store().count_by_status(&query.filter).await?);
    }
    let mut counts = StatusCounts::default();
    for group in groups {
        let mut of_group = group.counts;
        for status in Status::ALL {
            *counts.of_mut(*status) += *of_group.of_mut(*status);
        }
    }
    Ok(counts)
}

/// How many, and what is new among them.
fn lede(
    groups: &[crate::model::failure_group::FailureGroup],
    counts: &StatusCounts,
    whole: bool,
    new_since: Timestamp,
    range: &str,
    is_filtered: bool,
) -> (String, String) {
    if groups.is_empty() {
        let strong = if is_filtered { "No failure groups match." } else { "No open dead letters." };
        return (strong.to_owned(), String::new());
    }
    let (number, what) = if counts.open == counts.total() { (counts.open, "open dead letter") } else { (counts.total(), "dead letter") };
    let letters = counted(number, what, &format!("{what}s"));
    let in_groups = if whole { format!(" in {}", counted(groups.len() as u64, "failure group", "failure groups")) } else { String::new() };
    let matching = if is_filtered { " match" } else { "" };
    let new: Vec<_> = groups.iter().filter(|group| group.first_seen >= new_since).collect();
    let rest = match new.len() {
        0 => format!("None is new in {range}."),
        count => {
            let open: u64 = new.iter().map(|group| group.counts.total()).sum();
            let share = open.saturating_mul(100) / number.max(1);
            let verb = if count == 1 { "is new" } else { "are new" };
            let holds = if count == 1 { "holds" } else { "hold" };
            format!("{} {verb} in {range} and {holds} {}% of them.", grouped(count as u64), share.min(100))
        }
    };
    (format!("{letters}{in_groups}{matching}."), rest)
}

impl Tabs {
    pub(super) fn new(here: &Address, groups: Option<usize>, open: Option<u64>) -> Self {
        let plain = here.without(&["cursor", "sort", "select", "shown", "limit", "id"]);
        Self {
            groups_href: plain.at(PATH).to_string(),
            letters_href: plain.at("/dead-letters").to_string(),
            groups: groups.map(|count| grouped(count as u64)).unwrap_or_default(),
            open: open.map(|count| format!("{} open", grouped(count))).unwrap_or_default(),
        }
    }
}

impl SortLinks {
    fn new(here: &Address) -> Self {
        let base = here.without(&["cursor", "sort"]);
        Self {
            open: base.to_string(),
            first_seen: base.and("sort", "first_seen").to_string(),
            last_seen: base.and("sort", "last_seen").to_string(),
        }
    }
}

impl Export {
    /// `None` when there is nothing, or when a search over groups says nothing about single dead letters.
    fn new(query: &ListQuery, count: u64, allowed: bool) -> Option<Self> {
        (count > 0 && query.filter.q.is_none()).then(|| Self {
            href: api_query("/api/v1/dead-letters/export", &query.filter).to_string(),
            count: grouped(count),
            allowed,
        })
    }
}

impl FailureGroupsPage {
    fn sorted(&self, sort: FailureGroupSort) -> bool {
        self.sort == sort
    }

    fn sort_words(&self) -> &'static str {
        match self.sort {
            FailureGroupSort::Open => "most open first",
            FailureGroupSort::LastSeen => "last seen first",
            FailureGroupSort::FirstSeen => "newest group first",
        }
    }
}

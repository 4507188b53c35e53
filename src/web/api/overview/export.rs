//! What the overview says for a range as CSV: one number a line, with its time before where that is known.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::Answer;
use crate::store::departures::Departures;
use crate::web::WebState;
use crate::web::error::{Error, Problem};
use crate::web::extract::Viewer;
use crate::web::pages::overview::attention::Attention;
use crate::web::pages::overview::flow::{Flow, GroupRow, Share, TopicRow};
use crate::web::pages::overview::load::Overview;
use crate::web::pages::overview::trend::Trend;
use crate::web::pages::overview::{Past, WatchedBus};
use crate::web::view::csv;
use crate::web::view::lines::Named;
use crate::web::view::query::Pairs;

const HEAD: &str = "section,bus,name,figure,value,before,note\r\n";

/// What the overview says for `range` (`1h` unless given) or `from` and `to`, as CSV.
///
/// A line is one number: its section, the bus and the name it is about, the figure, the value, the value of the same time before, and a
/// note in words. A value that is not known is empty. Lines over time stand at the end, with the beginning of the step as note.
#[utoipa::path(
    get,
    path = "/overview/export",
    tag = "overview",
    params(
        ("range" = Option<String>, Query, description = "The time before now, such as `15m`, `1h` or `30d`; `1h` unless given."),
        ("from" = Option<String>, Query, description = "Instead of `range`."),
        ("to" = Option<String>, Query, description = "Instead of `range`."),
        ("bus" = Option<Vec<String>>, Query, description = "Only these buses."),
    ),
    responses(
        (status = 200, description = "Comma separated values", content_type = "text/csv", body = String),
        (status = 422, description = "A field is wrong; the problem names it", body = Problem),
    )
)]
pub(super) async fn export(State(state): State<WebState>, Viewer(caller): Viewer, Pairs(pairs): Pairs) -> Result<Response, Error> {
    let Answer { figures, trend, attention, .. } = Answer::load(&state, &pairs, caller.now).await?;
    let mut table = Table(HEAD.to_owned());
    table.range(&figures);
    table.attention(&attention);
    table.dead_letters(&figures);
    table.flow(&figures.flow, Past::of(&figures));
    if let Some(trend) = &trend {
        table.trend(trend);
    }
    figures.buses.iter().for_each(|bus| table.bus(bus));
    table.over_time(&figures);
    let name = format!("redrive-overview-{}.csv", caller.now.to_rfc3339().get(..16).unwrap_or_default().replace(':', ""));
    let mut response = table.0.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// The lines so far.
struct Table(String);

/// What a line is about.
#[derive(Clone, Copy)]
struct About<'a> {
    section: &'static str,
    bus: &'a str,
    name: &'a str,
}

const fn of<'a>(section: &'static str, bus: &'a str, name: &'a str) -> About<'a> {
    About { section, bus, name }
}

impl Table {
    fn line(&mut self, about: About<'_>, figure: &str, value: Option<String>, before: Option<String>, note: &str) {
        let cells = [
            about.section.to_owned(),
            csv::cell(about.bus),
            csv::cell(about.name),
            figure.to_owned(),
            value.unwrap_or_default(),
            before.unwrap_or_default(),
            csv::cell(note),
        ];
        self.0 += &csv::line(&cells);
    }

    fn number(&mut self, about: About<'_>, figure: &str, value: Option<f64>, before: Option<f64>) {
        self.line(about, figure, value.map(written), before.map(written), "");
    }

    fn count(&mut self, about: About<'_>, figure: &str, value: u64) {
        self.line(about, figure, Some(value.to_string()), None, "");
    }

    fn range(&mut self, figures: &Overview) {
        let about = of("range", "", "");
        self.line(about, "from", None, None, &figures.buckets.from.to_rfc3339());
        self.line(about, "to", None, None, &figures.buckets.to.to_rfc3339());
        self.line(about, "read_at", None, None, &figures.now.to_rfc3339());
    }

    fn attention(&mut self, attention: &[Attention]) {
        for item in attention {
            let since = item.since.map_or_else(String::new, |since| format!(" (since {})", since.to_rfc3339()));
            let note = format!("{}: {}{since}", item.what, item.evidence);
            self.line(of("attention", "", &item.place), item.how_bad().as_str(), None, None, &note);
        }
    }

    fn dead_letters(&mut self, figures: &Overview) {
        let about = of("dead_letters", "", "");
        let arrived = &figures.arrivals;
        let (past, now) = (Past::of(figures), arrived.total.to_string());
        let read = past.until().filter(|_| past != Past::Never).map_or_else(String::new, |at| format!("read until {}", at.to_rfc3339()));
        self.line(about, "arrived", (past != Past::Never).then_some(now), Some(arrived.before.to_string()), &read);
        self.count(about, "backlog", figures.backlog);
        let Departures { since, replayed, resolved, failed_again, discarded, restored, purged, by_whole_hours } = &figures.departures;
        let partly = since.filter(|_| !figures.departures.is_known_since(figures.buckets.from));
        let whole = if *by_whole_hours { "by whole hours" } else { "" };
        let note = partly.map_or_else(|| whole.to_owned(), |since| format!("counted since {}", since.to_rfc3339()));
        for (figure, count) in [
            ("replayed", replayed),
            ("resolved", resolved),
            ("failed_again", failed_again),
            ("discarded", discarded),
            ("restored", restored),
        ] {
            self.line(about, figure, Some(count.to_string()), None, &note);
        }
        self.count(about, "purged", *purged);
        self.count(about, "open_now", figures.counts.open);
    }

    fn flow(&mut self, flow: &Flow, past: Past) {
        let about = of("flow", "", "");
        self.number(about, "messages_per_second", flow.rate.0, flow.rate.1);
        self.line(about, "lag_messages_now", flow.lag.0.map(|lag| lag.to_string()), None, "");
        self.line(about, "consumer_groups", (past != Past::Never).then(|| flow.all_groups.to_string()), None, "");
        let look_at = (past == Past::No).then(|| flow.troubled.len().to_string());
        self.line(about, "consumer_groups_to_look_at", look_at, None, "");
        for (figure, quantile) in [("end_to_end_p50_seconds", 0.5), ("end_to_end_p95_seconds", 0.95), ("end_to_end_p99_seconds", 0.99)] {
            self.number(about, figure, flow.latency.quantile(quantile), None);
        }
        self.number(about, "spans", Some(flow.latency.spans.spans), None);
        self.number(about, "spans_error_ratio", flow.latency.spans.ratio(), None);
        for (section, topics, groups) in
            [("worst", &flow.worst_topics, &flow.worst_groups), ("busiest", &flow.busiest_topics, &flow.busiest_groups)]
        {
            for row in topics {
                self.topic(section, row);
            }
            for row in groups {
                self.group(section, row);
            }
        }
    }

    fn topic(&mut self, section: &'static str, row: &TopicRow) {
        let about = of(if section == "worst" { "worst_topic" } else { "busiest_topic" }, row.bus.as_str(), row.name.as_str());
        self.number(about, "messages_per_second", row.rate, None);
        self.count(about, "dead_letters", row.dead_letters);
        if let Some(held) = row.held {
            self.count(about, "dead_letters_held", held);
        }
        self.number(about, "spans_error_ratio", row.spans.and_then(Share::ratio), None);
    }

    fn group(&mut self, section: &'static str, row: &GroupRow) {
        let section = if section == "worst" { "worst_consumer_group" } else { "busiest_consumer_group" };
        let about = of(section, row.bus.as_str(), row.name.as_str());
        self.line(about, "status", Some(row.word.as_str().to_owned()), None, &row.evidence);
        self.line(about, "lag_messages", row.lag.filter(|_| !row.past).map(|lag| lag.to_string()), None, "");
        self.number(about, "lag_change_messages", row.grew, None);
        self.number(about, "messages_per_second", row.rate, None);
        self.count(about, "dead_letters", row.dead_letters);
        self.number(about, "spans_error_ratio", row.spans.and_then(Share::ratio), None);
    }

    fn trend(&mut self, trend: &Trend) {
        self.line(of("trend", "", ""), "text", None, None, &format!("{} {}", trend.headline, trend.known));
        for row in &trend.rows {
            let note = format!("{}, {}: {}", row.title, row.unit, row.change.words);
            self.line(of("trend", "", ""), row.name, row.now.map(written), row.before.map(written), &note);
        }
        for row in &trend.causes {
            let before = trend.compared.then(|| row.cause.before.to_string());
            let name = format!("{} {}", row.cause.fingerprint, row.cause.title);
            let about = of("trend_failure_group", row.cause.bus.as_str(), &name);
            self.line(about, "dead_letters", Some(row.cause.now.to_string()), before, &row.change.words);
        }
        for row in &trend.alerts {
            let before = row.fired.1.map(|count| count.to_string());
            self.line(of("trend_alert_rule", "", &row.name), "fired", Some(row.fired.0.to_string()), before, &row.change.words);
        }
    }

    fn bus(&mut self, bus: &WatchedBus) {
        let about = of("bus", bus.state.id.as_str(), "");
        let read = bus.state.sampled_at.map_or_else(|| "never read".to_owned(), |at| format!("last read {}", at.to_rfc3339()));
        self.line(about, "open_dead_letters", Some(bus.open.to_string()), None, &read);
        self.count(about, "dead_letter_topics", bus.dead_letter_topics);
    }

    fn over_time(&mut self, figures: &Overview) {
        let starts = crate::web::view::chart::bucket_starts(figures.buckets);
        let until = Past::of(figures).until();
        for (at, count) in starts.iter().zip(&figures.arrivals.per_bucket) {
            let read = until.is_none_or(|until| *at < until);
            self.line(of("over_time", "", ""), "dead_letters", read.then(|| count.to_string()), None, &at.to_rfc3339());
        }
        for drawn in &figures.flow.drawn {
            for Named { label, values, .. } in &drawn.lines {
                for (at, value) in starts.iter().zip(values) {
                    let about = of("over_time", "", label);
                    self.line(about, drawn.id, value.map(written), None, &at.to_rfc3339());
                }
            }
        }
    }
}

/// A number as it is: a spreadsheet rounds by itself.
fn written(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_one_number_and_an_unknown_one_is_empty() {
        let mut table = Table(String::new());
        table.number(of("flow", "prod", "=orders"), "messages_per_second", Some(41.25), None);
        assert_eq!(table.0, "flow,\"prod\",\"'=orders\",messages_per_second,41.25,,\"\"\r\n");
        assert_eq!((written(0.05).as_str(), written(12.0).as_str(), written(-3.5).as_str()), ("0.05", "12", "-3.5"));
    }
}

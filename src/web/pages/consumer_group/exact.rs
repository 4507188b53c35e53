//! Exact lag in time on one partition: an explicit act that asks the bus, on a page of its own.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::super::extract::{Partial, Path, Query, Viewer};
use super::super::super::render::{Page, render_with};
use super::super::super::view::address::segment;
use super::super::super::view::group;
use super::super::super::view::time::duration_words;
use super::super::super::{Error, Layout, Section, WebState, filters};
use super::address;
use crate::model::names::TopicPartition;
use crate::model::{BusId, GroupName, Timestamp};
use crate::operations::OpenRecordsError;
use crate::operations::lag::{Clock, ExactLag, Next};

/// Which partition.
#[derive(Debug, serde::Deserialize)]
pub(in crate::web::pages) struct Place {
    topic: String,
    partition: i32,
}

#[derive(Template)]
#[template(path = "consumer_group/exact.html")]
struct ExactPage {
    layout: Layout,
    group: String,
    group_href: String,
    here: String,
    topic: String,
    partition: i32,
    record_href: String,
    /// From the samples, for comparison; empty where nothing is known.
    sampled: String,
    outcome: Outcome,
}

enum Outcome {
    Found(ExactLag),
    NoCommit,
    Failed(OpenRecordsError),
}

impl Page for ExactPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl ExactPage {
    fn lag_words(lag: &ExactLag) -> String {
        lag.lag().map_or_else(String::new, duration_words)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand on references")]
    const fn clock_words(clock: &Clock) -> &'static str {
        match clock {
            Clock::Broker => "by the broker's clock, when it arrived",
            Clock::Producer => "by its producer's clock, which may be wrong, or older for a back-fill",
        }
    }

    fn sentence(error: &OpenRecordsError) -> String {
        let text = error.to_string();
        let mut chars = text.chars();
        let first = chars.next().map(char::to_uppercase).into_iter().flatten();
        first.chain(chars).chain(std::iter::once('.')).collect()
    }
}

/// The page.
pub(in crate::web::pages) async fn show(
    _: Viewer,
    State(state): State<WebState>,
    Path((bus, name)): Path<(BusId, GroupName)>,
    Query(place): Query<Place>,
    layout: Layout,
    partial: Partial,
) -> Result<Response, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let group = state.store().find_consumer_group(&bus.id, &name).await?.ok_or(Error::NotFound("consumer group"))?;
    let layout = layout.titled(Section::ConsumerGroups, format!("Exact lag of {name}"));
    let layout = layout.crumb("Consumer groups", format!("/buses/{}/consumer-groups", segment(bus.id.as_str())));
    let group_href = address(&bus.id, &name).to_string();
    let layout = layout.crumb(name.as_str(), group_href.clone());
    let sampled = group.offsets.iter().find(|offset| offset.topic.as_str() == place.topic && offset.partition == place.partition);
    let sampled = sampled.and_then(|offset| offset.time_lag).map_or_else(String::new, group::time_lag);
    let partition = TopicPartition { topic: place.topic.as_str().into(), partition: place.partition };
    let outcome = match state.operations().exact_lag(&bus.id, &group.name, &partition).await {
        Ok(Some(lag)) => Outcome::Found(lag),
        Ok(None) => Outcome::NoCommit,
        Err(error) => Outcome::Failed(error),
    };
    let status = match &outcome {
        Outcome::Failed(error) => Error::from(error.clone()).status(),
        _ => axum::http::StatusCode::OK,
    };
    let number = place.partition.to_string();
    let topic_href = format!("/buses/{}/topics/{}", segment(bus.id.as_str()), segment(&place.topic));
    let page = ExactPage {
        layout,
        here: super::super::super::view::address::Address::new(format!("{group_href}/lag"))
            .and("topic", &place.topic)
            .and("partition", &number)
            .to_string(),
        group: name.to_string(),
        group_href,
        record_href: format!("{topic_href}?tab=records&partition={number}&record="),
        topic: place.topic,
        partition: place.partition,
        sampled,
        outcome,
    };
    render_with(status, &page, &partial)
}

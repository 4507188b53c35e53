//! What a rule would have done over recorded history, beside what the saved one would have done.

use std::time::Duration;

use crate::alerts::course::{coarser, courses, worst};
use crate::alerts::history::{NotTried, Range as Looks, SAMPLE_MS, can_see_samples, coarse, heard, recorded, try_rule, usual_step};
use crate::alerts::trying::{Episode, Trial, run};
use crate::model::alert::{Alert, AlertRule, AlertState, Terms};
use crate::model::happening::{Happened, Happening};
use crate::model::{BusId, PageRequest, Timestamp};
use crate::store::alerts::AlertFilter;
use crate::store::failure_groups::Buckets;
use crate::store::{Store, StoreError};
use crate::web::view::alert as words;
use crate::web::view::lines::{LineChart, Named, Watch};
use crate::web::view::marks::Marks;
use crate::web::view::number::counted;
use crate::web::view::time::duration_words;

const MINUTE_MS: i64 = 60_000;
/// Steps of the drawing at most.
const STEPS: usize = 360;
/// Alerts that are listed one by one.
const LISTED: usize = 50;
/// Bands of the drawing at most: more would be one.
const BANDS: usize = 400;

/// Alerts that fired and are marked: more are bundled anyway.
const MARKED: u32 = 500;

/// Times that can be tried: word, label, length.
pub(in crate::web::pages) const TIMES: [(&str, &str, Duration); 4] = [
    ("6h", "6 h", Duration::from_hours(6)),
    ("24h", "24 h", Duration::from_hours(24)),
    ("7d", "7 d", Duration::from_hours(7 * 24)),
    ("30d", "30 d", Duration::from_hours(30 * 24)),
];

/// A trial as a page shows it.
#[derive(Debug)]
pub(in crate::web::pages) struct TrialView {
    /// The time in words.
    pub(in crate::web::pages) length: &'static str,
    /// The answer.
    pub(in crate::web::pages) strong: String,
    /// How long, and what the saved rule would have done.
    pub(in crate::web::pages) rest: String,
    /// How far the trial differs from what a rule sees that looks all the time.
    pub(in crate::web::pages) coarse: Option<String>,
    /// Whether the drawing shows the saved rule as well.
    pub(in crate::web::pages) is_beside: bool,
    pub(in crate::web::pages) chart: LineChart,
    /// When the rule really fired.
    pub(in crate::web::pages) marks: Marks,
    pub(in crate::web::pages) rows: Vec<EpisodeRow>,
    /// Alerts that are not listed.
    pub(in crate::web::pages) left_out: usize,
}

/// An alert that there would have been.
#[derive(Debug)]
pub(in crate::web::pages) struct EpisodeRow {
    pub(in crate::web::pages) started_at: Timestamp,
    pub(in crate::web::pages) lasted: String,
    pub(in crate::web::pages) worst: String,
    pub(in crate::web::pages) about: String,
}

/// What the rule as saved would have done, where it says something else.
#[derive(Debug)]
enum Beside {
    Nothing,
    TooMuch,
    Tried(Trial),
}

impl Beside {
    const fn trial(&self) -> Option<&Trial> {
        match self {
            Self::Tried(trial) => Some(trial),
            Self::Nothing | Self::TooMuch => None,
        }
    }
}

impl TrialView {
    /// Tries a rule, and the saved one where it says something else; sample by sample where that can be (they are kept for this long) and
    /// is not too much.
    pub(in crate::web::pages) async fn load(
        store: &Store,
        terms: &Terms,
        saved: Option<&AlertRule>,
        range: &str,
        kept: Duration,
        now: Timestamp,
    ) -> Result<Self, NotTried> {
        let (_, length, time) = TIMES.iter().find(|(word, ..)| *word == range).copied().unwrap_or(TIMES[1]);
        let fine = looks(time, SAMPLE_MS, now);
        let can = |terms: &Terms| can_see_samples(terms, (now.minus(time), now), kept, now);
        let looked = if can(terms) && saved.is_none_or(|saved| can(&saved.terms)) { fine } else { usual(time, now) };
        match Self::over(store, terms, saved, (length, looked), now).await {
            Err(NotTried::TooMuch { .. }) if looked == fine => Self::over(store, terms, saved, (length, usual(time, now)), now).await,
            tried => tried,
        }
    }

    async fn over(
        store: &Store,
        terms: &Terms,
        saved: Option<&AlertRule>,
        (length, looks): (&'static str, Looks),
        now: Timestamp,
    ) -> Result<Self, NotTried> {
        let times = looks.looks();
        let series = recorded(store, terms, looks).await?;
        let trial = run(terms, &times, &series, &heard(store, terms, looks).await?);
        let values = worst(terms, courses(terms, times.len(), &series).values());
        drop(series);
        let saved_one = match saved {
            Some(saved) if saved.terms != *terms => match try_rule(store, &saved.terms, looks).await {
                Err(NotTried::TooMuch { .. }) => Beside::TooMuch,
                tried => Beside::Tried(tried?),
            },
            _ => Beside::Nothing,
        };
        let fired = match saved {
            Some(saved) => fired(store, saved.number, looks).await?,
            None => Vec::new(),
        };
        let (chart, marks) = chart(terms, looks, (&trial, saved_one.trial()), &values, &fired);
        Ok(Self {
            length,
            strong: strong(&trial),
            rest: rest(&trial, &saved_one),
            coarse: coarse(terms, looks.step_ms),
            is_beside: saved_one.trial().is_some(),
            chart,
            marks,
            rows: trial.episodes.iter().rev().take(LISTED).map(|episode| EpisodeRow::new(terms, episode, now)).collect(),
            left_out: trial.episodes.len().saturating_sub(LISTED),
        })
    }
}

/// What the rule has really fired in this time, in its order.
async fn fired(store: &Store, rule: i64, looks: Looks) -> Result<Vec<Happening>, StoreError> {
    let states = vec![AlertState::Firing, AlertState::Recovering, AlertState::Resolved];
    let filter = AlertFilter { rule: Some(rule), states, from: Some(looks.from), to: Some(looks.to), ..AlertFilter::default() };
    let happening = |alert: Alert| {
        let bus = alert.bus().unwrap_or_else(|| BusId::new(""));
        let what = Happened::AlertFired { number: alert.number, rule: alert.details.rule, labels: alert.labels };
        Some(Happening { at: alert.standing.started_at?, bus, what })
    };
    let alerts = store.list_alerts(&filter, &PageRequest::first(MARKED)).await?.items;
    let mut fired: Vec<Happening> = alerts.into_iter().filter_map(happening).collect();
    fired.sort_by_key(|one| one.at);
    Ok(fired)
}

impl EpisodeRow {
    fn new(terms: &Terms, episode: &Episode, now: Timestamp) -> Self {
        let length = duration_words(episode.started_at.age_at(episode.ended_at.unwrap_or(now)));
        Self {
            started_at: episode.started_at,
            lasted: if episode.ended_at.is_none() { format!("{length}, goes on") } else { length },
            worst: episode.worst.map_or_else(|| "no data".to_owned(), |value| words::value(value, words::unit(terms))),
            about: words::about(&episode.labels, true),
        }
    }
}

/// The time up to now as it is looked at when nothing better can be.
fn usual(time: Duration, now: Timestamp) -> Looks {
    looks(time, usual_step(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)), now)
}

/// Whole minutes up to now, or samples.
fn looks(time: Duration, step_ms: i64, now: Timestamp) -> Looks {
    let length = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let unit = step_ms.min(MINUTE_MS);
    let to = now.as_millis().div_euclid(unit) * unit + unit;
    let from = (to - length).div_euclid(step_ms) * step_ms;
    let to = from + (to - from + step_ms - 1) / step_ms * step_ms;
    Looks { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to), step_ms }
}

fn strong(trial: &Trial) -> String {
    match trial.episodes.len() as u64 {
        0 if trial.watched == 0 => "Nothing that this rule watches was recorded.".to_owned(),
        0 => "It would not have fired.".to_owned(),
        1 => "It would have fired once".to_owned(),
        2 => "It would have fired twice".to_owned(),
        many => format!("It would have fired {}", counted(many, "time", "times")),
    }
}

fn rest(trial: &Trial, saved: &Beside) -> String {
    let own = match trial.episodes.len() {
        0 if trial.watched == 0 => String::new(),
        0 => format!("{} watched.", counted(trial.watched as u64, "alert was", "alerts were")),
        1 => format!(", for {}.", duration_words(trial.firing)),
        _ => format!(", {} in all, {} at the longest.", duration_words(trial.firing), duration_words(trial.longest)),
    };
    let saved = match saved {
        Beside::Nothing => String::new(),
        Beside::TooMuch => " The rule as saved watches too much to be tried beside it.".to_owned(),
        Beside::Tried(saved) if saved.episodes.is_empty() => " The rule as saved would not have fired.".to_owned(),
        Beside::Tried(saved) => {
            let times = counted(saved.episodes.len() as u64, "time", "times");
            format!(" The rule as saved would have fired {times}, {} in all.", duration_words(saved.firing))
        }
    };
    own + &saved
}

fn chart(
    terms: &Terms,
    looks: Looks,
    (trial, saved): (&Trial, Option<&Trial>),
    values: &[Option<f64>],
    fired: &[Happening],
) -> (LineChart, Marks) {
    let together = values.len().div_ceil(STEPS).max(1);
    let mut coarse = coarser(terms, values, together);
    let count = looks.looks().len().div_ceil(together).max(1);
    coarse.resize(count, None);
    let span = i64::try_from(count * together).unwrap_or(1) * looks.step_ms;
    let to = Timestamp::from_millis(looks.from.as_millis() + span);
    let buckets = Buckets { from: looks.from, to, count: u32::try_from(count).unwrap_or(1) };
    let unit = words::unit(terms);
    let watch = Watch {
        threshold: Some(terms.burn_rate.map_or(terms.threshold, |burn| burn.factor)),
        words: format!("fires {}", words::condition(terms)),
        fires: bands(&trial.episodes, looks.to),
        beside: saved.map(|saved| bands(&saved.episodes, looks.to)).unwrap_or_default(),
    };
    let name = if terms.by.is_empty() { "value" } else { "the worst of all" };
    let marks = Marks::of(fired, buckets);
    let (title, unit, lines) = (words::figure(terms.figure), words::drawn_unit(unit), vec![Named::new(name, coarse)]);
    (LineChart::watched("trial-chart", title, unit, buckets, lines, &marks.shown, &watch), marks)
}

/// When anything would have fired; times that meet are one.
fn bands(episodes: &[Episode], end: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let mut bands: Vec<(Timestamp, Timestamp)> = Vec::new();
    for episode in episodes {
        let to = episode.ended_at.unwrap_or(end);
        match bands.last_mut() {
            Some(last) if episode.started_at <= last.1 => last.1 = last.1.max(to),
            _ => bands.push((episode.started_at, to)),
        }
    }
    bands.truncate(BANDS);
    bands
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::alert::Comparison;
    use crate::model::figure::Figure;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_millis(minute * MINUTE_MS)
    }

    fn episode(from: i64, to: Option<i64>) -> Episode {
        Episode { labels: BTreeMap::new(), pending_since: at(from), started_at: at(from), ended_at: to.map(at), worst: None }
    }

    #[test]
    fn a_day_is_looked_at_every_minute_and_a_month_every_hour() {
        let now = Timestamp::from_millis(1_700_000_012_345);
        for (time, step_minutes, count) in [(24, 1, 1_440), (7 * 24, 7, 1_440), (30 * 24, 60, 720)] {
            let looks = usual(Duration::from_hours(time), now);
            assert_eq!(looks.step_ms, step_minutes * MINUTE_MS);
            assert!(looks.to >= now && (count..=count + 2).contains(&looks.looks().len()), "{}", looks.looks().len());
        }
        let fine = looks(Duration::from_hours(6), SAMPLE_MS, now);
        assert_eq!((fine.looks().len(), fine.looks().last().map(|last| now.age_at(*last) <= Duration::from_secs(15))), (1_440, Some(true)));
    }

    #[test]
    fn the_saved_rule_is_drawn_beside_the_edited_one() {
        let terms = crate::alerts::defaults::usual(Figure::ConsumerGroupLagMessages, Comparison::Above, 10.0);
        let range = Looks { from: at(0), to: at(100), step_ms: MINUTE_MS };
        let (trial, saved) = (Trial { episodes: vec![episode(10, Some(20))], ..Trial::default() }, Trial::default());
        let alone = chart(&terms, range, (&trial, None), &[Some(1.0); 100], &[]).0;
        assert_eq!((alone.fires, alone.beside), (vec![(10.0, 10.0)], Vec::new()));
        let saved = Trial { episodes: vec![episode(50, None)], ..saved };
        let both = chart(&terms, range, (&trial, Some(&saved)), &[Some(1.0); 100], &[]).0;
        assert_eq!((both.fires, both.beside), (vec![(10.0, 10.0)], vec![(50.0, 50.0)]));
        assert!(both.data.contains("\"beside\":[[3000,6000]]"), "{}", both.data);
    }

    #[test]
    fn alerts_at_the_same_time_are_one_band() {
        let episodes = [episode(10, Some(20)), episode(15, Some(30)), episode(40, None)];
        assert_eq!(bands(&episodes, at(60)), [(at(10), at(30)), (at(40), at(60))]);
    }

    #[test]
    fn the_answer_stands_beside_that_of_the_saved_rule() {
        let trial = |episodes: Vec<Episode>, minutes| Trial {
            episodes,
            watched: 3,
            firing: Duration::from_mins(minutes),
            longest: Duration::from_mins(20),
        };
        let two = trial(vec![episode(1, Some(2)), episode(3, Some(4))], 30);
        assert_eq!(strong(&two), "It would have fired twice");
        assert_eq!(
            rest(&two, &Beside::Tried(trial(Vec::new(), 0))),
            ", 30 min in all, 20 min at the longest. The rule as saved would not have fired."
        );
        assert_eq!(strong(&trial(Vec::new(), 0)), "It would not have fired.");
        assert_eq!(
            rest(&trial(Vec::new(), 0), &Beside::Tried(two)),
            "3 alerts were watched. The rule as saved would have fired 2 times, 30 min in all."
        );
    }
}

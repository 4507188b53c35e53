//! What is rolled up of a range, in pieces that are kept in memory: other ranges share them, that of the same page a minute later first
//! of all. A piece that lies whole in rolled up hours stays as it is until one of those is rolled up again.

use super::hot::Rolled;
use super::read::SeriesQuery;
use super::rollup::{HOUR_MS, MINUTE_MS};
use crate::metrics::bucket::Bucket;

/// Drawings of pages have fewer steps; longer answers are not kept.
pub(super) const MOST_STEPS: usize = 120;
/// Steps of a block.
const BLOCK: i64 = 15;
/// Hours of a day, and of the longest piece of those that are no steps.
const DAY: i64 = 24;
const LONG: i64 = 8 * DAY;

/// A part of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::store) struct Piece {
    /// Inclusive, in milliseconds.
    pub(super) begin: i64,
    /// Exclusive.
    pub(super) end: i64,
    step_ms: i64,
    revised: i64,
}

impl Piece {
    fn steps(&self) -> usize {
        usize::try_from((self.end - self.begin + self.step_ms - 1) / self.step_ms).unwrap_or(0)
    }

    /// Calls `each` with the steps of a query that these are, and what is in them.
    pub(super) fn each<'a>(&self, steps: &'a [Option<Bucket>], query: &SeriesQuery, mut each: impl FnMut(usize, &'a Bucket)) {
        let mut at = self.begin;
        for bucket in steps {
            if let (Some(step), Some(bucket)) = (query.step_at(at), bucket) {
                each(step, bucket);
            }
            at += self.step_ms;
        }
    }

    /// Whether another one begins where this ends, and has steps of the same length.
    const fn goes_on_in(&self, next: &Self) -> bool {
        self.end == next.begin && self.step_ms == next.step_ms && (self.end - self.begin) % self.step_ms == 0
    }
}

/// The steps of a range in blocks, the first and the last of which may reach beyond it; `None` where its steps are nobody else's.
pub(super) fn blocks(query: &SeriesQuery, rolled: Rolled) -> Option<Vec<Piece>> {
    let step_ms = query.step_ms.max(1);
    let (from, to) = (query.from.as_millis(), query.to.as_millis().min(rolled.end));
    let even = step_ms % MINUTE_MS == 0 && from % step_ms == 0 && (to == rolled.end || to % step_ms == 0);
    if !even || query.steps() > MOST_STEPS {
        return None;
    }
    let length = step_ms * BLOCK;
    let block = |number: i64| {
        let begin = number * length;
        Piece { begin, end: (begin + length).min(rolled.end), step_ms, revised: rolled.revised }
    };
    Some((from.div_euclid(length)..=(to - 1).div_euclid(length)).map(block).collect())
}

/// A range of whole hours that is one step, in long parts, days and the hours of its first and last day; `None` for others.
pub(super) fn days(query: &SeriesQuery, rolled: Rolled) -> Option<Vec<Piece>> {
    let (from, to) = (query.from.as_millis(), query.to.as_millis().min(rolled.end));
    if query.steps() != 1 || from % HOUR_MS != 0 || to % HOUR_MS != 0 {
        return None;
    }
    let piece = |(begin, end): (i64, i64)| {
        let (begin, end) = (begin * HOUR_MS, end * HOUR_MS);
        Piece { begin, end, step_ms: end - begin, revised: rolled.revised }
    };
    Some(hours(from / HOUR_MS, to / HOUR_MS).map(piece).collect())
}

/// The same of hours from `first` to before `end`.
pub(super) fn hours(first: i64, end: i64) -> impl Iterator<Item = (i64, i64)> {
    let next = move |at: i64| {
        let next = if at % LONG == 0 && at + LONG <= end { at + LONG } else { (at.div_euclid(DAY) + 1) * DAY };
        next.min(end)
    };
    std::iter::successors(Some(first), move |at| Some(next(*at))).take_while(move |at| *at < end).map(move |at| (at, next(at)))
}

/// The range as it is, in one.
pub(super) fn whole(query: &SeriesQuery, rolled: Rolled) -> Vec<Piece> {
    let (begin, end) = (query.from.as_millis(), query.to.as_millis().min(rolled.end));
    vec![Piece { begin, end, step_ms: query.step_ms.max(1), revised: rolled.revised }]
}

/// Pieces that are read together.
pub(super) struct Run {
    /// In the order of time, each beginning where the one before ends.
    pub(super) pieces: Vec<Piece>,
}

impl Run {
    /// Adds a piece where it goes on with those that are there.
    pub(super) fn add(&mut self, piece: Piece) -> bool {
        let goes_on = self.pieces.last().is_some_and(|last| last.goes_on_in(&piece));
        if goes_on {
            self.pieces.push(piece);
        }
        goes_on
    }

    /// What to read for it.
    pub(super) fn query(&self, of: &SeriesQuery) -> SeriesQuery {
        let (first, last) = (self.pieces[0], self.pieces[self.pieces.len() - 1]);
        let time = crate::model::Timestamp::from_millis;
        SeriesQuery { from: time(first.begin), to: time(last.end), step_ms: first.step_ms, ..of.clone() }
    }

    /// Each piece with its part of the steps that were read.
    pub(super) fn parts<'a>(&self, steps: &'a [Option<Bucket>]) -> impl Iterator<Item = (Piece, &'a [Option<Bucket>])> {
        self.pieces.iter().scan(steps, |rest, piece| {
            let (part, others) = rest.split_at(piece.steps().min(rest.len()));
            *rest = others;
            Some((*piece, part))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::model::figure::{Figure, Labels};

    const ROLLED: Rolled = Rolled { end: 100 * HOUR_MS, version: 7, revised: 3 };

    fn query(from: i64, to: i64, step_ms: i64) -> SeriesQuery {
        let time = Timestamp::from_millis;
        SeriesQuery { figure: Figure::TopicMessagesPerSecond, labels: Labels::default(), from: time(from), to: time(to), step_ms }
    }

    #[test]
    fn a_range_that_moves_on_shares_all_of_its_blocks_but_the_last() {
        let of = |from: i64, end: i64| {
            let rolled = Rolled { end: end * HOUR_MS, ..ROLLED };
            blocks(&query(from * HOUR_MS, 200 * HOUR_MS, 2 * HOUR_MS), rolled).expect("even")
        };
        let (now, later) = (of(22, 99), of(24, 100));
        assert_eq!(
            now.iter().map(|piece| (piece.begin / HOUR_MS, piece.end / HOUR_MS)).collect::<Vec<_>>(),
            [(0, 30), (30, 60), (60, 90), (90, 99)]
        );
        assert_eq!((&now[..3], later.len()), (&later[..3], 4));
        assert_ne!(now[3], later[3]);
    }

    #[test]
    fn steps_that_no_other_range_has_are_not_shared() {
        let hour = HOUR_MS;
        assert!(blocks(&query(hour / 2, 200 * hour, hour), ROLLED).is_none());
        assert!(blocks(&query(hour, 5 * hour / 2, hour), ROLLED).is_none(), "it ends within a step");
        assert!(blocks(&query(0, 100 * hour, hour / 60), ROLLED).is_none(), "too many");
        assert!(blocks(&query(0, hour, hour / 40), ROLLED).is_none(), "no whole minutes");
        assert!(blocks(&query(hour, 3 * hour, hour), ROLLED).is_some());
    }

    #[test]
    fn hours_of_a_long_time_are_days_and_longer_parts() {
        assert_eq!(hours(22, 50).collect::<Vec<_>>(), [(22, 24), (24, 48), (48, 50)]);
        assert_eq!(hours(5, 9).collect::<Vec<_>>(), [(5, 9)]);
        assert_eq!(hours(9, 9).count(), 0);
        let long: Vec<_> = hours(191, 720).collect();
        assert_eq!((long[0], long[1], long[2]), ((191, 192), (192, 384), (384, 576)));
        assert_eq!((long[3], long.last().copied()), ((576, 600), Some((696, 720))));
        assert!(long.windows(2).all(|two| two[0].1 == two[1].0));
    }

    #[test]
    fn what_was_read_together_is_kept_piece_by_piece() {
        let whole = query(20 * HOUR_MS, 110 * HOUR_MS, 2 * HOUR_MS);
        let pieces = blocks(&whole, ROLLED).expect("even");
        let mut run = Run { pieces: vec![pieces[0]] };
        assert!(pieces[1..].iter().all(|piece| run.add(*piece)));
        assert!(!run.add(pieces[0]));
        let read = run.query(&whole);
        assert_eq!((read.from.as_millis(), read.to.as_millis(), read.steps()), (0, 100 * HOUR_MS, 50));
        let steps: Vec<Option<Bucket>> =
            (0..50_u32).map(|step| Some(Bucket::Count { total: f64::from(step), covers_ms: 1, peak: 0.0 })).collect();
        let mut found = Vec::new();
        for (piece, part) in run.parts(&steps) {
            piece.each(part, &whole, |step, bucket| found.push((step, bucket.count())));
        }
        assert_eq!((found.len(), found[0], found[39]), (40, (0, 10.0), (39, 49.0)), "what lies before the range is left out");
    }
}

//! A time axis on which long waiting is folded: a message may be processed for milliseconds and lie in a topic for hours.

use super::lines::seconds;
use crate::model::Timestamp;

/// Width of a fold, in percent.
const FOLD: f64 = 7.0;
/// Width of what lies between two folds, at least.
const LEAST: f64 = 8.0;
/// Shorter waiting is not folded, in microseconds.
const SHORT_US: i64 = 2_000_000;
/// Waiting is folded when it is so many times longer than everything that happened.
const MUCH: i64 = 2;
/// Folds of one axis at most; the longest.
const MOST: usize = 6;
/// Width of a bar that could not be seen, in percent.
const THIN: f64 = 0.35;

/// A folded wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    /// Where it begins, in percent.
    pub x: f64,
    /// Where it ends, in percent.
    pub end: f64,
    /// How long it is, in words.
    pub words: String,
}

/// A word on the axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Where, in percent.
    pub x: f64,
    /// The word.
    pub label: String,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    from: i64,
    to: i64,
    x: f64,
    end: f64,
}

/// Where a time lies.
#[derive(Debug, Clone)]
pub struct Timeline {
    pieces: Vec<Piece>,
    /// Folded waiting.
    pub folds: Vec<Fold>,
    /// The axis.
    pub ticks: Vec<Tick>,
}

/// A bar on the axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Where it begins, in percent.
    pub x: f64,
    /// How wide it is, in percent.
    pub width: f64,
}

impl Timeline {
    /// An axis over everything that happened: from and to in microseconds, in any order. `fold`: whether waiting is folded.
    #[must_use]
    pub fn new(happened: &[(i64, i64)], fold: bool) -> Self {
        let mut sorted = happened.to_vec();
        sorted.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::new();
        for (from, to) in sorted {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to.max(from))),
            }
        }
        let busy: i64 = merged.iter().map(|(from, to)| to - from).sum();
        let mut gaps: Vec<(i64, usize)> = merged.windows(2).enumerate().map(|(at, pair)| (pair[1].0 - pair[0].1, at)).collect();
        gaps.retain(|(gap, _)| fold && *gap > SHORT_US && *gap > busy.saturating_mul(MUCH));
        gaps.sort_unstable_by(|one, other| other.cmp(one));
        gaps.truncate(MOST);
        let mut spans: Vec<(i64, i64)> = Vec::new();
        for (at, (from, to)) in merged.iter().enumerate() {
            let folded_before = at > 0 && gaps.iter().any(|(_, gap)| *gap == at - 1);
            match spans.last_mut() {
                Some(last) if !folded_before => last.1 = *to,
                _ => spans.push((*from, *to)),
            }
        }
        Self::of_spans(&spans)
    }

    fn of_spans(spans: &[(i64, i64)]) -> Self {
        let room = 100.0 - FOLD * count(spans.len().saturating_sub(1)) - LEAST * count(spans.len());
        let whole: i64 = spans.iter().map(|(from, to)| to - from).sum();
        let (mut pieces, mut folds, mut x) = (Vec::new(), Vec::new(), 0.0);
        for (at, (from, to)) in spans.iter().enumerate() {
            if at > 0 {
                let waited = from - spans[at - 1].1;
                folds.push(Fold { x, end: x + FOLD, words: seconds(in_seconds(waited)) });
                x += FOLD;
            }
            let share = if whole > 0 { float(to - from) / float(whole) } else { 1.0 / count(spans.len()) };
            let end = x + LEAST + room * share;
            pieces.push(Piece { from: *from, to: *to, x, end });
            x = end;
        }
        let ticks = pieces.iter().flat_map(ticks_of).collect();
        Self { pieces, folds, ticks }
    }

    /// Where a time lies, in percent; inside of a fold at its beginning.
    #[must_use]
    pub fn x(&self, at: i64) -> f64 {
        let Some(piece) = self.pieces.iter().rev().find(|piece| piece.from <= at).or(self.pieces.first()) else { return 0.0 };
        let length = float((piece.to - piece.from).max(1));
        let inside = (float(at - piece.from) / length).clamp(0.0, 1.0);
        piece.x + (piece.end - piece.x) * inside
    }

    /// The bar of something that took from one time to another.
    #[must_use]
    pub fn bar(&self, from: i64, to: i64) -> Bar {
        let (x, end) = (self.x(from), self.x(to));
        let width = (end - x).max(THIN);
        Bar { x: x.min(100.0 - width), width }
    }
}

/// The beginning as a time of day, and a middle.
fn ticks_of(piece: &Piece) -> Vec<Tick> {
    let begin = Tick { x: piece.x, label: super::time::to_the_second(Timestamp::from_millis(piece.from.div_euclid(1_000))) };
    let length = piece.to - piece.from;
    if length == 0 || piece.end - piece.x < 35.0 {
        return vec![begin];
    }
    let middle = Tick { x: piece.x + (piece.end - piece.x) * 0.6, label: format!("+{}", seconds(in_seconds(length) * 0.6)) };
    vec![begin, middle]
}

fn in_seconds(micros: i64) -> f64 {
    float(micros) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a place in a drawing")]
const fn float(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
const fn count(value: usize) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn long_waiting_is_folded_and_the_rest_keeps_its_order() {
        let hours = 6 * 3_600 * SECOND;
        let happened = [(0, SECOND), (SECOND, 2 * SECOND), (hours, hours + SECOND), (hours + SECOND, hours + 3 * SECOND)];
        let line = Timeline::new(&happened, true);
        assert_eq!(line.folds.len(), 1);
        assert_eq!(line.folds[0].words, "6.0 h");
        let places: Vec<f64> = [0, SECOND, 2 * SECOND, hours, hours + 3 * SECOND].iter().map(|at| line.x(*at)).collect();
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{places:?}");
        assert!((places[0]).abs() < 1e-9 && (places[4] - 100.0).abs() < 1e-9, "{places:?}");
        assert!(Timeline::new(&happened, false).folds.is_empty());
    }

    #[test]
    fn nothing_and_a_moment_can_be_drawn() {
        let nothing = Timeline::new(&[], true);
        assert!((nothing.x(5)).abs() < 1e-9);
        let moment = Timeline::new(&[(7, 7)], true);
        let bar = moment.bar(7, 7);
        assert!(bar.width > 0.0 && bar.x >= 0.0 && bar.x + bar.width <= 100.0 + 1e-9, "{bar:?}");
    }

    #[test]
    fn a_wait_within_what_happened_is_not_folded() {
        let line = Timeline::new(&[(0, 100 * SECOND), (150 * SECOND, 200 * SECOND)], true);
        assert!(line.folds.is_empty());
    }
}

//! The critical path of a trace: which spans its end waited for, and when. Walked from the span that ends last: the child that ended last
//! before, then what the span did itself before that child began, and so on; then the span that caused it, up to where it did.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::model::span::{Span, SpanId};

/// A time in which nothing but this span's own work kept the trace from ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The span.
    pub span: SpanId,
    /// Nanoseconds since the Unix epoch.
    pub from: i64,
    /// After `from`.
    pub to: i64,
}

/// A span that is walked through backwards.
struct Visit<'a> {
    span: &'a Span,
    /// What lies before is not walked through yet.
    until: i64,
    /// Its children, the one that ends last at the end.
    children: Vec<&'a Span>,
}

/// Segments of the critical path, the last first. They do not overlap; where there is a gap, the message waited.
#[must_use]
pub fn critical_path(spans: &[Span]) -> Vec<Segment> {
    let by_id: HashMap<SpanId, &Span> = spans.iter().map(|span| (span.span_id, span)).collect();
    let mut children: HashMap<SpanId, Vec<&Span>> = HashMap::new();
    for span in spans {
        if let Some(parent) = span.parent {
            children.entry(parent).or_default().push(span);
        }
    }
    for below in children.values_mut() {
        below.sort_by_key(|span| (span.end, span.start));
    }
    let (mut segments, mut seen) = (Vec::new(), HashSet::new());
    let mut next = spans.iter().max_by_key(|span| (span.end, Reverse(span.start))).map(|span| (span, span.end));
    while let Some((span, until)) = next {
        if !seen.insert(span.span_id) {
            break;
        }
        walk(span, until.min(span.end), &mut children, &mut seen, &mut segments);
        next = span.parent.and_then(|parent| by_id.get(&parent)).map(|parent| (*parent, span.start));
    }
    segments
}

/// The segments of each span that is on the path, in the order of the path.
#[must_use]
pub fn by_span(path: &[Segment]) -> HashMap<SpanId, Vec<Segment>> {
    let mut of_spans: HashMap<SpanId, Vec<Segment>> = HashMap::new();
    for segment in path {
        of_spans.entry(segment.span).or_default().push(*segment);
    }
    of_spans
}

/// How long segments are together, in nanoseconds.
#[must_use]
pub fn length(segments: &[Segment]) -> i64 {
    segments.iter().map(|segment| segment.to.saturating_sub(segment.from)).sum()
}

/// Goes back from `until` to the beginning of a span. Children that ended later were not waited for.
fn walk<'a>(
    span: &'a Span,
    until: i64,
    children: &mut HashMap<SpanId, Vec<&'a Span>>,
    seen: &mut HashSet<SpanId>,
    segments: &mut Vec<Segment>,
) {
    let mut open = vec![Visit { span, until, children: children.remove(&span.span_id).unwrap_or_default() }];
    while let Some(visit) = open.last_mut() {
        let Some(child) = visit.children.pop() else {
            add(segments, visit.span, visit.span.start, visit.until);
            open.pop();
            continue;
        };
        if child.end > visit.until || child.start < visit.span.start || !seen.insert(child.span_id) {
            continue;
        }
        add(segments, visit.span, child.end, visit.until);
        visit.until = child.start;
        open.push(Visit { span: child, until: child.end, children: children.remove(&child.span_id).unwrap_or_default() });
    }
}

fn add(segments: &mut Vec<Segment>, span: &Span, from: i64, to: i64) {
    if to > from {
        segments.push(Segment { span: span.span_id, from, to });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::samples::{SECOND, span};

    /// A span of a trace: id, the one that caused it, start and end in seconds.
    fn of(id: u8, parent: Option<u8>, start: i64, end: i64) -> Span {
        Span { end: end * SECOND, ..span(1, id, parent, start) }
    }

    fn path(spans: &[Span]) -> Vec<(u8, i64, i64)> {
        let mut path: Vec<_> = critical_path(spans).iter().map(|one| (one.span.0[0], one.from / SECOND, one.to / SECOND)).collect();
        path.reverse();
        path
    }

    #[test]
    fn a_span_waits_for_the_child_that_ends_last_and_works_between() {
        let spans = [of(1, None, 0, 10), of(2, Some(1), 1, 4), of(3, Some(1), 2, 3), of(4, Some(1), 5, 9), of(5, Some(4), 6, 8)];
        assert_eq!(path(&spans), [(1, 0, 1), (2, 1, 4), (1, 4, 5), (4, 5, 6), (5, 6, 8), (4, 8, 9), (1, 9, 10)]);
        let of_spans = by_span(&critical_path(&spans));
        let lengths = [1, 2, 3, 4, 5].map(|id| of_spans.get(&SpanId([id; 8])).map(|segments| length(segments) / SECOND));
        assert_eq!(lengths, [Some(3), Some(3), None, Some(2), Some(2)], "each second of the trace belongs to one span");
    }

    #[test]
    fn a_message_s_trace_goes_back_over_the_broker_to_its_sender() {
        // The request answers long before the message is processed; its other call has nothing to do with that.
        let spans = [of(1, None, 0, 5), of(2, Some(1), 1, 2), of(3, Some(1), 3, 5), of(4, Some(2), 7, 9), of(5, Some(4), 8, 9)];
        assert_eq!(path(&spans), [(1, 0, 1), (2, 1, 2), (4, 7, 8), (5, 8, 9)]);
    }

    #[test]
    fn nothing_circles_and_lost_causes_end_the_walk() {
        assert_eq!(path(&[]), []);
        assert_eq!(path(&[of(2, Some(9), 1, 3), of(3, Some(2), 1, 3)]), [(3, 1, 3)]);
        let circle = [of(1, Some(2), 0, 4), of(2, Some(1), 1, 3)];
        assert_eq!(path(&circle), [(1, 0, 1), (2, 1, 3), (1, 3, 4)]);
        let itself = [of(1, Some(1), 0, 4)];
        assert_eq!(path(&itself), [(1, 0, 4)]);
        let deep: Vec<Span> = (0..50_000_u32)
            .map(|number| {
                let id = |number: u32| SpanId((u64::from(number) + 1).to_be_bytes());
                let parent = number.checked_sub(1).map(id);
                Span { span_id: id(number), parent, start: i64::from(number), end: 200_000 - i64::from(number), ..span(1, 1, None, 0) }
            })
            .collect();
        assert_eq!(critical_path(&deep).iter().map(|one| one.to - one.from).sum::<i64>(), 200_000);
    }
}

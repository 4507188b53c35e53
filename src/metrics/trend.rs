//! A number beside what it was before, in words that a person can act on.

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Less of it, as of failures.
    Less,
    /// Neither: more traffic is no news in itself.
    Neither,
}

/// How a number moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Better than before.
    Better,
    /// Worse than before.
    Worse,
    /// As before, or nobody can say which way is better.
    Same,
    /// The time before is not known.
    Unknown,
}

/// Differences below this share are none.
const NOTHING: f64 = 0.05;
/// From here on it is told as a multiple.
const TIMES: f64 = 2.0;

/// How `now` differs from `before`, in words and which way; `more` and `less` are the words of the number: `more`, `fewer`, `longer`.
#[must_use]
pub fn compare(now: Option<f64>, before: Option<f64>, (more, less): (&str, &str), better: Better) -> (String, Direction) {
    let (Some(now), Some(before)) = (now, before) else {
        return (if now.is_none() { "not known".to_owned() } else { "nothing to compare with".to_owned() }, Direction::Unknown);
    };
    let way = |is_more: bool| match better {
        Better::Neither => Direction::Same,
        Better::Less => {
            if is_more {
                Direction::Worse
            } else {
                Direction::Better
            }
        }
    };
    if now <= 0.0 && before <= 0.0 {
        return ("none, as before".to_owned(), Direction::Same);
    }
    if before <= 0.0 {
        return ("none before".to_owned(), way(true));
    }
    if now <= 0.0 {
        return ("none any more".to_owned(), way(false));
    }
    let ratio = now / before;
    if (ratio - 1.0).abs() < NOTHING {
        return ("about the same".to_owned(), Direction::Same);
    }
    let words = if ratio >= TIMES {
        format!("{} times as {}", tenths(ratio), if more == "longer" { "long" } else { "many" })
    } else if ratio > 1.0 {
        format!("{:.0} % {more}", (ratio - 1.0) * 100.0)
    } else {
        format!("{:.0} % {less}", (1.0 - ratio) * 100.0)
    };
    (words, way(ratio > 1.0))
}

/// `3` or `2.4`.
fn tenths(ratio: f64) -> String {
    let text = format!("{:.1}", if ratio < 10.0 { ratio } else { ratio.round() });
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_in_words_and_which_way() {
        let letters = |now, before| compare(now, before, ("more", "fewer"), Better::Less);
        for (now, before, words, direction) in [
            (Some(80.0), Some(100.0), "20 % fewer", Direction::Better),
            (Some(130.0), Some(100.0), "30 % more", Direction::Worse),
            (Some(310.0), Some(100.0), "3.1 times as many", Direction::Worse),
            (Some(1_234.0), Some(100.0), "12 times as many", Direction::Worse),
            (Some(103.0), Some(100.0), "about the same", Direction::Same),
            (Some(0.0), Some(0.0), "none, as before", Direction::Same),
            (Some(5.0), Some(0.0), "none before", Direction::Worse),
            (Some(0.0), Some(5.0), "none any more", Direction::Better),
            (Some(5.0), None, "nothing to compare with", Direction::Unknown),
            (None, Some(5.0), "not known", Direction::Unknown),
        ] {
            assert_eq!(letters(now, before), (words.to_owned(), direction), "{now:?} {before:?}");
        }
        let traffic = compare(Some(200.0), Some(100.0), ("more", "less"), Better::Neither);
        assert_eq!(traffic, ("2 times as many".to_owned(), Direction::Same), "more traffic is no news in itself");
        let time = compare(Some(30.0), Some(10.0), ("longer", "shorter"), Better::Less);
        assert_eq!(time, ("3 times as long".to_owned(), Direction::Worse));
    }
}

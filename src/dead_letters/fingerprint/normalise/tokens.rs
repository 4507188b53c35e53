//! What varies in messages, recognised at one position. Every look-ahead is bounded by the token itself, so a line costs its length.

/// What to do at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes are replaced by a name.
    Replace { length: usize, name: &'static str },
    /// So many bytes stay.
    Keep { length: usize },
}

/// Longest quoted text after `=`, longest e-mail address that are recognised.
const MAX_QUOTED: usize = 512;
const MAX_LOCAL: usize = 64;

const fn replace(length: usize, name: &'static str) -> Step {
    Step::Replace { length, name }
}

/// Looks at the token that begins at `at`. Callers go on behind what was kept or replaced.
pub(super) fn token(bytes: &[u8], at: usize) -> Step {
    let rest = &bytes[at..];
    let before = at.checked_sub(1).map(|at| bytes[at]);
    match rest[0] {
        b'=' => after_equals(rest),
        b'@' if before.is_some_and(is_word) => identity_hash(rest).map_or(Step::Keep { length: 1 }, |length| {
            // The @ itself is part of the name that stays readable.
            replace(length, "@<hash>")
        }),
        b':' => ip_v6(rest).map_or(Step::Keep { length: 1 }, |length| replace(length, "<ip>")),
        b'-' | b'+' if before.is_none_or(|b| !is_word(b) && b != b'>' && b != b')') && rest.get(1).is_some_and(u8::is_ascii_digit) => {
            match word(&bytes[at + 1..], before) {
                Step::Replace { length, name } => replace(length + 1, name),
                Step::Keep { length } => Step::Keep { length: length + 1 },
            }
        }
        byte if is_word(byte) => word(rest, before),
        byte if byte >= 0x80 => Step::Keep { length: rest.iter().skip(1).take_while(|b| **b & 0xc0 == 0x80).count() + 1 },
        _ => Step::Keep { length: 1 },
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A token that begins with a letter, digit or underscore.
fn word(rest: &[u8], before: Option<u8>) -> Step {
    let length = rest.iter().take_while(|b| is_word(**b)).count();
    let (run, next) = (&rest[..length], rest.get(length).copied());
    let digits = run.iter().filter(|b| b.is_ascii_digit()).count();
    if next == Some(b':') && rest[length..].starts_with(b"://") {
        return replace(url(rest), "<url>");
    }
    if matches!(next, Some(b'@' | b'.' | b'+' | b'-' | b'%'))
        && !before.is_some_and(is_local)
        && let Some(length) = email(rest)
    {
        return replace(length, "<email>");
    }
    if digits == 0 && !matches!(next, Some(b':' | b',' | b' ' | b'-')) {
        return Step::Keep { length };
    }
    if run.starts_with(b"P")
        && let Some(length) = iso_duration(rest)
    {
        return replace(length, "<duration>");
    }
    if let Some(step) = structured(rest, run, next) {
        return step;
    }
    if digits == 0 {
        return Step::Keep { length };
    }
    if run[0].is_ascii_digit()
        && let Some(step) = number(rest, digits == length)
    {
        return step;
    }
    if let Some(step) = identifier(run, digits) {
        return step;
    }
    Step::Keep { length }
}

/// Forms that reach over several words: UUID, trace context, dates, IP addresses.
fn structured(rest: &[u8], run: &[u8], next: Option<u8>) -> Option<Step> {
    match next {
        Some(b'-') => {
            if run.len() == 8 && has_shape(rest, &[8, 4, 4, 4, 12]) {
                return Some(replace(36, "<uuid>"));
            }
            if run.len() == 2 && has_shape(rest, &[2, 32, 16, 2]) {
                return Some(replace(55, "<traceparent>"));
            }
            date(rest).map(|length| replace(length, "<date>"))
        }
        Some(b':') => {
            if let Some(length) = clock(rest) {
                return Some(replace(length, "<time>"));
            }
            ip_v6(rest).map(|length| replace(length, "<ip>"))
        }
        Some(b'/') => date(rest).map(|length| replace(length, "<date>")),
        Some(b'.') => ip_v4(rest).map(|length| replace(length, "<ip>")),
        Some(b',' | b' ') => spoken_date(rest).map(|length| replace(length, "<date>")),
        _ => None,
    }
}

/// Hexadecimal groups of these lengths, joined by `-`, with nothing word-like behind.
fn has_shape(rest: &[u8], groups: &[usize]) -> bool {
    let mut at = 0;
    for (number, &length) in groups.iter().enumerate() {
        if number > 0 {
            if rest.get(at) != Some(&b'-') {
                return false;
            }
            at += 1;
        }
        if !rest.get(at..at + length).is_some_and(|group| group.iter().all(u8::is_ascii_hexdigit)) {
            return false;
        }
        at += length;
    }
    !rest.get(at).copied().is_some_and(is_word)
}

/// So many digits at this position.
fn digits_at(rest: &[u8], at: usize, least: usize, most: usize) -> Option<usize> {
    let count = rest.get(at..)?.iter().take(most + 1).take_while(|b| b.is_ascii_digit()).count();
    (least..=most).contains(&count).then_some(at + count)
}

/// `2026-11-24`, `2026/11/24` or `24/11/2026`, with a time and a zone when they follow.
fn date(rest: &[u8]) -> Option<usize> {
    let separator = *rest.iter().find(|b| !b.is_ascii_digit())?;
    let part = |at: usize, least, most| digits_at(rest, at, least, most);
    let joined = |end: usize| (rest.get(end) == Some(&separator)).then_some(end + 1);
    let end = match part(0, 4, 4) {
        Some(year) => part(joined(part(joined(year)?, 2, 2)?)?, 2, 2)?,
        None if separator == b'/' => part(joined(part(joined(part(0, 1, 2)?)?, 1, 2)?)?, 4, 4)?,
        None => return None,
    };
    let time = match rest.get(end) {
        Some(b'T' | b' ') => clock(rest.get(end + 1..).unwrap_or_default()).map(|length| end + 1 + length),
        _ => None,
    };
    let end = time.map_or(end, |end| zone(rest, end));
    (!rest.get(end).copied().is_some_and(is_word)).then_some(end)
}

/// `02:57`, `02:57:16`, `02:57:16.123456`, `02:57:16,123`.
fn clock(rest: &[u8]) -> Option<usize> {
    let colon = |at: usize| (rest.get(at) == Some(&b':')).then_some(at + 1);
    let mut end = digits_at(rest, colon(digits_at(rest, 0, 1, 2)?)?, 2, 2)?;
    if let Some(seconds) = colon(end).and_then(|at| digits_at(rest, at, 2, 2)) {
        end = seconds;
        if matches!(rest.get(end), Some(b'.' | b',')) {
            end = digits_at(rest, end + 1, 1, 9).unwrap_or(end);
        }
    }
    let ends = !rest.get(end).is_some_and(|&b| b == b':' || (is_word(b) && b != b'Z'));
    ends.then_some(end)
}

/// `Z`, ` +0100`, `+01:00`, ` UTC`, ` GMT` behind a time.
fn zone(rest: &[u8], end: usize) -> usize {
    if rest.get(end) == Some(&b'Z') {
        return end + 1;
    }
    let at = end + usize::from(rest.get(end) == Some(&b' '));
    let tail = rest.get(at..).unwrap_or_default();
    if tail.starts_with(b"UTC") || tail.starts_with(b"GMT") {
        return at + 3;
    }
    if matches!(tail.first(), Some(b'+' | b'-'))
        && let Some(hours) = digits_at(tail, 1, 2, 4)
    {
        let minutes = (tail.get(hours) == Some(&b':')).then(|| digits_at(tail, hours + 1, 2, 2)).flatten();
        return at + minutes.unwrap_or(hours);
    }
    end
}

/// `Tue Nov 24 02:57:16 UTC 2026`, `Tue, 24 Nov 2026 02:57:16 GMT`, `24 Nov 2026`.
fn spoken_date(rest: &[u8]) -> Option<usize> {
    const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    const MONTHS: [&[u8]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let word_of = |at: usize, words: &[&[u8]]| words.iter().any(|word| rest.get(at..).is_some_and(|tail| tail.starts_with(word)));
    let space = |at: usize| (rest.get(at) == Some(&b' ')).then_some(at + 1);
    let mut at = 0;
    let weekday = word_of(0, &DAYS);
    if weekday {
        at = 3 + usize::from(rest.get(3) == Some(&b','));
        at = space(at)?;
    }
    if word_of(at, &MONTHS) && weekday {
        // Java's Date.toString: Nov 24 02:57:16 UTC 2026
        let day = digits_at(rest, space(at + 3)?, 1, 2)?;
        let start = space(day)?;
        let end = zone(rest, start + clock(&rest[start..])?);
        return Some(space(end).and_then(|at| digits_at(rest, at, 4, 4)).unwrap_or(end));
    }
    let month = space(digits_at(rest, at, 1, 2)?)?;
    if !word_of(month, &MONTHS) {
        return None;
    }
    let year = digits_at(rest, space(month + 3)?, 4, 4)?;
    let time = space(year).and_then(|at| clock(&rest[at..]).map(|length| at + length));
    Some(time.map_or(year, |end| zone(rest, end)))
}

/// Four numbers up to 255, with a port when it follows.
fn ip_v4(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    for number in 0..4 {
        if number > 0 {
            at = (rest.get(at) == Some(&b'.')).then_some(at + 1)?;
        }
        let end = digits_at(rest, at, 1, 3)?;
        if end - at == 3 && rest[at] > b'2' {
            return None;
        }
        at = end;
    }
    if rest.get(at) == Some(&b':') {
        at = digits_at(rest, at + 1, 1, 5).unwrap_or(at);
    }
    let longer =
        rest.get(at).copied().is_some_and(is_word) || (rest.get(at) == Some(&b'.') && rest.get(at + 1).is_some_and(u8::is_ascii_digit));
    (!longer).then_some(at)
}

/// Groups of up to four hexadecimal digits: eight of them, or fewer with one `::`.
fn ip_v6(rest: &[u8]) -> Option<usize> {
    let length = rest.iter().take(46).take_while(|b| b.is_ascii_hexdigit() || **b == b':').count();
    let text = rest[..length].strip_suffix(b":").filter(|shorter| !shorter.ends_with(b":")).unwrap_or(&rest[..length]);
    if text.len() < 3 || rest.get(length).copied().is_some_and(is_word) {
        return None;
    }
    let groups = text.split(|b| *b == b':');
    let (count, empty) = groups.clone().fold((0, 0), |(count, empty), group| (count + 1, empty + usize::from(group.is_empty())));
    let short = groups.clone().all(|group| group.len() <= 4);
    let digits = text.iter().any(u8::is_ascii_digit);
    let whole = count == 8 && empty == 0;
    let shortened = count <= 9 && empty > 0 && text.windows(2).filter(|pair| *pair == b"::").count() == 1;
    (short && digits && (whole || shortened)).then_some(text.len())
}

/// Everything up to a space or something that does not belong to addresses in prose.
fn url(rest: &[u8]) -> usize {
    let length = rest.iter().take_while(|b| **b > b' ' && **b < 0x80 && !b"\"'<>()[]{}`,;".contains(b)).count();
    length - rest[..length].iter().rev().take_while(|b| matches!(b, b'.' | b':' | b'!' | b'?')).count()
}

const fn is_local(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'.' | b'+' | b'-' | b'%')
}

fn email(rest: &[u8]) -> Option<usize> {
    let local = rest.iter().take(MAX_LOCAL + 1).take_while(|b| is_local(**b)).count();
    let domain = rest.get(local..)?.strip_prefix(b"@")?;
    let length = domain.iter().take(255).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')).count();
    let name = domain[..length].trim_ascii_end();
    let trimmed = name.iter().rev().take_while(|b| **b == b'.').count();
    let name = &name[..length - trimmed];
    let ending = name.iter().rposition(|b| *b == b'.').map(|dot| &name[dot + 1..])?;
    (local <= MAX_LOCAL && ending.len() >= 2 && ending.iter().all(u8::is_ascii_alphabetic)).then_some(local + 1 + name.len())
}

/// `@2d37882b` behind a class name.
fn identity_hash(rest: &[u8]) -> Option<usize> {
    let length = rest[1..].iter().take(17).take_while(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)).count();
    ((1..=16).contains(&length) && !rest.get(length + 1).copied().is_some_and(|b| is_word(b) || b == b'.')).then_some(length + 1)
}

/// `='text'`, `="text"`, `=true`.
fn after_equals(rest: &[u8]) -> Step {
    let value = &rest[1..];
    if let Some(&quote @ (b'\'' | b'"')) = value.first()
        && let Some(end) = value[1..].iter().take(MAX_QUOTED).position(|b| *b == quote)
    {
        return replace(end + 3, "=<text>");
    }
    for word in [&b"true"[..], b"false", b"True", b"False"] {
        if value.starts_with(word) && !value.get(word.len()).copied().is_some_and(is_word) {
            return replace(word.len() + 1, "=<bool>");
        }
    }
    Step::Keep { length: 1 }
}

/// Integers, fractions, versions, durations, `0x...`.
fn number(rest: &[u8], only_digits: bool) -> Option<Step> {
    if rest.starts_with(b"0x") || rest.starts_with(b"0X") {
        let length = rest[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
        return (length > 0 && !rest.get(length + 2).copied().is_some_and(is_word)).then(|| replace(length + 2, "<hex>"));
    }
    if let Some(length) = duration(rest) {
        return Some(replace(length, "<duration>"));
    }
    let whole = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let fraction = digits_behind_dot(rest, whole);
    let mut end = fraction.unwrap_or(whole);
    if let Some(third) = fraction.and_then(|end| digits_behind_dot(rest, end)) {
        let end = digits_behind_dot(rest, third).unwrap_or(third);
        return (!rest.get(end).copied().is_some_and(is_word)).then(|| replace(end, "<version>"));
    }
    if matches!(rest.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
        if let Some(exponent) = digits_at(rest, end + 1 + sign, 1, 4) {
            end = exponent;
        }
    }
    if rest.get(end).copied().is_some_and(is_word) {
        return None;
    }
    Some(replace(end, if end == whole && only_digits { "<int>" } else { "<float>" }))
}

fn digits_behind_dot(rest: &[u8], at: usize) -> Option<usize> {
    if rest.get(at) != Some(&b'.') {
        return None;
    }
    let digits = rest[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
    (digits > 0).then_some(at + 1 + digits)
}

/// `30000ms`, `30000 ms`, `2.5 seconds`, `1m30.5s`.
fn duration(rest: &[u8]) -> Option<usize> {
    const UNITS: [&[u8]; 24] = [
        b"nanoseconds",
        b"microseconds",
        b"milliseconds",
        b"millisecond",
        b"millis",
        b"seconds",
        b"second",
        b"minutes",
        b"minute",
        b"hours",
        b"hour",
        b"days",
        b"day",
        b"secs",
        b"sec",
        b"mins",
        b"min",
        b"ms",
        b"us",
        b"ns",
        b"s",
        b"m",
        b"h",
        b"d",
    ];
    let mut at = 0;
    let mut end = None;
    while let Some(digits) = digits_at(rest, at, 1, 20) {
        let number = digits_behind_dot(rest, digits).unwrap_or(digits);
        let spaced = at == 0 && rest.get(number) == Some(&b' ');
        let tail = rest.get(number + usize::from(spaced)..)?;
        let unit = UNITS.iter().find(|unit| {
            let ends =
                !tail.get(unit.len()).copied().is_some_and(|b| if spaced { is_word(b) } else { b.is_ascii_alphabetic() || b == b'_' });
            tail.starts_with(unit) && ends && (!spaced || unit.len() > 1)
        });
        let Some(unit) = unit else { break };
        at = number + usize::from(spaced) + unit.len();
        end = Some(at);
    }
    end.filter(|&end| !rest.get(end).copied().is_some_and(is_word))
}

/// `PT0.5S`, `P1DT2H`.
fn iso_duration(rest: &[u8]) -> Option<usize> {
    let length = rest.iter().take(40).take_while(|b| b.is_ascii_digit() || b"PTYMWDHS.".contains(b)).count();
    let text = rest[..length].trim_ascii_end();
    let text = text.strip_suffix(b".").unwrap_or(text);
    let numbered = text.get(1) == Some(&b'T') || text.get(1).is_some_and(u8::is_ascii_digit);
    let united = text.last().is_some_and(|b| b"YMWDHS".contains(b)) && text.iter().any(u8::is_ascii_digit);
    (numbered && united && !rest.get(text.len()).copied().is_some_and(is_word)).then_some(text.len())
}

/// Hexadecimal ids and other long runs of letters and digits that nobody chose.
fn identifier(run: &[u8], digits: usize) -> Option<Step> {
    let lower = run.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
    let upper = run.iter().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(b));
    if (8..=128).contains(&run.len()) && (lower || upper) {
        return Some(replace(run.len(), "<hex>"));
    }
    (run.len() >= 20 && digits >= 3 && run.len() > digits && !run.contains(&b'_')).then(|| replace(run.len(), "<id>"))
}

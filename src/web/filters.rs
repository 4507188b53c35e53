//! Filters for templates: `use crate::web::filters;` beside the page struct, then `{{ row.at|ago }}`.
//! The words themselves are made in [`super::view`]. Everything that is not marked as HTML here is escaped by the template engine.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use askama::filters::HtmlSafeOutput;
use askama::{Result, Values};

use super::assets;
use super::view::{number, text, time};
use crate::model::Timestamp;

/// An icon of the sprite by its name: `{{ "inbox"|icon }}`.
#[askama::filter_fn]
pub fn icon(name: &str, _: &dyn Values) -> Result<HtmlSafeOutput<Icon>> {
    Ok(HtmlSafeOutput(Icon { name: name.to_owned(), class: "icon" }))
}

/// A smaller icon, for use inside text.
#[askama::filter_fn]
pub fn icon_small(name: &str, _: &dyn Values) -> Result<HtmlSafeOutput<Icon>> {
    Ok(HtmlSafeOutput(Icon { name: name.to_owned(), class: "icon icon-s" }))
}

/// The address of a static file: `{{ "app.css"|asset }}`.
#[askama::filter_fn]
pub fn asset(name: &str, _: &dyn Values) -> Result<String> {
    Ok(assets::asset(name).to_owned())
}

/// Text with its control, invisible and direction-changing characters shown as escapes: for whatever came from outside.
#[askama::filter_fn]
pub fn visible(foreign: impl Display, _: &dyn Values) -> Result<String> {
    Ok(text::visible_text(&foreign.to_string()))
}

/// One part of an address, percent-encoded.
#[askama::filter_fn]
pub fn encode(part: impl Display, _: &dyn Values) -> Result<String> {
    Ok(super::address::encode(&part.to_string()))
}

/// A whole number with commas: 12,345.
#[askama::filter_fn]
pub fn thousands(count: impl Display, _: &dyn Values) -> Result<String> {
    Ok(number::with_commas(&count.to_string()))
}

/// A whole number in little room: 950, 12.3 k, 4.1 M.
#[askama::filter_fn]
pub fn short(count: &u64, _: &dyn Values) -> Result<String> {
    Ok(number::short_number(*count))
}

/// `1 dead letter`, `2,000 dead letters`; the plural is given.
#[askama::filter_fn]
pub fn count_of(count: &u64, _: &dyn Values, one: &str, many: &str) -> Result<String> {
    Ok(number::counted(*count, one, many))
}

/// A size: 512 B, 1.4 KB, 3.2 MB (thousands, as disks and networks count).
#[askama::filter_fn]
pub fn bytes(size: &u64, _: &dyn Values) -> Result<String> {
    Ok(number::size(*size))
}

/// A duration: 40 ms, 12 s, 3 min, 5 h, 2 d.
#[askama::filter_fn]
pub fn duration(duration: &Duration, _: &dyn Values) -> Result<String> {
    Ok(time::duration_words(*duration))
}

/// How long ago, with the exact time in `title`; the date after seven days. Kept up to date by the page's script.
#[askama::filter_fn]
pub fn ago(at: &Timestamp, values: &dyn Values) -> Result<HtmlSafeOutput<Time>> {
    let now = *askama::get_value::<Timestamp>(values, "now")?;
    Ok(HtmlSafeOutput(Time { at: *at, words: time::relative(*at, now), counts: " data-ago" }))
}

/// How long ago without the word: `6 s`. Kept up to date by the page's script.
#[askama::filter_fn]
pub fn age(at: &Timestamp, values: &dyn Values) -> Result<HtmlSafeOutput<Time>> {
    let now = *askama::get_value::<Timestamp>(values, "now")?;
    Ok(HtmlSafeOutput(Time { at: *at, words: time::age(*at, now), counts: " data-age" }))
}

/// The exact time in UTC, to the second.
#[askama::filter_fn]
pub fn exact(at: &Timestamp, _: &dyn Values) -> Result<HtmlSafeOutput<Time>> {
    Ok(HtmlSafeOutput(Time { at: *at, words: time::to_the_second(*at), counts: "" }))
}

/// The date in UTC, with the exact time in `title`: for what ends or began on a day.
#[askama::filter_fn]
pub fn day(at: &Timestamp, _: &dyn Values) -> Result<HtmlSafeOutput<Time>> {
    Ok(HtmlSafeOutput(Time { at: *at, words: time::to_the_second(*at)[..10].to_owned(), counts: "" }))
}

/// The time of day in UTC, with the date unless it is today's.
#[askama::filter_fn]
pub fn clock(at: &Timestamp, values: &dyn Values) -> Result<HtmlSafeOutput<Time>> {
    let now = *askama::get_value::<Timestamp>(values, "now")?;
    Ok(HtmlSafeOutput(Time { at: *at, words: time::clock(*at, now), counts: "" }))
}

/// A reference into the sprite.
pub struct Icon {
    name: String,
    class: &'static str,
}

impl Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, sprite) = (self.class, assets::asset("icons.svg"));
        let name: String = self.name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        write!(f, "<svg class=\"{class}\" aria-hidden=\"true\"><use href=\"{sprite}#{name}\"/></svg>")
    }
}

/// A `<time>` element.
pub struct Time {
    at: Timestamp,
    words: String,
    /// The attribute by which the page's script finds times to keep up to date.
    counts: &'static str,
}

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"<time datetime="{}" title="{} UTC"{}"#, self.at.to_rfc3339(), time::to_the_second(self.at), self.counts)?;
        f.write_char('>')?;
        f.write_str(&self.words)?;
        f.write_str("</time>")
    }
}

//! One line per figure: what was measured, what the least that one could do by hand takes in the same run, and the aim.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

static MISSED: AtomicUsize = AtomicUsize::new(0);

/// Prints the names of the columns.
pub(crate) fn head(title: &str) {
    println!("\n== {title}");
    println!("{:<46} {:>30} {:>36} {:>16}", "figure", "measured", "raw baseline", "aim");
}

/// Prints a figure without an aim.
pub(crate) fn line(figure: &str, measured: &str, baseline: &str) {
    println!("{figure:<46} {measured:>30} {baseline:>36} {:>16}", "-");
}

/// Prints a figure and whether it is what it should be.
pub(crate) fn judged(figure: &str, measured: &str, baseline: &str, aim: &str, met: bool) {
    if !met {
        MISSED.fetch_add(1, Ordering::Relaxed);
    }
    println!("{figure:<46} {measured:>30} {baseline:>36} {aim:>16} {}", if met { "met" } else { "MISSED" });
}

/// The last line.
pub(crate) fn end() {
    match MISSED.load(Ordering::Relaxed) {
        0 => println!("\nevery aim was met"),
        missed => println!("\n{missed} aims were missed"),
    }
}

/// A count per second.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn per_second(count: usize, spent: Duration) -> f64 {
    count as f64 / spent.as_secs_f64()
}

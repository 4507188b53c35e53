//! The editor of a rule: its form, a trial, and the rule in words.

use crate::alerts::history::NotTried;
use crate::alerts::keeping::Alerts;
use crate::model::Timestamp;
use crate::model::alert::AlertRule;
use crate::model::receiver::Receiver;
use crate::store::alerts::rules::NewRule;
use crate::web::pages::alert_rules::form::{Fields, Problems};
use crate::web::pages::alert_rules::names;
use crate::web::pages::alert_rules::trial::TrialView;
use crate::web::view::alert::sentence;
use crate::web::view::delivery as receiver_words;
use crate::web::view::number::{counted, grouped};
use crate::web::{Error, WebState};

/// What a form was sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web::pages) enum Act {
    /// The page is shown.
    Show,
    /// A part of the page without the trial is shown.
    Glance,
    /// Another figure was chosen.
    Figure,
    /// It is to be tried.
    Try,
    /// It is to be kept.
    Save,
}

/// What the address says a form was sent for, where no button was pressed.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(in crate::web::pages) struct ActQuery {
    act: Option<String>,
}

impl Act {
    pub(in crate::web::pages) fn of(query: &ActQuery, fields: &Fields) -> Self {
        match query.act.as_deref().unwrap_or(&fields.act) {
            "figure" => Self::Figure,
            "try" => Self::Try,
            _ => Self::Save,
        }
    }
}

/// Everything that the form of a rule shows.
#[derive(Debug)]
pub(in crate::web::pages) struct Editor {
    /// Where it is sent.
    pub(in crate::web::pages) action: String,
    pub(in crate::web::pages) fields: Fields,
    pub(in crate::web::pages) problems: Problems,
    pub(in crate::web::pages) receivers: Vec<Receiver>,
    /// The rule in one sentence.
    pub(in crate::web::pages) words: String,
    pub(in crate::web::pages) trial: Option<TrialView>,
    /// Why it could not be tried, when it was to be.
    pub(in crate::web::pages) untried: Option<String>,
    /// Whether what is shown was typed and not kept.
    pub(in crate::web::pages) is_edited: bool,
    rule: NewRule,
}

impl Editor {
    /// The form with what was typed; tried where it can be read.
    pub(in crate::web::pages) async fn new(
        state: &WebState,
        saved: Option<&AlertRule>,
        fields: Fields,
        act: Act,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let fields = if act == Act::Figure { fields.for_figure() } else { fields };
        let (rule, mut problems) = fields.parse();
        problems.extend(crate::alerts::rule::check(&rule.terms));
        // Whoever chose another figure has not finished.
        let tried = match act {
            Act::Show => saved.is_some(),
            Act::Glance | Act::Figure | Act::Save => false,
            Act::Try => true,
        };
        let (mut trial, mut untried) = (None, None);
        if tried && problems.is_empty() {
            let kept = state.config().retention.raw;
            match state.trials().run(TrialView::load(state.store(), &rule.terms, saved, &fields.range, kept, now)).await {
                Ok(view) => trial = Some(view),
                Err(error) => untried = Some(why(&error)),
            }
        }
        let problems = if matches!(act, Act::Show | Act::Glance | Act::Figure) { Problems::default() } else { problems };
        let store = state.store();
        Ok(Self {
            action: saved.map_or_else(|| "/alert-rules".to_owned(), |rule| format!("/alert-rules/{}", rule.number)),
            words: sentence::rule(&rule.terms, &names(store).await?),
            receivers: store.list_receivers().await?,
            is_edited: matches!(act, Act::Figure | Act::Try | Act::Save),
            fields,
            problems,
            trial,
            untried,
            rule,
        })
    }

    /// The rule to keep, when it is to be kept and can be; what is wrong stands at its fields.
    pub(in crate::web::pages) async fn checked(&mut self, alerts: &Alerts, act: Act) -> Result<Option<NewRule>, Error> {
        if act == Act::Save {
            self.problems.extend(alerts.check_rule(&self.rule).await?);
        }
        Ok((act == Act::Save && self.problems.is_empty()).then(|| self.rule.clone()))
    }

    /// What a receiver is, beside its name.
    pub(in crate::web::pages) fn receiver_note(receiver: &Receiver) -> String {
        let kind = receiver_words::kind(receiver.kind);
        if receiver.failing_since.is_some() { format!("{kind}, last delivery failed") } else { kind.to_owned() }
    }
}

/// Why a rule could not be tried, and what to do.
fn why(error: &NotTried) -> String {
    match error {
        NotTried::TooMuch { series, looks } => format!(
            "This rule watches {}, and with {} looks at each that is too much at once. Name less of them under \u{201c}Only for\u{201d}, or try another time.",
            counted(*series as u64, "series", "series"),
            grouped(*looks as u64)
        ),
        NotTried::Busy => "Another rule is being tried. Try again in a moment.".to_owned(),
        NotTried::TooLong => {
            "It took too long, so it was given up. Name less under \u{201c}Only for\u{201d}, or try another time.".to_owned()
        }
        NotTried::Unread(error) => {
            tracing::warn!(%error, "a rule could not be tried: what was recorded cannot be read");
            "What was recorded could not be read. The log of this instance says why.".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[test]
    fn why_a_rule_could_not_be_tried_says_what_to_do() {
        let much = why(&NotTried::TooMuch { series: 12_000, looks: 1_440 });
        assert!(much.starts_with("This rule watches 12,000 series, and with 1,440 looks at each that is too much at once."), "{much}");
        assert!(why(&NotTried::Busy).contains("in a moment") && why(&NotTried::TooLong).contains("given up"));
        let unread = why(&NotTried::Unread(StoreError::Broken("figure_hours is damaged".to_owned())));
        assert!(!unread.contains("damaged") && unread.contains("The log"), "{unread}");
    }
}

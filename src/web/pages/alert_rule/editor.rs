//! The editor of a rule: its form, a trial, and the rule in words.

use crate::alerts::keeping::Alerts;
use crate::model::Timestamp;
use crate::model::alert::AlertRule;
use crate::model::receiver::Receiver;
use crate::store::Store;
use crate::store::alerts::rules::NewRule;
use crate::web::Error;
use crate::web::pages::alert_rules::form::{Fields, Problems};
use crate::web::pages::alert_rules::names;
use crate::web::pages::alert_rules::trial::TrialView;
use crate::web::view::alert::sentence;
use crate::web::view::delivery as receiver_words;

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
    /// Whether what is shown was typed and not kept.
    pub(in crate::web::pages) is_edited: bool,
    rule: NewRule,
}

impl Editor {
    /// The form with what was typed; tried where it can be read.
    pub(in crate::web::pages) async fn new(
        store: &Store,
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
        let trial = if tried && problems.is_empty() {
            let beside = saved.map(|saved| &saved.terms);
            Some(TrialView::load(store, &rule.terms, beside, &fields.range, now).await?)
        } else {
            None
        };
        let problems = if matches!(act, Act::Show | Act::Glance | Act::Figure) { Problems::default() } else { problems };
        Ok(Self {
            action: saved.map_or_else(|| "/alert-rules".to_owned(), |rule| format!("/alert-rules/{}", rule.number)),
            words: sentence::rule(&rule.terms, &names(store).await?),
            receivers: store.list_receivers().await?,
            is_edited: matches!(act, Act::Figure | Act::Try | Act::Save),
            fields,
            problems,
            trial,
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

//! Which dead letters an act is about: some by id, or all that match a filter.

use super::{BusId, DeadLetterFilter, DeadLetterId, Status};

/// What a person has selected. Kept as JSON beside what was done with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// These.
    Ids(Vec<DeadLetterId>),
    /// All that match, as they were when it was asked.
    Filter(Box<DeadLetterFilter>),
}

impl Selection {
    /// A filter of a selection: without a status it means what is open.
    #[must_use]
    pub fn of_filter(filter: DeadLetterFilter) -> Self {
        Self::of_filter_for(filter, Status::Open)
    }

    /// A filter of a selection: without a status it means this one.
    #[must_use]
    pub fn of_filter_for(mut filter: DeadLetterFilter, status: Status) -> Self {
        if filter.status.is_empty() {
            filter.status.push(status);
        }
        Self::Filter(Box::new(filter))
    }

    /// The one bus that a filter names; `None` for ids, and when it names none or several.
    #[must_use]
    pub fn sole_bus(&self) -> Option<&BusId> {
        match self {
            Self::Filter(filter) if filter.bus.len() == 1 => filter.bus.first(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Selection;
    use crate::model::{DeadLetterFilter, DeadLetterId, Status};

    #[test]
    fn what_was_selected_is_read_back_from_the_store() {
        let filter = DeadLetterFilter {
            bus: vec!["prod".into()],
            fingerprint: vec!["v1-00000000000000ff".parse().unwrap()],
            q: Some("card token".to_owned()),
            ..DeadLetterFilter::default()
        };
        for selection in [Selection::Ids(vec![DeadLetterId(7), DeadLetterId(9)]), Selection::of_filter(filter)] {
            let text = serde_json::to_string(&selection).unwrap();
            assert_eq!(serde_json::from_str::<Selection>(&text).unwrap(), selection, "{text}");
        }
    }

    #[test]
    fn a_filter_without_a_status_means_what_is_open() {
        let Selection::Filter(filter) = Selection::of_filter(DeadLetterFilter::default()) else { panic!("a filter") };
        assert_eq!(filter.status, [Status::Open]);
    }
}

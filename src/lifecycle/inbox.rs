//! What a receiver inside this process was told: one part of the process takes posts, another shows them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Timestamp;

/// Posts that are kept, the newest ones.
const MOST: usize = 100;

/// A notification as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// When it came first.
    pub at: Timestamp,
    /// Its `webhook-id`.
    pub id: String,
    /// Its `type`, such as `alert.firing`.
    pub kind: String,
    /// The rule.
    pub rule: String,
    /// The severity, in the sender's word.
    pub severity: String,
    /// What it says.
    pub summary: String,
    /// Where it leads; empty when it leads nowhere.
    pub url: String,
    /// What is wrong with its signature.
    pub problem: Option<String>,
    /// How often it came under this id.
    pub times: u32,
}

/// Posts, the newest first. Cheap to clone; clones are the same inbox.
#[derive(Debug, Clone, Default)]
pub struct Inbox(Arc<Mutex<VecDeque<Posted>>>);

impl Inbox {
    /// Takes a post. One whose id is here already is counted with it.
    pub fn take(&self, posted: Posted) {
        let mut posts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = posts.iter_mut().find(|known| known.id == posted.id) {
            known.times += 1;
            return;
        }
        posts.push_front(posted);
        posts.truncate(MOST);
    }

    /// What is here, the newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Posted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(id: usize) -> Posted {
        let text = String::new;
        Posted {
            at: Timestamp::from_millis(0),
            id: id.to_string(),
            kind: text(),
            rule: text(),
            severity: text(),
            summary: text(),
            url: text(),
            problem: None,
            times: 1,
        }
    }

    #[test]
    fn the_newest_are_kept_and_repeats_are_counted() {
        let inbox = Inbox::default();
        (0..MOST + 20).for_each(|id| inbox.clone().take(posted(id)));
        inbox.take(posted(MOST));
        let all = inbox.list();
        assert_eq!((all.len(), all[0].id.as_str(), all[0].times), (MOST, "119", 1));
        assert_eq!((all[19].id.as_str(), all[19].times), ("100", 2));
    }
}

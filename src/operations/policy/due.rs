//! Which dead letters of a policy are due.

use std::time::Duration;

use super::{Looked, Policies};
use crate::model::policy::Policy;
use crate::model::{DeadLetterFilter, DeadLetterId, PageRequest, Status, Timestamp};
use crate::store::StoreError;
use crate::store::policies::Tried;

/// Dead letters looked at together, and pages of them in one look.
const STEP: u32 = 1_000;
const PAGES: usize = 20;
/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// At most `most` due dead letters, oldest first. A look is bounded: the next one goes on where it ended.
pub(super) async fn find(policies: &Policies, policy: &Policy, most: u64, now: Timestamp) -> Result<Vec<DeadLetterId>, StoreError> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let looked = policies.looked().get(&policy.number).cloned().unwrap_or_default();
    if looked.again_at.is_some_and(|at| at > now) {
        return Ok(Vec::new());
    }
    let filter = DeadLetterFilter { status: vec![Status::Open], ..policy.terms.filter.clone() };
    let mut page = PageRequest { cursor: looked.cursor, ..PageRequest::first(STEP) };
    let mut due = Vec::new();
    for _ in 0..PAGES {
        let (ids, next) = policies.store.list_scope(&filter, DeadLetterId(i64::MAX), &page).await?;
        let tried = policies.store.list_tried(policy, &ids).await?;
        due.extend(tried.iter().filter(|letter| is_due(policy, letter, now)).map(|letter| letter.id));
        page.cursor = next;
        if page.cursor.is_none() || due.len() >= most {
            break;
        }
    }
    policies.looked().insert(policy.number, Looked { again_at: Some(now.plus(PAUSE)), cursor: page.cursor });
    due.sort_unstable();
    due.truncate(most);
    Ok(due)
}

fn is_due(policy: &Policy, letter: &Tried, now: Timestamp) -> bool {
    !letter.is_copy && letter.attempts < policy.terms.attempt_limit && letter.since.plus(policy.terms.delay(letter.attempts)) <= now
}

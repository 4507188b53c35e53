//! Does what automatic replay policies say.

use super::Run;
use crate::model::Timestamp;

/// One step of every policy.
pub(super) async fn go_on(run: &Run) -> anyhow::Result<()> {
    Ok(run.policies.go_on(Timestamp::now()).await?)
}

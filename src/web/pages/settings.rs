//! Users, tokens and one's own password.

use super::super::router::Routes;
use super::problem::{Problem, problem_of};

mod account;
mod tokens;
mod users;

pub(super) fn routes() -> Routes {
    account::routes().and(users::routes()).and(tokens::routes())
}

//! Users, sessions, tokens, audit.

use redrive::model::{Actor, AuditEntry, PageRequest, Role, Timestamp};
use redrive::store::StoreError;
use redrive::store::access::UserOutcome;
use redrive::store::audit::AuditFilter;

use super::{START, World, on_both_engines};

fn later(millis: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + millis)
}

async fn users_are_unique_whatever_the_case(world: World) {
    let store = &world.store;
    assert!(!store.has_users().await.expect("an answer"));
    let ada = store.add_user("Ada", "hash", Role::Admin, START).await.expect("added");
    assert!(matches!(store.add_user("aDA", "hash", Role::Viewer, START).await, Err(StoreError::Taken("username"))));
    let bob = store.add_user("bob\0", "other", Role::Viewer, START).await.expect("added");
    assert_eq!(bob.username, "bob\u{fffd}");
    assert!(store.has_users().await.expect("an answer"));
    assert_eq!(store.list_users().await.expect("users"), [ada.clone(), bob.clone()]);
    assert_eq!(store.find_user("ADA").await.expect("an answer"), Some((ada.clone(), "hash".to_owned())));
    assert_eq!(store.find_user("nobody").await.expect("an answer"), None);
    store.record_login(ada.id, later(5)).await.expect("noted");
    store.add_user("cleo", "hash", Role::Admin, START).await.expect("added");
    assert_eq!(store.update_user(ada.id, Some("new"), Some(Role::Operator), None).await.expect("changed"), UserOutcome::Done);
    let (changed, hash) = store.find_user("ada").await.expect("an answer").expect("is there");
    assert_eq!((changed.role, changed.last_login_at, changed.disabled_at, hash.as_str()), (Role::Operator, Some(later(5)), None, "new"));
    assert_eq!(store.update_user(999, None, None, None).await.expect("no error"), UserOutcome::NotFound);
    assert_eq!(store.delete_user(bob.id).await.expect("deleted"), UserOutcome::Done);
    assert_eq!(store.delete_user(bob.id).await.expect("no error"), UserOutcome::NotFound);
}

async fn one_active_administrator_remains(world: World) {
    let store = &world.store;
    let ada = store.add_user("ada", "hash", Role::Admin, START).await.expect("added").id;
    let eve = store.add_user("eve", "hash", Role::Admin, START).await.expect("added").id;
    let disable = Some(Some(later(1)));
    assert_eq!(store.update_user(eve, None, None, disable).await.expect("an answer"), UserOutcome::Done);
    store.add_session(b"one", ada, START).await.expect("began");
    for outcome in [
        store.delete_user(ada).await,
        store.update_user(ada, None, Some(Role::Operator), None).await,
        store.update_user(ada, Some("new"), None, disable).await,
    ] {
        assert_eq!(outcome.expect("an answer"), UserOutcome::LastAdmin);
    }
    assert!(store.find_session(b"one").await.expect("an answer").is_some(), "nothing was changed");
    assert_eq!(store.update_user(ada, Some("new"), Some(Role::Admin), Some(None)).await.expect("an answer"), UserOutcome::Done);
    assert_eq!(store.update_user(eve, None, Some(Role::Viewer), None).await.expect("an answer"), UserOutcome::Done, "was disabled");
    assert_eq!(store.delete_user(eve).await.expect("an answer"), UserOutcome::Done);
    assert_eq!(store.find_user("ada").await.expect("an answer").map(|(_, hash)| hash).as_deref(), Some("new"));
}

async fn instances_cannot_take_away_the_last_two_administrators_together(world: World) {
    let (here, there) = (world.store.clone(), world.beside().await);
    for round in 0..20 {
        let mut admins = Vec::new();
        for user in here.list_users().await.expect("users") {
            admins.push(user.id);
        }
        while admins.len() < 2 {
            admins.push(here.add_user(&format!("admin-{round}-{}", admins.len()), "hash", Role::Admin, START).await.expect("added").id);
        }
        let (one, other) = tokio::join!(here.delete_user(admins[0]), there.update_user(admins[1], None, Some(Role::Viewer), None));
        let mut outcomes = [one.expect("an answer"), other.expect("an answer")];
        outcomes.sort_by_key(|outcome| *outcome == UserOutcome::LastAdmin);
        assert_eq!(outcomes, [UserOutcome::Done, UserOutcome::LastAdmin], "round {round}");
        for user in here.list_users().await.expect("users").into_iter().filter(|user| user.role == Role::Viewer) {
            assert_eq!(here.delete_user(user.id).await.expect("deleted"), UserOutcome::Done);
        }
    }
}

async fn sessions_end_with_their_user_and_by_age(world: World) {
    let store = &world.store;
    let ada = store.add_user("ada", "hash", Role::Viewer, START).await.expect("added");
    store.add_session(b"one", ada.id, START).await.expect("began");
    let session = store.find_session(b"one").await.expect("an answer").expect("is there");
    assert_eq!((session.user.id, session.created_at, session.last_seen_at), (ada.id, START, START));
    store.touch_session(b"one", later(60_000)).await.expect("noted");
    assert_eq!(store.find_session(b"one").await.expect("an answer").expect("is there").last_seen_at, later(60_000));
    assert_eq!(store.find_session(b"two").await.expect("an answer"), None);
    store.delete_session(b"one").await.expect("ended");
    assert_eq!(store.find_session(b"one").await.expect("an answer"), None);

    store.add_session(b"old", ada.id, START).await.expect("began");
    store.add_session(b"idle", ada.id, later(100)).await.expect("began");
    store.add_session(b"good", ada.id, later(200)).await.expect("began");
    store.touch_session(b"old", later(500)).await.expect("noted");
    assert_eq!(store.prune_sessions(later(50), later(150)).await.expect("pruned"), 2);
    assert!(store.find_session(b"good").await.expect("an answer").is_some());

    assert_eq!(store.update_user(ada.id, None, None, Some(Some(later(1)))).await.expect("disabled"), UserOutcome::Done);
    assert_eq!(store.find_session(b"good").await.expect("an answer"), None);
    assert_eq!(store.update_user(ada.id, None, None, Some(None)).await.expect("enabled"), UserOutcome::Done);
    assert_eq!(store.find_session(b"good").await.expect("an answer"), None, "sessions of a changed user have ended");
    store.add_session(b"last", ada.id, later(300)).await.expect("began");
    assert_eq!(store.delete_user(ada.id).await.expect("deleted"), UserOutcome::Done);
    assert_eq!(store.find_session(b"last").await.expect("an answer"), None);
}

async fn tokens_keep_their_name_until_they_are_revoked(world: World) {
    let store = &world.store;
    let ci = store.add_token("ci", b"secret", Role::Operator, "user:ada", Some(later(1_000)), START).await.expect("added");
    let taken = store.add_token("ci", b"another", Role::Viewer, "cli", None, START).await;
    assert!(matches!(taken, Err(StoreError::Taken("name"))));
    assert_eq!(store.find_token(b"secret").await.expect("an answer"), Some(ci.clone()));
    assert_eq!(store.find_token(b"nothing").await.expect("an answer"), None);
    store.touch_token(ci.id, later(5)).await.expect("noted");
    store.touch_token(ci.id, later(3)).await.expect("noted");
    assert!(store.revoke_token(ci.id, later(9)).await.expect("revoked"));
    assert!(!store.revoke_token(ci.id, later(10)).await.expect("no error"));
    let found = store.find_token(b"secret").await.expect("an answer").expect("is still known");
    assert_eq!((found.last_used_at, found.revoked_at), (Some(later(5)), Some(later(9))));
    let again = store.add_token("ci", b"another", Role::Viewer, "cli", None, later(20)).await.expect("the name is free");
    let all = store.list_tokens().await.expect("tokens");
    assert_eq!(all.iter().map(|token| token.id).collect::<Vec<_>>(), [again.id, ci.id]);
}

async fn the_audit_is_paged_and_filtered(world: World) {
    let store = &world.store;
    let actions = ["user.add", "user.remove", "users.odd", "session.login", "user"];
    for number in 0..50_i64 {
        let entry = AuditEntry {
            id: 0,
            at: later(number / 3),
            actor: Actor { name: if number % 2 == 0 { "user:ada" } else { "cli" }.to_owned(), address: Some("127.0.0.1".to_owned()) },
            action: actions[usize::try_from(number % 5).expect("small")].to_owned(),
            target: format!("target\0 {number}"),
            count: (number % 4 == 0).then_some(number.unsigned_abs()),
            result: "done".to_owned(),
        };
        store.record_audit(&entry).await.expect("recorded");
    }
    let all = |filter: AuditFilter, limit: u32| async move {
        let (mut cursor, mut entries) = (None, Vec::new());
        loop {
            let page = store.list_audit(&filter, &PageRequest { cursor, limit }).await.expect("a page");
            entries.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return entries;
            }
        }
    };
    let entries = all(AuditFilter::default(), 7).await;
    let targets: Vec<String> = (0..50).rev().map(|number| format!("target\u{fffd} {number}")).collect();
    assert_eq!(entries.iter().map(|entry| entry.target.clone()).collect::<Vec<_>>(), targets);
    assert_eq!((entries[1].count, entries[2].count), (Some(48), None));
    assert_eq!(all(AuditFilter { actor: Some("cli".to_owned()), ..AuditFilter::default() }, 10).await.len(), 25);
    let users = all(AuditFilter { action: Some("user".to_owned()), ..AuditFilter::default() }, 10).await;
    assert_eq!(users.len(), 30);
    assert!(users.iter().all(|entry| entry.action == "user" || entry.action.starts_with("user.")));
    let some = all(AuditFilter { from: Some(later(5)), to: Some(later(7)), ..AuditFilter::default() }, 4).await;
    assert_eq!(some.len(), 6);
    let (actors, kinds) = store.list_audit_choices().await.expect("choices");
    assert_eq!((actors.len(), kinds.len()), (2, 5));
    assert_eq!(store.prune_audit(later(5), 10).await.expect("pruned"), 10);
    assert_eq!(store.prune_audit(later(5), 10).await.expect("pruned"), 5);
    assert_eq!(all(AuditFilter::default(), 100).await.len(), 35);
}

on_both_engines! {
    users_are_unique_whatever_the_case
    one_active_administrator_remains
    instances_cannot_take_away_the_last_two_administrators_together
    sessions_end_with_their_user_and_by_age
    tokens_keep_their_name_until_they_are_revoked
    the_audit_is_paged_and_filtered
}

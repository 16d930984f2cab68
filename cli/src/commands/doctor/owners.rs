//! Owners: whether so many at their limits fit, and who has more than a limit allows.

use std::{collections::BTreeMap, time::Duration};

use async_nats::Client;
use gateway::OwnerLimits;
use jobs::{
    Ledger, UserId, accounts::User, bucket::Entry, settings::Reader, stores::Stores, usage::Resource,
};

use super::Check;

const LIMITS: &str = "owner limits";
const OWNERS: &str = "owners";
/// Streams that are there answer at once.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether owners at their limits fit into the stores.
pub(super) fn limits(var: &dyn Fn(&str) -> Option<String>) -> Check {
    match read(var) {
        Ok(limits) => Check::ok(LIMITS, format!("{} owners at their limits fit", limits.max_owners())),
        Err(problems) => Check::fail(LIMITS, problems),
    }
}

fn read(var: &dyn Fn(&str) -> Option<String>) -> Result<OwnerLimits, String> {
    let mut env = Reader::new(var);
    let stores = Stores::read(&mut env);
    let limits = OwnerLimits::read(&mut env, &stores);
    env.finish(|| Some(limits)).map_err(|problems| problems.to_string())
}

/// Whether there are more owners than fit, and which has more than a limit allows: nothing of it goes, and
/// nothing more is taken.
pub(super) async fn counts(client: &Client, var: &dyn Fn(&str) -> Option<String>) -> Option<Check> {
    let limits = read(var).ok()?;
    let ledger = Ledger::open(client, TIMEOUT).await.ok()?;
    let mut users = Vec::new();
    for key in ledger.accounts.users.keys().await.ok()? {
        users.extend(ledger.accounts.users.get(&key).await.ok()?);
    }
    let mut counts: BTreeMap<(UserId, Resource), u64> = BTreeMap::new();
    for key in ledger.accounts.tokens.keys().await.ok()? {
        if let Some(token) = ledger.accounts.tokens.get(&key).await.ok()? {
            *counts.entry((token.value.user, Resource::Tokens)).or_default() += 1;
        }
    }
    for key in ledger.repos.keys().await.ok()? {
        // Other things lie there under other keys.
        if key.parse::<jobs::RepoId>().is_ok()
            && let Some(repo) = ledger.repos.get(&key).await.ok()?
        {
            *counts.entry((repo.value.owner, Resource::Repos)).or_default() += 1;
        }
    }
    Some(check_counts(&limits, &users, &counts))
}

fn check_counts(
    limits: &OwnerLimits,
    users: &[Entry<User>],
    counts: &BTreeMap<(UserId, Resource), u64>,
) -> Check {
    let (there, fit) = (users.len() as u64, limits.max_owners());
    let mut over = Vec::new();
    if there > fit {
        over.push(format!("there are {there}, and {fit} fit (GITFAAS_MAX_OWNERS)"));
    }
    for user in users.iter().map(|entry| &entry.value) {
        for resource in [Resource::Repos, Resource::Tokens] {
            let (has, limit) = (counts.get(&(user.id, resource)), limits.limit(resource, &user.limits));
            if let Some(has) = has.filter(|has| **has > limit) {
                over.push(format!("{} has {has} {resource}, and {limit} are the limit", user.email));
            }
        }
    }
    match over.is_empty() {
        true => Check::ok(OWNERS, format!("{there} of {fit}")),
        false => Check::warn(OWNERS, format!("{}: nothing of it goes, no more is taken", over.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jobs::{accounts::OwnerKind, usage::Overrides};
    use serde_json::Map;

    use super::{super::Status, *};

    fn user(email: &str, limits: Overrides) -> Entry<User> {
        let (kind, other) = (OwnerKind::User, Map::new());
        let user = User {
            id: UserId::new(),
            kind,
            email: email.to_owned(),
            verified: BTreeMap::new(),
            admin: false,
            labels: Vec::new(),
            limits,
            other,
        };
        Entry { key: String::new(), value: user, revision: 1, written_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn limits_that_do_not_fit_fail() {
        let var = |name: &str| (name == "GITFAAS_MAX_LOGS_PER_USER").then(|| "4g".to_owned());
        let check = limits(&var);
        assert_eq!(check.status, Status::Fail);
        assert!(check.message.contains("do not fit into GITFAAS_STORE_LOGS"), "{}", check.message);
        assert_eq!(limits(&|_| None).status, Status::Ok);
    }

    #[test]
    fn who_has_more_than_a_new_limit_allows_is_named() {
        let var = |name: &str| match name {
            "GITFAAS_MAX_OWNERS" => Some("1".to_owned()),
            "GITFAAS_MAX_REPOS_PER_USER" => Some("2".to_owned()),
            _ => None,
        };
        let users = [
            user("a@example.com", Overrides::new()),
            user("b@example.com", Overrides::from([(Resource::Repos, 9)])),
        ];
        let counts = users.iter().map(|user| ((user.value.id, Resource::Repos), 3)).collect();
        let check = check_counts(&read(&var).unwrap(), &users, &counts);
        assert_eq!(check.status, Status::Warn);
        assert_eq!(
            check.message,
            "there are 2, and 1 fit (GITFAAS_MAX_OWNERS); a@example.com has 3 repos, and 2 are the limit: \
             nothing of it goes, no more is taken"
        );
    }
}

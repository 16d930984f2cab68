//! API tokens: what each may be used for, and what is stored of it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{RepoId, TokenId, UserId};

/// What every API token begins with, so that scanners find one that leaked.
pub const TOKEN_PREFIX: &str = "gft_";
/// How exactly it is known when a token was used: one write an hour is all that a busy one costs.
const USE_IS_NOTED_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Functions that one token may be bound to: its record is read with every call, and stays under 2 KiB.
const MAX_FUNCTIONS: usize = 32;

/// What a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub enum Scope {
    /// Read jobs, results and logs.
    #[serde(rename = "jobs:read")]
    JobsRead,
    /// Submit, cancel and rerun, and call functions.
    #[serde(rename = "jobs:write")]
    JobsWrite,
    /// Register and change repositories.
    #[serde(rename = "repos")]
    Repos,
    /// What an admin may; of use to admins alone.
    #[serde(rename = "admin")]
    Admin,
    /// Call functions, and nothing else.
    #[serde(rename = "invoke")]
    Invoke,
}

/// What a token has unless it was narrowed: everything, since `jobs:write` covers `invoke`. Programs that do not
/// know that scope yet read such a token too.
pub const ALL_SCOPES: [Scope; 4] = [Scope::JobsRead, Scope::JobsWrite, Scope::Repos, Scope::Admin];

impl Scope {
    /// Every scope that there is.
    pub const KNOWN: [Self; 5] = [Self::JobsRead, Self::JobsWrite, Self::Repos, Self::Admin, Self::Invoke];

    /// As it is written in records and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
            Self::Repos => "repos",
            Self::Admin => "admin",
            Self::Invoke => "invoke",
        }
    }

    /// Whether a token with this scope may do what needs the other one.
    pub fn covers(self, needed: Self) -> bool {
        self == needed || (self, needed) == (Self::JobsWrite, Self::Invoke)
    }
}

/// A stored API token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its id, also the key.
    pub id: TokenId,
    /// Whose it is.
    pub user: UserId,
    /// What its owner calls it.
    #[serde(default)]
    pub name: String,
    /// SHA-256 of the whole token, in hex.
    pub hash: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// Of a token with scope `invoke` alone: the repositories whose functions it may call. Absent means all that
    /// its user owns or views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functions: Option<Vec<RepoId>>,
    /// By the gateway's clock; absent means it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// By the gateway's clock, an hour late at most; absent means that it was never used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// The token that made it and, before that one, the tokens that it came from: where one of them is
    /// gone, it is good for nothing. Empty where a person or an operator made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made_by: Vec<TokenId>,
    /// What a newer program added.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl TokenRecord {
    /// When it was made, which its id tells to the millisecond.
    pub fn made_at(&self) -> Timestamp {
        let bytes = self.id.as_bytes();
        let ms = bytes[..6].iter().fold(0, |ms, byte| ms << 8 | i64::from(*byte));
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Whether a use at this time is worth a write.
    pub fn notes_use_at(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|last| now.duration_since(last) >= USE_IS_NOTED_EVERY)
    }
}

/// What a token is to be.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// Its id.
    pub id: TokenId,
    /// Whose.
    pub user: UserId,
    /// What its owner calls it.
    pub name: &'a str,
    /// What for.
    pub scopes: &'a [Scope],
    /// The repositories whose functions it may call; `None` is all that its user owns or views.
    pub functions: Option<&'a [RepoId]>,
    /// Until when; `None` is until it is revoked.
    pub expires_at: Option<Timestamp>,
    /// The tokens that it does not outlive, its maker last.
    pub made_by: &'a [TokenId],
}

/// A token cannot be bound to these functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBinding {
    /// To none at all: it would be good for nothing.
    #[error("name one at least; without the list the token may call every function")]
    Empty,
    /// To too many.
    #[error("more than {MAX_FUNCTIONS}")]
    TooMany,
    /// The binding would say nothing of its other scopes.
    #[error("a token that is bound to functions has the scope invoke and no other")]
    OtherScopes,
}

impl NewToken<'_> {
    /// Checks the binding to functions. Whether its user may call them, the caller checks.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_binding(&self) -> Result<(), InvalidBinding> {
        match self.functions {
            None => Ok(()),
            Some([]) => Err(InvalidBinding::Empty),
            Some(functions) if functions.len() > MAX_FUNCTIONS => Err(InvalidBinding::TooMany),
            Some(_) if self.scopes != [Scope::Invoke] => Err(InvalidBinding::OtherScopes),
            Some(_) => Ok(()),
        }
    }
}

/// A token's text names its id, so that checking one is one read.
pub fn token_id(token: &str) -> Option<TokenId> {
    let (id, secret) = token.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
    let bytes: [u8; 16] = hex::decode(id).ok()?.try_into().ok()?;
    (!secret.is_empty()).then(|| TokenId::from_bytes(bytes))
}

/// What is stored of a token.
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use test_case::test_case;

    use super::*;

    #[test]
    fn a_token_names_its_id_and_nonsense_names_none() {
        let id = TokenId::new();
        assert_eq!(token_id(&format!("gft_{}_abc", hex::encode(id.as_bytes()))), Some(id));
        for nonsense in ["", "gft_", "gft_12_ab", "ghp_0000", "gft_zz_ab"] {
            assert_eq!(token_id(nonsense), None, "{nonsense}");
        }
    }

    fn token(last_used_at: Option<Timestamp>) -> TokenRecord {
        TokenRecord {
            id: TokenId::new(),
            user: UserId::new(),
            name: String::new(),
            hash: String::new(),
            scopes: Vec::new(),
            functions: None,
            expires_at: None,
            last_used_at,
            made_by: Vec::new(),
            other: Map::new(),
        }
    }

    #[test]
    fn a_use_is_noted_once_an_hour_and_a_clock_that_goes_back_writes_nothing() {
        let now = Timestamp::now();
        assert!(token(None).notes_use_at(now));
        let used = |minutes| token(Some(now - SignedDuration::from_mins(minutes))).notes_use_at(now);
        assert_eq!([-5, 0, 59, 60, 61].map(used), [false, false, false, true, true]);
    }

    #[test]
    fn scopes_are_written_as_they_are_called() {
        let words = Scope::KNOWN.map(|scope| serde_json::to_value(scope).unwrap());
        assert_eq!(words, Scope::KNOWN.map(|scope| Value::from(scope.as_str())));
    }

    #[test]
    fn who_may_submit_jobs_may_call_functions_and_not_the_other_way_round() {
        for scope in Scope::KNOWN {
            let covered: Vec<Scope> = Scope::KNOWN.into_iter().filter(|other| scope.covers(*other)).collect();
            match scope {
                Scope::JobsWrite => assert_eq!(covered, [scope, Scope::Invoke]),
                _ => assert_eq!(covered, [scope]),
            }
        }
    }

    #[test]
    fn a_token_knows_when_it_was_made() {
        let made_at = token(None).made_at();
        assert!(Timestamp::now().duration_since(made_at).abs() < SignedDuration::from_mins(1), "{made_at}");
    }

    #[test]
    fn a_token_of_an_older_program_is_bound_to_nothing() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let stored = json!({"id": id, "user": id, "name": "ci", "hash": "ab", "scopes": ["jobs:read"]});
        let read: TokenRecord = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(read.functions, None);
        assert_eq!(serde_json::to_value(&read).unwrap(), stored);
    }

    #[test]
    fn a_bound_token_as_it_is_stored() {
        let id: RepoId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let bound = TokenRecord { scopes: vec![Scope::Invoke], functions: Some(vec![id]), ..token(None) };
        let stored = serde_json::to_value(bound).unwrap();
        assert_eq!((&stored["scopes"], &stored["functions"]), (&json!(["invoke"]), &json!([id])));
    }

    #[test_case(&[Scope::JobsRead, Scope::Invoke], None => Ok(()) ; "not bound")]
    #[test_case(&[Scope::Invoke], Some(1) => Ok(()))]
    #[test_case(&[Scope::Invoke], Some(32) => Ok(()) ; "as many as there may be")]
    #[test_case(&[Scope::Invoke], Some(33) => Err(InvalidBinding::TooMany))]
    #[test_case(&[Scope::Invoke], Some(0) => Err(InvalidBinding::Empty))]
    #[test_case(&[Scope::Invoke, Scope::JobsRead], Some(1) => Err(InvalidBinding::OtherScopes))]
    #[test_case(&ALL_SCOPES, Some(1) => Err(InvalidBinding::OtherScopes) ; "a full token")]
    #[test_case(&[], Some(1) => Err(InvalidBinding::OtherScopes) ; "no scope")]
    fn bindings(scopes: &[Scope], functions: Option<usize>) -> Result<(), InvalidBinding> {
        let functions: Option<Vec<RepoId>> =
            functions.map(|count| std::iter::repeat_with(RepoId::new).take(count).collect());
        let new = NewToken {
            id: TokenId::new(),
            user: UserId::new(),
            name: "",
            scopes,
            functions: functions.as_deref(),
            expires_at: None,
            made_by: &[],
        };
        new.check_binding()
    }
}

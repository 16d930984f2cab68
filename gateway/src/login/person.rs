//! A person that a provider vouches for, and which user of ours that is.
//!
//! Provider and subject decide, never the address: addresses and names are given to others. An
//! address counts twice only, verified both times: the list of who may sign in, and the user whom an
//! operator made for it, whom the configured issuer's first sign-in takes over, once.

use jobs::{
    UserId,
    accounts::{Linked, OwnerKind, User},
    audit::Action,
};

use super::error::LoginError;
use crate::gateway::Gateway;

/// Who came back from a provider.
#[derive(Debug)]
pub(super) struct Person {
    /// An issuer's address, or GitHub's host.
    pub(super) provider: String,
    /// What the provider calls him for ever.
    pub(super) subject: String,
    /// Verified by the provider.
    pub(super) email: String,
    /// Of the organisations that are let in, those he is a member of.
    pub(super) orgs: Vec<String>,
}

/// Whose word an address is, when it comes to a user whom an operator made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vouches {
    /// The configured issuer.
    ForAddresses,
    /// Any other provider: it says who he is there, nothing more.
    ForItsOwn,
}

impl Gateway {
    /// The user that this person is; made at his first sign-in.
    pub(super) async fn signed_in(&self, person: &Person, vouches: Vouches) -> Result<User, LoginError> {
        let accounts = &self.ledger.accounts;
        let known = accounts.find(&person.provider, &person.subject).await?;
        let known = known.map(|entry| entry.value);
        let is_in = self.lets_in(&person.email, &person.orgs)
            // A linked account need not be of the right domain itself.
            || known.as_ref().is_some_and(|user| self.lets_in(&user.email, &[]));
        if !is_in {
            return Err(LoginError::NotAllowed { email: super::error::said(&person.email) });
        }
        if let Some(user) = known {
            return Ok(user);
        }
        if vouches == Vouches::ForAddresses
            && let Some(entry) = accounts.take_over(&person.provider, &person.subject, &person.email).await?
        {
            tracing::info!(user = %entry.value.id, "a user made by an operator signed in for the first time");
            return Ok(entry.value);
        }
        let made = accounts.find_or_make(&person.provider, &person.subject, &person.email, OwnerKind::User);
        Ok(made.await?.value)
    }

    /// Lets this person's account lead to a user who is signed in.
    pub(super) async fn linked(
        &self,
        person: &Person,
        provider: String,
        user: UserId,
    ) -> Result<User, LoginError> {
        let accounts = &self.ledger.accounts;
        match accounts.link(&person.provider, &person.subject, user).await? {
            Linked::Now => {
                self.audit(user, Action::AccountLinked, &person.provider).await;
                tracing::info!(%user, provider = person.provider, "an account was linked");
            }
            Linked::Before => {}
            Linked::ToAnother => return Err(LoginError::ToAnother { provider }),
        }
        let found = accounts.users.get(&user.to_string()).await?;
        Ok(found.ok_or(LoginError::LinkWithoutSession)?.value)
    }

    fn lets_in(&self, email: &str, orgs: &[String]) -> bool {
        use super::settings::Allowed;
        let allow = &self.config.login.allow;
        allow.is_empty()
            || allow.iter().any(|allowed| match allowed {
                Allowed::GithubOrg(name) => orgs.contains(name),
                Allowed::Domain(_) | Allowed::Address(_) => allowed.covers(email),
            })
    }
}

//! A person that a provider vouches for, and which user of ours that is.
//!
//! Provider and subject decide, never the address: addresses and names are given to others. An
//! address counts twice only, verified both times: the list of who may sign in, and the user whom an
//! operator made for it, whom the configured issuer's first sign-in takes over, once.

use jobs::{
    UserId,
    accounts::{Linked, OwnerKind, User},
    audit::Action,
    sessions::{LetIn, Session},
};

use crate::{
    error::ApiError,
    login::{SignIns, error::LoginError},
};

/// Who came back from a provider.
#[derive(Debug)]
pub(crate) struct Person {
    /// An issuer's address, or GitHub's host.
    pub(crate) provider: String,
    /// What the provider calls him for ever.
    pub(crate) subject: String,
    /// Verified by the provider.
    pub(crate) email: String,
    /// Of the organisations that are let in, those he is a member of.
    pub(crate) orgs: Vec<String>,
}

/// A user who was let in.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) user: User,
    /// As his session names it.
    pub(crate) provider: String,
    pub(crate) let_in: LetIn,
}

/// Whose word an address is, when it comes to a user whom an operator made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vouches {
    /// The configured issuer.
    ForAddresses,
    /// Any other provider: it says who he is there, nothing more.
    ForItsOwn,
}

impl SignIns {
    /// The user that this person, who is let in, is; made at his first sign-in.
    pub(crate) async fn signed_in(&self, person: &Person, vouches: Vouches) -> Result<User, LoginError> {
        let user = self.user_of(person, vouches).await?;
        self.with_address(person, user.id).await
    }

    /// Keeps the address that was verified just now: it opens what it was invited to, and the one that the
    /// provider verified before does not any more.
    async fn with_address(&self, person: &Person, user: UserId) -> Result<User, LoginError> {
        let kept = self.ledger.accounts.keep_address(user, &person.provider, &person.email).await?;
        let entry = kept.ok_or(LoginError::LinkWithoutSession)?;
        self.users.note(entry.clone());
        Ok(entry.value)
    }

    async fn user_of(&self, person: &Person, vouches: Vouches) -> Result<User, LoginError> {
        let accounts = &self.ledger.accounts;
        let known = accounts.find(&person.provider, &person.subject).await?;
        if let Some(entry) = known {
            return Ok(entry.value);
        }
        if vouches == Vouches::ForAddresses
            && let Some(entry) = accounts.take_over(&person.provider, &person.subject, &person.email).await?
        {
            tracing::info!(user = %entry.value.id, "a user made by an operator signed in for the first time");
            return Ok(entry.value);
        }
        let made =
            self.budgets.owner(&person.provider, &person.subject, &person.email, OwnerKind::User).await?;
        Ok(made?.value)
    }

    /// Lets this person's account lead to a user who is signed in.
    pub(crate) async fn linked(
        &self,
        person: &Person,
        provider: String,
        user: UserId,
    ) -> Result<User, LoginError> {
        let accounts = &self.ledger.accounts;
        match accounts.link(&person.provider, &person.subject, user).await? {
            Linked::Now => {
                self.audit.write(user, Action::AccountLinked, &person.provider).await;
                tracing::info!(%user, provider = person.provider, "an account was linked");
            }
            Linked::Before => {}
            Linked::ToAnother => return Err(LoginError::ToAnother { provider }),
        }
        self.with_address(person, user).await
    }

    /// What lets this person in. Only what this sign-in proved counts: an address that is on record may
    /// have been taken from him since.
    pub(crate) fn let_in(&self, person: &Person) -> Result<LetIn, LoginError> {
        let by_address = LetIn::Address(person.email.clone());
        let by_org = person.orgs.iter().cloned().map(LetIn::Org);
        let mut found = [by_address].into_iter().chain(by_org).filter(|let_in| self.lets_in(let_in));
        found.next().ok_or_else(|| LoginError::NotAllowed { email: person.email.clone() })
    }

    /// Whether the list still has what let a session in; of one that does not say, the user's address.
    pub(crate) async fn is_still_let_in(&self, session: &Session) -> Result<bool, ApiError> {
        if let Some(let_in) = &session.let_in {
            return Ok(self.lets_in(let_in));
        }
        let user = self.ledger.accounts.users.get(&session.user.to_string()).await?;
        Ok(user.is_some_and(|entry| self.lets_in(&LetIn::Address(entry.value.email))))
    }

    fn lets_in(&self, let_in: &LetIn) -> bool {
        let allow = &self.settings.allow;
        allow.is_empty() || allow.iter().any(|allowed| allowed.lets_in(let_in))
    }
}

//! The identity that a provider vouches for, and the user that it belongs to.
//!
//! Provider and subject identify the user, never the e-mail address: addresses and names are reassigned. A
//! verified address is used twice only: for the list of accounts that may sign in, and for a user that an
//! operator created for it, which the configured issuer's first sign-in takes over, once.

use jobs::{
    UserId,
    accounts::{Linked, OwnerKind, User},
    audit::Action,
    sessions::{AdmittedBy, Session},
};

use crate::{
    error::ApiError,
    login::{SignIns, error::LoginError},
};

/// An account at a provider, after a successful sign-in there.
#[derive(Debug)]
pub(crate) struct ExternalIdentity {
    /// An issuer's address, or GitHub's host.
    pub(crate) provider: String,
    /// The provider's permanent id of the account.
    pub(crate) subject: String,
    /// Verified by the provider.
    pub(crate) email: String,
    /// Of the organisations that are allowed to sign in, those that the account is a member of.
    pub(crate) orgs: Vec<String>,
}

/// A user who may sign in.
#[derive(Debug)]
pub(crate) struct SignedInUser {
    pub(crate) user: User,
    /// As sessions name it.
    pub(crate) provider: String,
    pub(crate) let_in: AdmittedBy,
}

/// Whether a provider's verified address may take over a user that an operator created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressTrust {
    /// The configured issuer may.
    Trusted,
    /// Any other provider may not: it identifies its own account, nothing more.
    Untrusted,
}

impl SignIns {
    /// The user of an allowed identity; created at the first sign-in.
    pub(crate) async fn sign_in(
        &self,
        identity: &ExternalIdentity,
        trust: AddressTrust,
    ) -> Result<User, LoginError> {
        let user = self.user_of(identity, trust).await?;
        self.with_address(identity, user.id).await
    }

    /// Stores the address that was just verified: repository invitations apply to it, and no longer to the
    /// address that the provider verified before.
    async fn with_address(&self, identity: &ExternalIdentity, user: UserId) -> Result<User, LoginError> {
        let kept = self.ledger.accounts.keep_address(user, &identity.provider, &identity.email).await?;
        let entry = kept.ok_or(LoginError::LinkWithoutSession)?;
        self.users.note(entry.clone());
        Ok(entry.value)
    }

    async fn user_of(&self, identity: &ExternalIdentity, trust: AddressTrust) -> Result<User, LoginError> {
        let accounts = &self.ledger.accounts;
        let known = accounts.find(&identity.provider, &identity.subject).await?;
        if let Some(entry) = known {
            return Ok(entry.value);
        }
        if trust == AddressTrust::Trusted
            && let Some(entry) =
                accounts.take_over(&identity.provider, &identity.subject, &identity.email).await?
        {
            tracing::info!(user = %entry.value.id, "user taken over at first sign-in");
            return Ok(entry.value);
        }
        let made = self
            .budgets
            .owner(&identity.provider, &identity.subject, &identity.email, OwnerKind::User)
            .await?;
        Ok(made?.value)
    }

    /// Links the account to a signed-in user.
    pub(crate) async fn link_account(
        &self,
        identity: &ExternalIdentity,
        provider: String,
        user: UserId,
    ) -> Result<User, LoginError> {
        let accounts = &self.ledger.accounts;
        match accounts.link(&identity.provider, &identity.subject, user).await? {
            Linked::Now => {
                self.audit.write(user, Action::AccountLinked, &identity.provider).await;
                tracing::info!(%user, provider = identity.provider, "account linked");
            }
            Linked::Before => {}
            Linked::ToAnother => return Err(LoginError::LinkedElsewhere { provider }),
        }
        self.with_address(identity, user).await
    }

    /// What admits this identity. Only what this sign-in verified counts: a stored address may have been
    /// reassigned since.
    pub(crate) fn admission(&self, identity: &ExternalIdentity) -> Result<AdmittedBy, LoginError> {
        let by_address = AdmittedBy::Address(identity.email.clone());
        let by_org = identity.orgs.iter().cloned().map(AdmittedBy::Org);
        let mut found = [by_address].into_iter().chain(by_org).filter(|let_in| self.allows(let_in));
        found.next().ok_or_else(|| LoginError::NotAllowed { email: identity.email.clone() })
    }

    /// Whether the list still has what admitted a session; for one that does not record it, the user's
    /// address.
    pub(crate) async fn is_still_allowed(&self, session: &Session) -> Result<bool, ApiError> {
        if let Some(let_in) = &session.let_in {
            return Ok(self.allows(let_in));
        }
        let user = self.ledger.accounts.users.get(&session.user.to_string()).await?;
        Ok(user.is_some_and(|entry| self.allows(&AdmittedBy::Address(entry.value.email))))
    }

    fn allows(&self, let_in: &AdmittedBy) -> bool {
        let allow = &self.settings.allow;
        allow.is_empty() || allow.iter().any(|allowed| allowed.allows(let_in))
    }
}

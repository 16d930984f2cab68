//! Approval of held deliveries.
//!
//! An approval replaces the verdict `held` by the approver; then the delivery is finished like any other without a
//! verdict, also after a crash in between.

pub(crate) mod pull_request;
pub(crate) mod status;

use hooks::Incoming;
use jobs::{CommitSha, Delivery, Verdict, audit::Action, bucket::Entry};

use crate::{auth::identity::Identity, deliveries::Deliveries, error::ApiError};

/// Whether this could be the id of a delivery.
pub(crate) fn is_delivery_key(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Deliveries {
    /// A delivery that the caller may decide about: of a repository that the caller owns; one without a repository
    /// is for admins.
    pub(crate) async fn find_decidable(
        &self,
        caller: &Identity,
        id: &str,
    ) -> Result<Entry<Delivery>, ApiError> {
        let missing = || ApiError::NotFound("delivery");
        let entry = if is_delivery_key(id) { self.ledger.deliveries.get(id).await? } else { None };
        let entry = entry.ok_or_else(missing)?;
        let is_allowed = match entry.value.repo {
            Some(repo) => {
                let repo = self.ledger.repos.get(&repo.to_string()).await?;
                repo.is_some_and(|repo| caller.owns(&repo.value))
            }
            None => caller.is_admin(),
        };
        if is_allowed { Ok(entry) } else { Err(missing()) }
    }

    /// Carries out a held delivery. `sha` names the approved commit of a pull request.
    pub(crate) async fn apply_approval(
        &self,
        caller: &Identity,
        delivery: Entry<Delivery>,
        sha: Option<&CommitSha>,
    ) -> Result<Entry<Delivery>, ApiError> {
        match delivery.value.event() {
            Some(Incoming::Installation(_) | Incoming::InstallationRepositories(_)) => {
                if !caller.is_admin() {
                    return Err(ApiError::Forbidden("only an admin may accept an installation".to_owned()));
                }
                if sha.is_some() {
                    return Err(ApiError::BadRequest("sha: an installation has no commit".to_owned()));
                }
            }
            Some(Incoming::PullRequest(pull)) => {
                return self.approve_pull_request(caller, delivery, &pull, sha).await;
            }
            Some(Incoming::Push(_) | Incoming::Ping | Incoming::Rerequested(_) | Incoming::Ignored(_))
            | None => return Err(not_held()),
        }
        let approved = self.record_approval(caller, &delivery).await?;
        self.finish_delivery(approved, None).await
    }

    async fn record_approval(
        &self,
        caller: &Identity,
        delivery: &Entry<Delivery>,
    ) -> Result<Entry<Delivery>, ApiError> {
        if delivery.value.verdict != Some(Verdict::Held) {
            return Err(not_held());
        }
        let mut approved = Delivery {
            verdict: None,
            reason: None,
            received_at: delivery.value.received_at.or(Some(delivery.written_at)),
            ..delivery.value.clone()
        };
        approved.approval.installation = Some((&caller.user.id).into());
        self.ledger.deliveries.update(&delivery.key, &approved, delivery.revision).await?;
        tracing::info!(delivery = delivery.key, user = %caller.user.id, "delivery approved");
        let written = self.ledger.deliveries.get(&delivery.key).await?;
        written.ok_or(ApiError::NotFound("delivery"))
    }
}

fn not_held() -> ApiError {
    ApiError::Conflict("this delivery is not held".to_owned())
}

impl Deliveries {
    /// Approves a held delivery and writes the audit event.
    pub(crate) async fn approve(
        &self,
        caller: &Identity,
        held: Entry<Delivery>,
        sha: Option<&CommitSha>,
    ) -> Result<Entry<Delivery>, ApiError> {
        let done = self.apply_approval(caller, held, sha).await?;
        self.audit
            .write_with(caller, Action::DeliveryApproved, &done.key, sha.map(ToString::to_string))
            .await;
        self.metrics.delivery(done.value.verdict.unwrap_or(Verdict::Held));
        Ok(done)
    }
}

//! `POST /webhooks/github` and `/webhooks/{repo id}`: check, understand, take, answer.
//!
//! The body is bounded before it is read, its signature checked before it is parsed. What nobody
//! signed leaves nothing in NATS. 2xx is sent once JetStream has acknowledged.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hooks::{Forge, incoming, incoming::Malformed, verify, verify::Verified};
use http::{HeaderMap, StatusCode, header};
use jobs::{
    Secret, Verdict,
    api::{self, DeliveryReceipt},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::{
    api::responses::{NotFound, WithBody, WithToken},
    crypto::sealed::webhook_secret_context,
    deliveries::{
        ingest::{DeliveryOutcome, ReceivedDelivery},
        rejected::Hook,
        routing::repository_of,
    },
    error::ApiError,
    extract,
    repos::{forge_kind::forge_of, installation::GITHUB, rename::Signer},
    state::Gateway,
};

/// GitHub's own limit on a payload, in bytes.
const MAX_DELIVERY_BYTES: usize = 25 << 20;
/// A forge waits 10 s for an answer; NATS counts as silent before that.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a delivery is not taken: what was decided, or that the request is wrong.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never made")]
enum WebhookRefusal {
    Decided(DeliveryReceipt),
    Request(api::Error),
}

/// Deliveries of a GitHub App or an organisation's hook.
#[utoipa::path(
    post, path = "/webhooks/github", tag = "webhooks", operation_id = "githubWebhook",
    request_body(content((Object = "application/json"), (Object = "application/x-www-form-urlencoded")), description = "What the forge sends, signed with the webhook's secret; 25 MiB at most."),
    responses(
        (status = 200, description = "Ignored or held.", body = DeliveryReceipt),
        (status = 202, description = "Accepted, a duplicate, or refused by a full queue.", body = DeliveryReceipt),
        WithToken,
        WithBody,
        NotFound,
        (status = 400, description = "Not to be understood.", body = WebhookRefusal),
        (status = 403, description = "Names another repository.", body = WebhookRefusal),
        (status = 409, description = "Changed in between; deliver it again.", body = api::Error),
    ),
)]
pub(crate) async fn github(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let Some(secret) = gateway.config.github.webhook_secret.clone() else {
        return Err(ApiError::NotFound("webhook"));
    };
    let body = bounded(&gateway, Hook::Other(GITHUB), &headers, body).await?;
    let verified = signed(&gateway, Hook::Other(GITHUB), Forge::Github, &secret, &headers, &body)?;
    let told = within_patience(async {
        let arrival = arrival(GITHUB, Forge::Github, &headers, &verified);
        let repo = match &arrival.incoming {
            Ok(incoming) => match repository_of(incoming) {
                Some(repository) => gateway.deliveries.find_github_repo(incoming, repository).await?,
                None => None,
            },
            Err(_) => None,
        };
        if let Some(repo) = &repo {
            gateway.limits.check_delivery(repo.id)?;
        }
        gateway.deliveries.ingest(arrival, repo).await
    });
    answer(&gateway, told.await?)
}

/// Deliveries of one repository's hook.
#[utoipa::path(
    post, path = "/webhooks/{id}", tag = "webhooks", operation_id = "repoWebhook",
    params(("id" = String, Path, description = "The repository.")),
    request_body(content((Object = "application/json"), (Object = "application/x-www-form-urlencoded")), description = "What the forge sends, signed with the webhook's secret; 25 MiB at most."),
    responses(
        (status = 200, description = "Ignored or held.", body = DeliveryReceipt),
        (status = 202, description = "Accepted, a duplicate, or refused by a full queue.", body = DeliveryReceipt),
        WithToken,
        WithBody,
        NotFound,
        (status = 400, description = "Not to be understood.", body = WebhookRefusal),
        (status = 403, description = "Names another repository.", body = WebhookRefusal),
        (status = 409, description = "Changed in between; deliver it again.", body = api::Error),
    ),
)]
pub(crate) async fn of_repo(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let found = within_patience(gateway.access.repo(&id)).await?;
    let Some(repo) = found.map(|entry| entry.value) else {
        // The name is from outside: only what could be an id is kept.
        let hook: String = id.chars().filter(char::is_ascii_graphic).take(40).collect();
        return Err(gateway.deliveries.reject_unverified(
            Hook::Other(&hook),
            "unknown repository",
            ApiError::NotFound("repository"),
        ));
    };
    let hook = Hook::Repo(repo.id);
    let forge = forge_of(&repo);
    let secret = gateway
        .keys
        .unseal(&webhook_secret_context(repo.id), &repo.sealed_secret)
        .map_err(|error| ApiError::Internal(error.into()))?;
    let body = bounded(&gateway, hook, &headers, body).await?;
    let verified = signed(&gateway, hook, forge, &secret, &headers, &body)?;
    gateway.deliveries.rejected.clear_count(repo.id);
    gateway.limits.check_delivery(repo.id)?;
    let arrival = arrival(&hook.to_string(), forge, &headers, &verified);
    let told = within_patience(async {
        let repo = match arrival.incoming.as_ref().ok().and_then(repository_of) {
            // One question for each delivery: a forge that is slow has had its time then.
            Some(_) if repo.unproved.is_some() => gateway.registrations.reverify_permission(repo).await?,
            Some(repository) => {
                gateway.registrations.sync_repository(repo, repository, Signer::Registrant).await?
            }
            None => repo,
        };
        gateway.deliveries.ingest(arrival, Some(repo)).await
    });
    answer(&gateway, told.await?)
}

async fn within_patience<T>(work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        // Every step is idempotent, so it may end between any two.
        Err(_) => Err(ApiError::Unavailable(anyhow::anyhow!("nats was silent for {} s", PATIENCE.as_secs()))),
    }
}

/// The body, unless it is too long; a length that is told is believed before a byte is kept.
async fn bounded(
    gateway: &Gateway,
    hook: Hook<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, ApiError> {
    let told = length(headers);
    let read = match told {
        Some(length) if length > MAX_DELIVERY_BYTES => {
            // Who asks first has sent nothing yet, and will not.
            if !headers.contains_key(header::EXPECT) {
                extract::discard(body).await;
            }
            Err(ApiError::TooLarge(MAX_DELIVERY_BYTES))
        }
        Some(_) | None => extract::read(body, MAX_DELIVERY_BYTES).await,
    };
    match read {
        Err(error @ ApiError::TooLarge(_)) => {
            Err(gateway.deliveries.reject_unverified(hook, "larger than 25 MiB", error))
        }
        read => read,
    }
}

/// The length that is told of a body.
fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok())
}

fn signed<'a>(
    gateway: &Gateway,
    hook: Hook<'_>,
    forge: Forge,
    secret: &Secret,
    headers: &HeaderMap,
    body: &'a Bytes,
) -> Result<Verified<'a>, ApiError> {
    verify::verify_headers(forge, secret, headers, body).map_err(|why| {
        let error = ApiError::Unauthorized("the delivery is not signed with this webhook's secret");
        gateway.deliveries.reject_unverified(hook, &why.to_string(), error)
    })
}

fn arrival(hook: &str, forge: Forge, headers: &HeaderMap, verified: &Verified<'_>) -> ReceivedDelivery {
    let digest = hex::encode(Sha256::digest(verified.raw()));
    let event = incoming::event(forge, headers);
    let parsed = match &event {
        Ok(event) => incoming::parse(forge, event, verified),
        Err(_) => Err(Malformed::NoEvent),
    };
    ReceivedDelivery {
        hook: hook.to_owned(),
        delivery_id: incoming::delivery_id(forge, headers).unwrap_or(&digest).to_owned(),
        digest,
        event: event.map_or("", |event| event).chars().take(100).collect(),
        incoming: parsed.map_err(|error| error.to_string()),
        head_revision: None,
    }
}

fn answer(gateway: &Gateway, outcome: DeliveryOutcome) -> Result<Response, ApiError> {
    gateway.metrics.delivery(outcome.verdict);
    let status = match outcome.verdict {
        Verdict::Accepted | Verdict::Duplicate => StatusCode::ACCEPTED,
        Verdict::Ignored | Verdict::Held => StatusCode::OK,
        // A full queue is no fault of the delivery.
        Verdict::Refused if !outcome.jobs.is_empty() => StatusCode::ACCEPTED,
        Verdict::Refused if outcome.malformed => StatusCode::BAD_REQUEST,
        Verdict::Refused => StatusCode::FORBIDDEN,
    };
    let jobs = (!outcome.jobs.is_empty()).then_some(outcome.jobs);
    let verdict = outcome.verdict.into();
    let answer = DeliveryReceipt {
        delivery: outcome.key,
        verdict,
        reason: outcome.reason.map(|reason| reason.to_string()),
        jobs,
    };
    Ok((status, Json(answer)).into_response())
}

//! The handlers of /api/v1, of the webhooks and of the published interface.

pub(crate) mod aliases;
pub(crate) mod audit;
pub(crate) mod deliveries;
pub(crate) mod events;
pub(crate) mod function_calls;
pub(crate) mod functions;
pub(crate) mod health;
pub(crate) mod job_output;
pub(crate) mod jobs;
pub(crate) mod metrics;
pub(crate) mod openapi;
pub(crate) mod published;
pub(crate) mod repos;
mod responses;
pub(crate) mod secrets;
pub(crate) mod sign_in;
pub(crate) mod tokens;
pub(crate) mod usage;
pub(crate) mod view;
pub(crate) mod webhooks;

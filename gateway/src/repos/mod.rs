//! Registered repositories.

pub(crate) mod forge_kind;
pub(crate) mod forge_webhook;
pub(crate) mod installation;
pub(crate) mod permission;
pub(crate) mod problems;
pub(crate) mod register;
pub(crate) mod removal;
pub(crate) mod rename;
pub(crate) mod reports_status;
pub(crate) mod status_owner;
pub(crate) mod viewers;

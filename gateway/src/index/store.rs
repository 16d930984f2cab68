//! The tables of the index, and its error.

use redb::TableDefinition;

use crate::index::Keys;

/// Job id → [`super::rows::JobRow`].
pub(super) const JOBS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("jobs");
/// Owner and job id.
pub(super) const BY_OWNER: Keys = TableDefinition::new("by_owner");
/// Repository and job id.
pub(super) const BY_REPO: Keys = TableDefinition::new("by_repo");
/// Owner and job id of every job that is not final → its state and revision.
pub(super) const OPEN: TableDefinition<'static, &'static [u8], (u8, u64)> = TableDefinition::new("open");
/// Owner and job id of every job with an input → what that takes up, in bytes.
pub(super) const INPUTS: TableDefinition<'static, &'static [u8], u64> = TableDefinition::new("inputs");
/// Ids of jobs that are to be ended, because their open record is not verified.
pub(super) const UNVERIFIED: Keys = TableDefinition::new("doubted");
/// Job ids whose status may not be posted.
pub(super) const UNPOSTED: Keys = TableDefinition::new("unposted");
/// Keys of commits whose status is to be checked or reposted → how often their final status was rejected, and
/// the revision of the record that was posted.
pub(super) const STATUS_ISSUES: TableDefinition<'static, &'static [u8], (u32, u64)> =
    TableDefinition::new("doubtful");
/// Delivery's key → [`super::rows::DeliveryRow`].
pub(super) const DELIVERIES: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("deliveries");
/// Time and beginning of the key → delivery's key.
pub(super) const BY_TIME: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("deliveries_by_time");
/// Keys of deliveries without a verdict.
pub(super) const UNFINISHED: Keys = TableDefinition::new("unfinished");
/// Owner and time → key of a delivery or an idempotency key, its size in bytes, and whether its processing is
///
/// complete.
pub(super) const DELIVERIES_BY_OWNER: TableDefinition<'static, &'static [u8], (&'static [u8], u64, bool)> =
    TableDefinition::new("deliveries_by_owner");
/// Key → its key in [`DELIVERIES_BY_OWNER`].
pub(super) const DELIVERY_SORT_KEYS: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("charged");
/// Bucket → [`super::Position`].
pub(super) const STREAMS: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("streams");

/// The index file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the index")]
pub(crate) struct IndexError(#[source] Box<redb::Error>);

impl IndexError {
    pub(super) fn new(error: redb::Error) -> Self {
        Self(Box::new(error))
    }
}

/// redb has an error type for every operation.
macro_rules! from {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for IndexError {
            fn from(error: redb::$error) -> Self {
                Self::new(error.into())
            }
        }
    )*};
}

from!(DatabaseError, TransactionError, TableError, StorageError, CommitError);

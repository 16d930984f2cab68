//! The tables of the index, and what can go wrong with them.

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
/// Ids of jobs that are to be ended, because their open record is not believed.
pub(super) const DOUBTED: Keys = TableDefinition::new("doubted");
/// Job ids whose status may not be at the forge.
pub(super) const UNPOSTED: Keys = TableDefinition::new("unposted");
/// Keys of commits of which the forge is to be asked or told again → how often it refused their end, and
/// the revision of the record that was posted.
pub(super) const DOUBTFUL: TableDefinition<'static, &'static [u8], (u32, u64)> =
    TableDefinition::new("doubtful");
/// Delivery's key → [`super::rows::DeliveryRow`].
pub(super) const DELIVERIES: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("deliveries");
/// Time and beginning of the key → delivery's key.
pub(super) const BY_TIME: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("deliveries_by_time");
/// Keys of deliveries without a verdict.
pub(super) const UNFINISHED: Keys = TableDefinition::new("unfinished");
/// Owner and place in time → key of a delivery or an idempotency key, its bytes, and whether nothing is to be
/// done for it any more.
pub(super) const DELIVERIES_BY_OWNER: TableDefinition<'static, &'static [u8], (&'static [u8], u64, bool)> =
    TableDefinition::new("deliveries_by_owner");
/// Key → its place in [`DELIVERIES_BY_OWNER`].
pub(super) const CHARGED: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("charged");
/// Bucket → [`super::Position`].
pub(super) const STREAMS: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("streams");

/// The index's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the index")]
pub(crate) struct IndexError(#[source] Box<redb::Error>);

impl IndexError {
    pub(super) fn new(error: redb::Error) -> Self {
        Self(Box::new(error))
    }
}

/// redb has an error type for every verb.
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

//! Taking keys out of a bucket without leaving a mark: for what nobody waits for any more.
//!
//! A deletion writes a mark, which is as large as a small value and stays as long. Whoever purges cannot
//! compare first: it is for keys that nobody else writes again.

use async_nats::jetstream;

use crate::bucket::BucketError;

/// Takes a key of a bucket away, whatever it holds.
///
/// # Errors
/// NATS is away.
pub async fn purge(js: &jetstream::Context, bucket: &'static str, key: &str) -> Result<(), BucketError> {
    let doing = || format!("purge {bucket}/{key}");
    let stream = js
        .get_stream_no_info(format!("KV_{bucket}"))
        .await
        .map_err(|source| BucketError::Nats { doing: doing(), source: Box::new(source) })?;
    let purged = stream.purge().filter(format!("$KV.{bucket}.{key}")).await;
    purged.map(|_| ()).map_err(|source| BucketError::Nats { doing: doing(), source: Box::new(source) })
}

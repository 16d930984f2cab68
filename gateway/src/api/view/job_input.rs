//! What is shown of a job's input.
//!
//! Workers mask secrets in what a job writes; what it reads comes from a caller, who may have put a secret's value
//! there, and whoever sees the job is not thereby allowed to see secrets. So nothing of the content is shown where
//! the repository has any, nor of the path, which a caller chooses as freely.

use jobs::{Job, api, bucket::Entry, input::InputError};

use crate::{error::ApiError, state::Gateway};

/// What is shown of the content, in bytes.
const HEAD_BYTES: usize = 1024;

/// The input of a job with its beginning, for the answer about this one job.
pub(crate) async fn job_input(
    gateway: &Gateway,
    entry: &Entry<Job>,
) -> Result<Option<api::JobInput>, ApiError> {
    let spec = &entry.value.spec;
    let Some(described) = &spec.input else { return Ok(None) };
    let shown = api::JobInput::from(described);
    if let Some(repo) = spec.repo
        && !gateway.secret_store.secret_keys(repo).await?.is_empty()
    {
        let why = "the content is not shown, because the repository has secrets, which it might hold";
        return Ok(Some(api::JobInput { hidden: Some(why.to_owned()), ..shown }));
    }
    let shown = api::JobInput { path: described.path.clone(), ..shown };
    let hidden = |why: &str| Ok(Some(api::JobInput { hidden: Some(why.to_owned()), ..shown.clone() }));
    match gateway.ledger.inputs.beginning(spec.owner, spec.id, described, HEAD_BYTES).await {
        Ok(bytes) => match text(&bytes, bytes.len() as u64 == described.bytes) {
            Some(head) => Ok(Some(api::JobInput { head: Some(head.to_owned()), ..shown.clone() })),
            None => hidden("the content is binary"),
        },
        Err(InputError::Gone { .. }) => hidden("the content is not kept any more"),
        Err(InputError::Damaged { .. }) => hidden("the stored content is damaged"),
        Err(error @ InputError::Nats { .. }) => Err(error.into()),
    }
}

/// The bytes, if they are text; of a beginning without the character that is cut at its end.
fn text(bytes: &[u8], is_whole: bool) -> Option<&str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && !is_whole => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    (!text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    #[test_case(b"", true => Some(""))]
    #[test_case(b"a\xc3\xa9\n", true => Some("a\u{e9}\n"))]
    #[test_case(b"a\xc3", false => Some("a") ; "a character is cut")]
    #[test_case(b"a\xc3", true => None ; "the last character is incomplete")]
    #[test_case(b"a\xff\xa9", false => None)]
    #[test_case(b"a\0", true => None ; "a NUL")]
    fn text(bytes: &'static [u8], is_whole: bool) -> Option<&'static str> {
        super::text(bytes, is_whole)
    }
}

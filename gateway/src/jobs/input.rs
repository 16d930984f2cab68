//! Inputs of jobs: what a call gives, and what a rerun takes over.
//!
//! An input is stored after everything was checked and before the record is written, so that no job is ever found
//! without. One whose record was never written is removed later (`usage/stray_inputs.rs`): not here, where the
//! record may have been written although its answer was lost.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jobs::{
    Input, Job, JobSpec,
    api::{MAX_INPUT_BYTES, SubmitJob},
    input::InputError,
};

use crate::{error::ApiError, jobs::Jobs};

/// What a text is; nothing more is known of it.
const TEXT: &str = "text/plain; charset=utf-8";
/// What bytes are.
const BYTES: &str = "application/octet-stream";

impl Jobs {
    /// The input that a call gives, within the limits.
    pub(super) fn input_of(&self, call: &SubmitJob) -> Result<Option<Input>, ApiError> {
        let input = match (&call.input, &call.input_base64) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                let sentence = "input and input_base64 are two ways to give one thing; give one of them";
                return Err(ApiError::BadRequest(sentence.to_owned()));
            }
            (Some(text), None) => Input::new(text.clone(), TEXT),
            (None, Some(text)) => Input::new(decoded(text)?, BYTES),
        };
        let limit = self.max_input_bytes.min(MAX_INPUT_BYTES);
        match input.body.len() as u64 > limit {
            true => Err(ApiError::InputTooLarge(limit)),
            false => Ok(Some(input)),
        }
    }

    /// Stores the input of a rerun, which is that of the original: as its own, for the original may be deleted.
    pub(super) async fn copy_input(&self, of: &Job, new: &JobSpec) -> Result<(), ApiError> {
        let Some(described) = &new.input else { return Ok(()) };
        let inputs = &self.ledger.inputs;
        let input = match inputs.fetch(of.spec.owner, of.spec.id, described).await {
            Ok(input) => input,
            Err(InputError::Gone { .. }) => {
                let sentence =
                    "the job's input is not kept any more, so it cannot be repeated; make a new one";
                return Err(ApiError::Conflict(sentence.to_owned()));
            }
            Err(error @ (InputError::Nats { .. } | InputError::Damaged { .. })) => return Err(error.into()),
        };
        Ok(inputs.store(new.owner, new.id, &input).await?)
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, ApiError> {
    let bytes = BASE64_STANDARD.decode(text);
    bytes.map_err(|_| ApiError::BadRequest("input_base64: not base64 (RFC 4648, with padding)".to_owned()))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("" => Some(vec![]))]
    #[test_case("AP8=" => Some(vec![0, 255]))]
    #[test_case("AP8" => None ; "without padding")]
    #[test_case("AP8=\n" => None ; "a newline")]
    #[test_case("_w==" => None ; "the alphabet of URLs")]
    #[test_case("é" => None)]
    fn base64(text: &str) -> Option<Vec<u8>> {
        decoded(text).ok()
    }
}
